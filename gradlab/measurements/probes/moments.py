"""What are the mean and the variance of each layer's output?"""

import jax.numpy as jnp

from gradlab.measurements.columns import Column
from gradlab.measurements.probe import BlockSignal, Columns, Probe, probe
from gradlab.numerics.norms import barrier, compute_dtype, square_sum, total


@probe
def moments() -> Probe:
    """Mean and variance of h over examples and units, one scalar each per block.

    Both are computed from the differences to one entry of h, which avoids cancellation."""

    def ask(signal: BlockSignal) -> Columns:
        h = signal.h.astype(compute_dtype(signal.h))
        origin = h.ravel()[0]
        difference = h - origin
        # the barrier: XLA would square the sum before it divides, and overflow at 1e17
        offset = barrier(total(difference) / h.size)
        spread = square_sum(difference) / h.size
        var = jnp.where(spread < jnp.inf, jnp.maximum(spread - offset * offset, 0), spread)
        return {"mean": origin + offset, "var": var}

    return Probe(
        (
            Column("mean", "mean of h_l over examples and units"),
            Column("var", "variance of h_l over examples and units"),
        ),
        signal=ask,
    )
