"""Which activations let no gradient through: saturated ones, and units that are dead on the whole batch?"""

import jax.numpy as jnp

from gradlab.models.chain import Signal
from gradlab.probes.family import Columns, Probe, probe

SHALLOW = 0.05  # of the steepest slope


@probe
def saturation() -> Probe:
    """saturated: share of entries with |φ'| < 0.05·max|φ'|; dead: share of units with φ' = 0 on the whole batch."""

    def ask(signal: Signal) -> Columns:
        assert signal.slope is not None
        steep = jnp.abs(signal.slope)
        limit = 0.0 if signal.steepest is None else SHALLOW * signal.steepest
        dead = jnp.max(steep, axis=0) == 0
        return {
            "saturated": jnp.mean((steep < limit).astype(jnp.float32)),
            "dead": jnp.mean(dead.astype(jnp.float32)),
        }

    return Probe(("saturated", "dead"), signal=ask, active=True)
