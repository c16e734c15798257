"""Where are the activations, and how widely are they spread?"""

import jax
import jax.numpy as jnp

from gradlab.measure.probe import Columns, Probe, probe
from gradlab.nn.chain import BlockSignal
from gradlab.numerics.norms import compute_dtype, square_sum, total


@probe
def moments() -> Probe:
    """Mean and variance of h over examples and units, from differences to one entry: no cancellation."""

    def ask(signal: BlockSignal) -> Columns:
        h = signal.h.astype(compute_dtype(signal.h))
        origin = h.ravel()[0]
        away = h - origin
        # the barrier: XLA would square the sum before it divides, and overflow at 1e17
        offset = jax.lax.optimization_barrier(total(away) / h.size)
        spread = square_sum(away) / h.size
        var = jnp.where(spread < jnp.inf, jnp.maximum(spread - offset * offset, 0), spread)
        return {"mean": origin + offset, "var": var}

    return Probe(("mean", "var"), signal=ask)
