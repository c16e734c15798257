"""Which activations block the gradient: saturated ones, and units that are dead on the whole batch?"""

import jax.numpy as jnp

from gradlab.measurements.columns import Column
from gradlab.measurements.probe import BlockSignal, Columns, Probe, probe
from gradlab.numerics.norms import compute_dtype, total

SATURATED = 0.05  # fraction of max |φ'| below which an activation counts as saturated


@probe
def saturation() -> Probe:
    """saturated: fraction of entries with |φ'| < 0.05·max|φ'|; dead: fraction of units with φ' = 0 on the whole batch.

    One scalar each per block. A channel is one unit: it is dead if φ' = 0 at every position and time step.
    """

    def ask(signal: BlockSignal) -> Columns:
        assert signal.slope is not None
        slope = jnp.abs(signal.slope).astype(compute_dtype(signal.slope))
        limit = 0.0 if signal.max_slope is None else SATURATED * signal.max_slope
        units = slope.reshape(-1, slope.shape[-1])
        summed = jnp.dot(jnp.ones(len(units), slope.dtype), units)  # 0 only if all are 0: none is negative
        return {
            "saturated": total((slope < limit).astype(jnp.float32)) / slope.size,
            "dead": jnp.mean((summed == 0).astype(jnp.float32)),
        }

    return Probe(
        (
            Column(
                "saturated",
                "fraction of activations with |φ'| < 0.05·max|φ'|; 0 for relu and others that do not saturate",
                unit="fraction",
            ),
            Column("dead", "fraction of units with φ' = 0 on the whole batch", unit="fraction"),
        ),
        signal=ask,
        active=True,
    )
