"""How long is each parameter's update, and how much of it is lost to rounding?"""

import jax.numpy as jnp

from gradlab.numerics import LOG10_2, log2_norms
from gradlab.probes.family import Moment, PerParameter, Probe, probe


@probe
def update() -> Probe:
    """log10 of ‖Δθ‖, and the share of entries with θ + Δθ = θ in their dtype."""

    def ask(moment: Moment) -> PerParameter:
        norms = log2_norms(moment.updates, moment.lead).leaves
        return {
            "log10_update": {path: LOG10_2 * value for path, value in norms.items()},
            "update_lost": {path: _lost(moment, path) for path in moment.params},
        }

    return Probe(("log10_update", "update_lost"), moment=ask)


def _lost(moment: Moment, path: str) -> jnp.ndarray:
    params, updates = moment.params[path], moment.updates[path]
    kept = (params + updates == params).astype(jnp.float32)
    return jnp.mean(kept, axis=tuple(range(moment.lead[path], params.ndim)))
