"""How large is the signal at each layer?"""

import jax.numpy as jnp

from gradlab.models.chain import Signal
from gradlab.numerics import LOG10_2, log2_norm
from gradlab.probes.family import Columns, Probe, probe


@probe
def forward() -> Probe:
    """log10 of ‖h‖_F/√(B·n): the RMS a unit."""

    def ask(signal: Signal) -> Columns:
        return {"log10_forward": LOG10_2 * (log2_norm(signal.h) - 0.5 * jnp.log2(float(signal.h.size)))}

    return Probe(("log10_forward",), signal=ask)
