"""Where are the activations, and how widely are they spread?"""

import jax.numpy as jnp

from gradlab.models.chain import Signal
from gradlab.numerics import compute_dtype
from gradlab.probes.family import Columns, Probe, probe


@probe
def moments() -> Probe:
    """Mean and variance of h over examples and units, from differences to one entry: no cancellation."""

    def ask(signal: Signal) -> Columns:
        h = signal.h.astype(compute_dtype(signal.h))
        origin = h.ravel()[0]
        away = h - origin
        offset = jnp.mean(away)
        return {"mean": origin + offset, "var": jnp.maximum(jnp.mean(away * away) - offset * offset, 0)}

    return Probe(("mean", "var"), signal=ask)
