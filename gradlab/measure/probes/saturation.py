"""Which activations let no gradient through: saturated ones, and units that are dead on the whole batch?"""

import jax.numpy as jnp

from gradlab.measure.probe import Columns, Probe, probe
from gradlab.nn.chain import BlockSignal
from gradlab.numerics.norms import compute_dtype, total

SHALLOW = 0.05  # of the steepest slope


@probe
def saturation() -> Probe:
    """saturated: share of entries with |φ'| < 0.05·max|φ'|; dead: share of units with φ' = 0 on the whole batch.

    A channel is one unit: dead where it is so at every place and time step.
    """

    def ask(signal: BlockSignal) -> Columns:
        assert signal.slope is not None
        steep = jnp.abs(signal.slope).astype(compute_dtype(signal.slope))
        limit = 0.0 if signal.max_slope is None else SHALLOW * signal.max_slope
        units = steep.reshape(-1, steep.shape[-1])
        reached = jnp.dot(jnp.ones(len(units), steep.dtype), units)  # 0 only where all are: none is negative
        return {
            "saturated": total((steep < limit).astype(jnp.float32)) / steep.size,
            "dead": jnp.mean((reached == 0).astype(jnp.float32)),
        }

    return Probe(("saturated", "dead"), signal=ask, active=True)
