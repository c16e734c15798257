"""What convolutional networks require of their input, and the pools between their layers."""

from functools import partial, reduce
from itertools import product
from typing import Annotated, Literal

import jax.numpy as jnp
from flax import nnx
from jax import Array

from gradlab.nn.blocks import SignalMap
from gradlab.nn.plan import Plan
from gradlab.recipe.bounds import Bound
from gradlab.recipe.errors import RecipeError

WidthMultiplier = Annotated[float, Bound(float, 0, 64, open_low=True)]  # times the published channels
ImageSize = Literal[
    "auto", "large", "small"
]  # the size of images that a network is made for; large is as published


def require_numeric(plan: Plan) -> None:
    """Refuse tokens, and targets for every time step.

    Raises:
        RecipeError: if the plan has either.
    """
    if plan.vocabulary:
        raise RecipeError(
            "takes numbers, and this data is tokens; choose a recurrent network or a transformer"
        )
    if plan.label_per_step:
        raise RecipeError("answers once an example, and this data wants an answer for every time step")


def image(plan: Plan) -> tuple[int, int]:
    """Height and width of the images.

    Raises:
        RecipeError: if examples are not images (height, width, channels).
    """
    require_numeric(plan)
    if len(plan.shape) != 3:
        raise RecipeError(f"takes images (height, width, channels), not examples of shape {plan.shape}")
    return plan.shape[0], plan.shape[1]


def is_large(layout: ImageSize, size: tuple[int, int], smallest: int) -> bool:
    """Whether the published layout is used: `auto` takes it if no side is shorter than `smallest` positions."""
    return layout == "large" or (layout == "auto" and min(size) >= smallest)


def spatial_shape(plan: Plan) -> tuple[int, ...]:
    """(height, width) of images or (time,) of sequences.

    Raises:
        RecipeError: if examples are neither.
    """
    require_numeric(plan)
    if len(plan.shape) not in (2, 3):
        raise RecipeError(
            "takes images (height, width, channels) or sequences (time, features), "
            f"not examples of shape {plan.shape}"
        )
    return plan.shape[:-1]


def require_published(plan: Plan, width: int, depths: tuple[int, ...]) -> None:
    """Refuse a depth or width that a published network does not have.

    Raises:
        RecipeError: if depth is none of `depths`, or width is another.
    """
    if plan.depth not in depths:
        *others, last = map(str, depths)
        allowed = f"{', '.join(others)} or {last}" if others else f"exactly {last}"
        raise RecipeError(f"has {allowed} layers; got depth={plan.depth}")
    if plan.width != width:
        raise RecipeError(
            f"has its published channels, width={width}; got width={plan.width}; scale all of them by "
            "model.width_mult"
        )


def scaled(channels: int, width_mult: float) -> int:
    """The number of channels of a layer, at least one."""
    return max(1, round(channels * width_mult))


def output_size(
    size: tuple[int, int], window: int, stride: int = 1, padding: str = "valid"
) -> tuple[int, int]:
    """Height and width after a convolution or pool with this window.

    Raises:
        RecipeError: if the window is larger than the signal and there is no padding.
    """
    if padding != "valid":
        return -(-size[0] // stride), -(-size[1] // stride)
    if min(size) < window:
        raise RecipeError(
            f"has a window of {window}×{window} where its signal is only {size[0]}×{size[1]}: the images are too small"
        )
    return (size[0] - window) // stride + 1, (size[1] - window) // stride + 1


def max_pool(window: int, stride: int, padding: str = "valid") -> SignalMap:
    """The largest entry under each window: (examples, *positions, channels) -> the same with fewer positions.

    Its gradient is four times as fast on CPU as that of `nnx.max_pool`.
    """
    return partial(_max_pool, window, stride, padding)


def _max_pool(window: int, stride: int, padding: str, h: Array) -> Array:
    positions = h.shape[1:-1]
    size = [-(-n // stride) if padding == "same" else (n - window) // stride + 1 for n in positions]
    reach = [(n - 1) * stride + 1 for n in size]
    short = [r + window - 1 - n for r, n in zip(reach, positions, strict=True)]
    around = [(max(0, s) // 2, max(0, s) - max(0, s) // 2) for s in short]
    h = jnp.pad(h, [(0, 0), *around, (0, 0)], constant_values=-jnp.inf)
    offsets = product(range(window), repeat=len(size))
    shifted = [
        h[(slice(None), *(slice(a, a + r, stride) for a, r in zip(offset, reach, strict=True)))]
        for offset in offsets
    ]
    return reduce(jnp.maximum, shifted)


def average_pool(window: int) -> SignalMap:
    """The mean of each of the windows side by side: (examples, *positions, channels) -> fewer positions."""
    return partial(_average_pool, window)


def _average_pool(window: int, h: Array) -> Array:
    sides = (window,) * (h.ndim - 2)
    pooled: Array = nnx.avg_pool(h, sides, sides)
    return pooled


def mean(h: Array) -> Array:
    """Global average pooling: (examples, *positions, channels) -> (examples, channels)."""
    return jnp.mean(h, axis=tuple(range(1, h.ndim - 1)))
