"""Do examples still look different at each layer, or has their rank collapsed?"""

import jax.numpy as jnp

from gradlab.models.chain import Signal
from gradlab.numerics import compute_dtype, exponent, scale
from gradlab.probes.family import Columns, Probe, probe


@probe
def cosine() -> Probe:
    """Mean cosine between two examples: (‖Σ u_i‖² − Σ ‖u_i‖²)/(B(B − 1)) of the unit vectors u_i = h_i/‖h_i‖.

    An example whose signal is exactly zero counts as orthogonal to all others. NaN for a batch of one.
    """

    def ask(signal: Signal) -> Columns:
        h = signal.h.reshape(signal.h.shape[0], -1).astype(compute_dtype(signal.h))
        h = scale(h, -exponent(h))
        squares = jnp.sum(h * h, axis=1)
        inverse = jnp.where(squares > 0, jnp.sqrt(1 / jnp.where(squares > 0, squares, 1)), 0)
        total, count = jnp.dot(inverse, h), len(h)
        alone = jnp.sum(squares * inverse * inverse)
        return {"cosine": (jnp.sum(total * total) - alone) / (count * (count - 1) or jnp.nan)}

    return Probe(("cosine",), signal=ask)
