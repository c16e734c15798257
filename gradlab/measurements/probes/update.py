"""How large is each parameter's update, and how much of it is lost to rounding?"""

import jax.numpy as jnp
from jax import Array

from gradlab.measurements.columns import Column
from gradlab.measurements.probe import Probe, UpdateColumns, UpdateSignal, probe
from gradlab.numerics.norms import LOG10_2, count, log2_norms


@probe
def update() -> Probe:
    """log10 of ‖Δθ‖ = rate·‖direction‖, and the fraction of entries with θ + Δθ = θ in their dtype.

    One value per layer of each parameter."""

    def ask(update: UpdateSignal) -> UpdateColumns:
        norms = log2_norms(update.direction, update.stacked_axes).leaves
        rate = jnp.log10(update.step_size)
        return {
            "log10_update": {path: LOG10_2 * value + rate for path, value in norms.items()},
            "update_lost": {path: _lost(update, path) for path in update.params},
        }

    return Probe(
        (
            Column(
                "log10_update",
                "log10 of ‖Δθ‖, the norm of the update",
                unit="log10",
                kind="parameter",
                over_kernels="norm",
                needs_update=True,
            ),
            Column(
                "update_lost",
                "fraction of entries with θ + Δθ = θ in their dtype",
                unit="fraction",
                kind="parameter",
                over_kernels="mean",
                needs_update=True,
            ),
        ),
        update=ask,
    )


def _lost(update: UpdateSignal, path: str) -> Array:
    """Fraction of the parameter's entries that the update leaves unchanged, one per layer."""
    theta, direction = update.params[path], update.direction[path]
    unchanged = lambda old, d: old + (-update.step_size * d).astype(old.dtype) == old
    number = count(unchanged, (theta, direction), update.stacked_axes[path])
    return number / (theta.size // max(number.size, 1))
