"""How large is the output of each layer?"""

import jax.numpy as jnp

from gradlab.measurements.columns import Column
from gradlab.measurements.probe import BlockSignal, Columns, Probe, probe
from gradlab.numerics.norms import LOG10_2, log2_norm


@probe
def forward() -> Probe:
    """log10 of ‖h‖_F/√(B·n), the RMS per unit; one scalar per block."""

    def ask(signal: BlockSignal) -> Columns:
        return {"log10_forward": LOG10_2 * (log2_norm(signal.h) - 0.5 * jnp.log2(float(signal.h.size)))}

    return Probe(
        (Column("log10_forward", "log10 of ‖h_l‖_F / √(B·n_l): RMS per unit", unit="log10"),), signal=ask
    )
