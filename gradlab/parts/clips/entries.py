"""Clips that look at each entry by itself: they change the gradient's direction."""

from typing import Annotated

import jax.numpy as jnp
from jax import Array

from gradlab.numerics.tree import StackedAxes, Tree
from gradlab.parts.clips.contract import Clip, ClipRecord, clip, fraction_record, stateless
from gradlab.parts.clips.thresholds import with_thresholds
from gradlab.recipe.bounds import Bound, Positive
from gradlab.recipe.errors import RecipeError

EntryLimit = Annotated[float, Bound(float, words=("auto",))]


def _check_order(
    threshold: float,
    low: float | str,
    high: float | str,
    thresholds: dict[str, float],
    warmup: float,
    **_: object,
) -> None:
    """Refuse limits that do not have 0 between them: a gradient of zeros must stay zero.

    Raises:
        RecipeError: low is not below high, or 0 is outside [low, high], or no limit follows a threshold that changes.
    """
    if (thresholds or warmup) and not isinstance(low, str) and not isinstance(high, str):
        key = "clip.thresholds" if thresholds else "clip.warmup"
        raise RecipeError(
            f"{key} changes nothing with clip.low={low} and clip.high={high}; leave one of them auto"
        )
    lowest = -threshold if isinstance(low, str) else low
    highest = threshold if isinstance(high, str) else high
    limits = f"clip.low={low} and clip.high={high}"
    limits += f" (auto is ∓clip.threshold={threshold})" if "auto" in (low, high) else ""
    if lowest >= highest:
        raise RecipeError(f"{limits}: low must be below high; give low ≤ 0 ≤ high")
    if not lowest <= 0 <= highest:
        raise RecipeError(f"{limits} leave out 0: a zero gradient would not stay zero; give low ≤ 0 ≤ high")


@clip.checked(_check_order)
@with_thresholds
def value(threshold: Positive, low: EntryLimit, high: EntryLimit) -> Clip:
    """g_i <- min(max(g_i, low), high): keeps signs, changes the direction; `auto` is −threshold and threshold.

    As tf.clip_by_value, Keras's clipvalue, optax.clip and PyTorch's clip_grad_value_; but an infinite entry, which
    they set to ±threshold, stays infinite, as NaN stays NaN in all of them.
    """

    def rule(grads: Tree, params: Tree, stacked_axes: StackedAxes) -> tuple[Tree, ClipRecord]:
        acted = {key: ((g < bottom(g)) | (g > top(g))) & jnp.isfinite(g) for key, g in grads.items()}
        clipped = {key: jnp.where(acted[key], jnp.clip(g, bottom(g), top(g)), g) for key, g in grads.items()}
        return clipped, fraction_record(acted, grads)

    def bottom(g: Array) -> Array:
        return jnp.asarray(-threshold if isinstance(low, str) else low, g.dtype)

    def top(g: Array) -> Array:
        return jnp.asarray(threshold if isinstance(high, str) else high, g.dtype)

    return stateless(rule)


@clip
@with_thresholds
def zero(threshold: Positive) -> Clip:
    """g_i <- 0 where |g_i| > threshold: loses the largest entries; some texts call this "truncation".

    A counterexample to `value`. An infinite entry stays infinite, NaN stays NaN.
    """

    def rule(grads: Tree, params: Tree, stacked_axes: StackedAxes) -> tuple[Tree, ClipRecord]:
        magnitude = {key: jnp.abs(g) for key, g in grads.items()}
        acted = {
            key: (magnitude[key] > jnp.asarray(threshold, g.dtype)) & jnp.isfinite(g)
            for key, g in grads.items()
        }
        return {key: jnp.where(acted[key], 0, g) for key, g in grads.items()}, fraction_record(acted, grads)

    return stateless(rule)
