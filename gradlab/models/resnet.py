"""Residual networks: of CIFAR's size (He et al. 2016, section 4.2) and of ImageNet's (table 1)."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from gradlab.nn import blocks, images
from gradlab.nn.blocks import Joint, Map
from gradlab.nn.chain import Block
from gradlab.nn.images import Layout, Multiple, scaled
from gradlab.nn.linear_layer import LayerSpec
from gradlab.nn.model import Model, Plan, model
from gradlab.recipe.errors import RecipeError

STAGES = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}


class Stage(NamedTuple):
    """Equal residual blocks: how many, the channels inside, how many times more outside, the stride of the first."""

    blocks: int
    channels: int
    expansion: int
    stride: int


@model
def resnet(width_mult: Multiple) -> Model:
    """depth = 6n + 2: a 3×3 stem, three stages of n blocks of two 3×3 convolutions with 16, 32, 64 channels.

    20: 269 722 parameters, 110: 1 727 962, for ten classes. Where a stage halves the places, the skip takes every
    second one and fills the new channels with zeros (the article's option A). width is the first stage's channels.
    """

    def build(plan: Plan) -> list[Block]:
        images.image(plan)
        many = (plan.depth - 2) // 6
        if plan.depth != 6 * many + 2 or many < 1:
            raise RecipeError(f"has 6n + 2 layers, 20 or 110 for example; got depth={plan.depth}")
        first = scaled(plan.width, width_mult)
        stages = [Stage(many, first * 2**k, 1, min(k + 1, 2)) for k in range(3)]
        stem = blocks.convolution("", plan.shape[-1], first, 3, plan, **_opening(plan))
        return [
            blocks.weighted("input", stem, plan, active=plan.residual.form != "first"),
            *_stages(stages, first, plan, _subsampled),
        ]

    return build


@model
def resnet_imagenet(layout: Layout, width_mult: Multiple) -> Model:
    """18 and 34: four stages of blocks of two 3×3 convolutions; 50: of 1×1, 3×3, 1×1 with four times the channels.

    50: 25 557 032 parameters for 1000 classes. Where shapes change, the skip is a 1×1 convolution with its
    normalization (option B); the stride is that of the 3×3 convolution. Large images: a stem of 7×7 with stride 2
    and a 3×3 max pool; small ones: 3×3 and no pool. width is the first stage's channels.
    """

    def build(plan: Plan) -> list[Block]:
        return _imagenet(plan, layout, width_mult)

    return build


def _imagenet(plan: Plan, layout: Layout, width_mult: float) -> list[Block]:
    if plan.depth not in STAGES:
        raise RecipeError(f"has 18, 34 or 50 layers; got depth={plan.depth}")
    large = images.large(layout, images.image(plan), 64)
    expansion, first = 4 if plan.depth == 50 else 1, scaled(plan.width, width_mult)
    stages = [
        Stage(count, first * 2**k, expansion, min(k + 1, 2)) for k, count in enumerate(STAGES[plan.depth])
    ]
    window, stride = (7, 2) if large else (3, 1)
    stem = blocks.convolution("", plan.shape[-1], first, window, plan, stride, **_opening(plan))
    pool = images.max_pool(3, 2, "same") if large else blocks.same
    active = plan.residual.form != "first"
    return [
        blocks.weighted("input", stem, plan, after=pool, active=active),
        *_stages(stages, first, plan, _projected),
    ]


def _opening(plan: Plan) -> dict[str, bool]:
    """The stem has no normalization where the first block begins with one."""
    return {"normed": plan.residual.form != "first", "behind": False}


Skip = Callable[
    [int, int, int, Plan], LayerSpec | Map
]  # (channels in, channels out, stride) -> what carries h on


def _stages(stages: list[Stage], channels: int, plan: Plan, skip: Skip) -> list[Block]:
    """The residual blocks, and the output behind them; a stage's first block stands alone where shapes change."""
    total, passed, found = sum(stage.blocks for stage in stages), 0, []
    width_factor, form = plan.activation.width_factor, plan.residual.form
    channels *= width_factor
    for number, stage in enumerate(stages, 1):
        wide = stage.channels * stage.expansion * width_factor
        alone = int(stage.stride > 1 or wide != channels)
        if alone:
            branch = _branch(stage, channels, stage.stride, plan, total)
            carried = skip(channels, wide, stage.stride, plan) if plan.residual.skip else blocks.same
            found.append(
                blocks.joined(f"entry{number}", branch, plan, Joint(wide, total, passed, carried), None)
            )
        if stage.blocks > alone:
            branch = _branch(stage, wide, 1, plan, total)
            joint = Joint(wide, total, passed + alone)
            found.append(blocks.joined(f"stage{number}", branch, plan, joint, stage.blocks - alone))
        channels, passed = wide, passed + stage.blocks
    last = LayerSpec("", channels, plan.outputs, normed=False, scale=plan.residual.head)
    if form != "first":
        return [*found, blocks.weighted("output", last, plan, images.mean, active=False)]
    last = LayerSpec("", channels, plan.outputs, blocks.signal(plan), scale=plan.residual.head, ahead=True)
    return [*found, blocks.ahead("output", last, plan, images.mean)]


def _branch(stage: Stage, fan_in: int, stride: int, plan: Plan, total: int) -> list[LayerSpec]:
    """Two 3×3 convolutions, or 1×1, 3×3 and 1×1."""
    inner, width_factor = stage.channels, plan.activation.width_factor
    sizes = [(3, inner, stride), (3, inner, 1)]
    if stage.expansion > 1:
        sizes = [(1, inner, 1), (3, inner, stride), (1, inner * stage.expansion, 1)]
    found = []
    for k, (window, channels, step) in enumerate(sizes, 1):
        more = {
            "scale": plan.residual.shrink(k, len(sizes), total),
            "ahead": plan.residual.form == "first",
        }
        if not plan.residual.bias:
            more["bias"] = False
        found.append(blocks.convolution(f"layer{k}/", fan_in, channels, window, plan, step, **more))
        fan_in = channels * width_factor
    return found


def _subsampled(channels: int, wide: int, stride: int, plan: Plan) -> Map:
    """Every `stride`-th place, with zeros for the channels that are new."""

    def carry(h: Array) -> Array:
        return jnp.pad(h[:, ::stride, ::stride], [(0, 0)] * 3 + [(0, wide - channels)])

    return carry


def _projected(channels: int, wide: int, stride: int, plan: Plan) -> LayerSpec:
    """A 1×1 convolution with its normalization; without where the branch normalizes its input."""
    normed = plan.residual.form != "first" and plan.normalization.place == "before"
    normed = normed or plan.normalization.place == "kernel"
    return blocks.convolution("skip/", channels, wide, 1, plan, stride, normed=normed)
