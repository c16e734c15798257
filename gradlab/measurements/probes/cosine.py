"""Can examples still be distinguished at each layer, or has their rank collapsed?"""

import jax
import jax.numpy as jnp
from jax import Array

from gradlab.measurements.columns import Column
from gradlab.measurements.probe import BlockSignal, Columns, Probe, probe
from gradlab.numerics.norms import compute_dtype, is_safe, largest_exponent, scale


@probe
def cosine() -> Probe:
    """Mean cosine between two examples: (‖Σ u_i‖² − Σ ‖u_i‖²)/(B(B − 1)) of the unit vectors u_i = h_i/‖h_i‖.

    One scalar per block. An example whose signal is exactly zero counts as orthogonal to all others. NaN for a
    batch of one.
    """

    def ask(signal: BlockSignal) -> Columns:
        h = signal.h.reshape(signal.h.shape[0], -1).astype(compute_dtype(signal.h))
        squares = jnp.sum(h * h, axis=1)
        return {
            "cosine": jax.lax.cond(jnp.all(is_safe(squares)), lambda: _mean(h, squares), lambda: _scaled(h))
        }

    return Probe(
        (Column("cosine", "mean cosine between two examples' h_l: (B·‖mean_i h_i/‖h_i‖‖² − 1)/(B − 1)"),),
        signal=ask,
    )


def _scaled(h: Array) -> Array:
    """The mean cosine of h (examples, units) whose squares leave float32: each row is rescaled first."""
    h = jax.vmap(lambda row: scale(row, -largest_exponent(row)))(h)
    return _mean(h, jnp.sum(h * h, axis=1))


def _mean(h: Array, squares: Array) -> Array:
    """The mean cosine of h (examples, units); `squares` (examples,) are the squared norms of its rows."""
    nonzero = squares > 0
    inverse = jnp.where(nonzero, 1 / jnp.sqrt(jnp.where(nonzero, squares, 1)), 0)
    sum_of_units, count = jnp.dot(inverse, h), len(h)
    self_products = jnp.sum(squares * inverse * inverse)
    return (jnp.dot(sum_of_units, sum_of_units) - self_products) / (count * (count - 1) or jnp.nan)
