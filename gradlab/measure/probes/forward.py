"""How large is the output of each layer?"""

import jax.numpy as jnp

from gradlab.measure.probe import BlockSignal, Columns, Probe, probe
from gradlab.numerics.norms import LOG10_2, log2_norm


@probe
def forward() -> Probe:
    """log10 of ‖h‖_F/√(B·n), the RMS per unit; one scalar per block."""

    def ask(signal: BlockSignal) -> Columns:
        return {"log10_forward": LOG10_2 * (log2_norm(signal.h) - 0.5 * jnp.log2(float(signal.h.size)))}

    return Probe(("log10_forward",), signal=ask)
