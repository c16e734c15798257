"""What convolutional networks ask of their input, and the pools between their layers."""

from collections.abc import Callable
from functools import reduce
from itertools import product
from typing import Annotated, Literal

import jax.numpy as jnp
from flax import nnx
from jax import Array

from gradlab.nn.model import Plan
from gradlab.recipe.bounds import Bound
from gradlab.recipe.errors import RecipeError

Map = Callable[[Array], Array]
Multiple = Annotated[float, Bound(float, 0, 64, open_low=True)]  # of the published channels
Layout = Literal["auto", "large", "small"]  # which images a network is laid out for; large is as published


def numbers(plan: Plan) -> None:
    """Refuse tokens, and targets for every step."""
    if plan.vocabulary:
        raise RecipeError(
            "takes numbers, and this data is tokens; choose a recurrent network or a transformer"
        )
    if plan.each:
        raise RecipeError("answers once an example, and this data wants an answer for every time step")


def image(plan: Plan) -> tuple[int, int]:
    """Height and width of the images, or a RecipeError."""
    numbers(plan)
    if len(plan.shape) != 3:
        raise RecipeError(f"takes images (height, width, channels), not examples of shape {plan.shape}")
    return plan.shape[0], plan.shape[1]


def large(layout: Layout, size: tuple[int, int], least: int) -> bool:
    """Whether the published layout is wanted: `auto` takes it for images of at least so many places a side."""
    return layout == "large" or (layout == "auto" and min(size) >= least)


def places(plan: Plan) -> tuple[int, ...]:
    """The axes of places of images or sequences, or a RecipeError."""
    numbers(plan)
    if len(plan.shape) not in (2, 3):
        raise RecipeError(
            "takes images (height, width, channels) or sequences (time, features), "
            f"not examples of shape {plan.shape}"
        )
    return plan.shape[:-1]


def published(plan: Plan, width: int, depths: tuple[int, ...]) -> None:
    """Refuse a depth or width that a named network does not have."""
    if plan.depth not in depths:
        *others, last = map(str, depths)
        known = f"{', '.join(others)} or {last}" if others else f"exactly {last}"
        raise RecipeError(f"has {known} layers; got depth={plan.depth}")
    if plan.width != width:
        raise RecipeError(
            f"has its published channels, width={width}; got width={plan.width}; scale all of them by "
            "model.width_mult"
        )


def scaled(channels: int, width_mult: float) -> int:
    """The channels of a layer, at least one."""
    return max(1, round(channels * width_mult))


def shrunk(size: tuple[int, int], window: int, stride: int = 1, padding: str = "valid") -> tuple[int, int]:
    """The size behind a window, or a RecipeError where it does not fit."""
    if padding != "valid":
        return -(-size[0] // stride), -(-size[1] // stride)
    if min(size) < window:
        raise RecipeError(
            f"has a window of {window}×{window} where its signal is only {size[0]}×{size[1]}: the images are too small"
        )
    return (size[0] - window) // stride + 1, (size[1] - window) // stride + 1


def max_pool(window: int, stride: int, padding: str = "valid") -> Map:
    """The largest entry under each window; its gradient is four times as fast on CPU as that of `nnx.max_pool`."""

    def pool(h: Array) -> Array:
        size = [-(-n // stride) if padding == "same" else (n - window) // stride + 1 for n in h.shape[1:-1]]
        reach = [(n - 1) * stride + 1 for n in size]
        short = [r + window - 1 - n for r, n in zip(reach, h.shape[1:-1], strict=True)]
        around = [(max(0, s) // 2, max(0, s) - max(0, s) // 2) for s in short]
        h = jnp.pad(h, [(0, 0), *around, (0, 0)], constant_values=-jnp.inf)
        cuts = product(range(window), repeat=len(size))
        parts = [
            h[(slice(None), *(slice(a, a + r, stride) for a, r in zip(at, reach, strict=True)))]
            for at in cuts
        ]
        return reduce(jnp.maximum, parts)

    return pool


def average_pool(window: int) -> Map:
    """The mean of each of the windows side by side."""
    return lambda h: nnx.avg_pool(h, (window,) * (h.ndim - 2), (window,) * (h.ndim - 2))


def mean(h: Array) -> Array:
    """Global average pooling: the mean of each channel over its places."""
    return jnp.mean(h, axis=tuple(range(1, h.ndim - 1)))
