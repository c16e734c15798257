"""Clips that look at each entry by itself: they bend the gradient's direction."""

from typing import Annotated

import jax.numpy as jnp
from jax import Array

from gradlab.numerics.tree import StackedAxes, Tree
from gradlab.parts.clips.contract import Clip, ClipRecord, clip, share, stateless
from gradlab.recipe.bounds import Bound, Positive
from gradlab.recipe.errors import RecipeError

Side = Annotated[float, Bound(float, words=("auto",))]


def _in_order(threshold: float, low: float | str, high: float | str, where: str) -> None:
    """low below high, and 0 between them: a gradient of zeros stays where it is."""
    a, b = (-threshold if low == "auto" else low), (threshold if high == "auto" else high)
    told = f"clip.low={low} and clip.high={high}"
    told += f" (auto is ∓clip.threshold={threshold})" if "auto" in (low, high) else ""
    if not isinstance(a, str) and not isinstance(b, str) and a >= b:
        raise RecipeError(f"{told}: low must be below high; give low ≤ 0 ≤ high")
    if not isinstance(a, str) and not isinstance(b, str) and not a <= 0 <= b:
        raise RecipeError(f"{told} leave out 0, so that no gradient could rest; give low ≤ 0 ≤ high")


@clip.checked(_in_order)
def value(threshold: Positive, low: Side, high: Side) -> Clip:
    """g_i <- min(max(g_i, low), high): keeps signs, bends the direction; `auto` is −threshold and threshold.

    tf.clip_by_value, Keras's clipvalue, optax.clip, PyTorch's clip_grad_value_; but an infinite entry, which
    they make ±threshold, stays infinite, as NaN does in all of them.
    """

    def rule(grads: Tree, params: Tree, stacked_axes: StackedAxes) -> tuple[Tree, ClipRecord]:
        acted = {key: ((g < bottom(g)) | (g > top(g))) & jnp.isfinite(g) for key, g in grads.items()}
        clipped = {key: jnp.where(acted[key], jnp.clip(g, bottom(g), top(g)), g) for key, g in grads.items()}
        return clipped, share(acted, grads)

    def bottom(g: Array) -> Array:
        return jnp.asarray(-threshold if isinstance(low, str) else low, g.dtype)

    def top(g: Array) -> Array:
        return jnp.asarray(threshold if isinstance(high, str) else high, g.dtype)

    return stateless(rule)


@clip
def zero(threshold: Positive) -> Clip:
    """g_i <- 0 where |g_i| > threshold: loses the largest entries, which "truncation" is at times taken to mean.

    A counter-example to `value`. An infinite entry stays infinite, NaN stays NaN.
    """

    def rule(grads: Tree, params: Tree, stacked_axes: StackedAxes) -> tuple[Tree, ClipRecord]:
        size = {key: jnp.abs(g) for key, g in grads.items()}
        acted = {
            key: (size[key] > jnp.asarray(threshold, g.dtype)) & jnp.isfinite(g) for key, g in grads.items()
        }
        return {key: jnp.where(acted[key], 0, g) for key, g in grads.items()}, share(acted, grads)

    return stateless(rule)
