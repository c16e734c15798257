"""How large is each parameter's update, and how much of it is lost to rounding?"""

import jax.numpy as jnp
from jax import Array

from gradlab.measure.probe import Moment, PerParameter, Probe, probe
from gradlab.numerics.norms import LOG10_2, count, log2_norms


@probe
def update() -> Probe:
    """log10 of ‖Δθ‖ = rate·‖direction‖, and the fraction of entries with θ + Δθ = θ in their dtype.

    One value per layer of each parameter."""

    def ask(moment: Moment) -> PerParameter:
        norms = log2_norms(moment.direction, moment.stacked_axes).leaves
        rate = jnp.log10(moment.rate)
        return {
            "log10_update": {path: LOG10_2 * value + rate for path, value in norms.items()},
            "update_lost": {path: _lost(moment, path) for path in moment.params},
        }

    return Probe(("log10_update", "update_lost"), moment=ask)


def _lost(moment: Moment, path: str) -> Array:
    """Fraction of the parameter's entries that the update leaves unchanged, one per layer."""
    theta, direction = moment.params[path], moment.direction[path]
    unchanged = lambda old, d: old + (-moment.rate * d).astype(old.dtype) == old
    number = count(unchanged, (theta, direction), moment.stacked_axes[path])
    return number / (theta.size // max(number.size, 1))
