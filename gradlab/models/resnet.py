"""Residual networks of the size for CIFAR (He et al. 2016, section 4.2)."""

from functools import partial

import jax.numpy as jnp
from jax import Array

from gradlab.nn import blocks, images
from gradlab.nn.blocks import SignalMap
from gradlab.nn.chain import Block
from gradlab.nn.images import WidthMultiplier, scaled
from gradlab.nn.model import Model, Plan, model
from gradlab.nn.residual_stages import Stage, stage_blocks, stem_options
from gradlab.recipe.errors import RecipeError


@model
def resnet(width_mult: WidthMultiplier) -> Model:
    """depth = 6n + 2: a 3×3 stem, three stages of n blocks of two 3×3 convolutions with 16, 32, 64 channels.

    20: 269 722 parameters, 110: 1 727 962, for ten classes. Where a stage halves the positions, the skip takes every
    second one and fills the new channels with zeros (the article's option A). width is the first stage's channels.

    The returned function raises RecipeError for a depth that is not 6n + 2.
    """

    def build(plan: Plan) -> list[Block]:
        images.image(plan)
        count = (plan.depth - 2) // 6
        if plan.depth != 6 * count + 2 or count < 1:
            raise RecipeError(f"has 6n + 2 layers, 20 or 110 for example; got depth={plan.depth}")
        first = scaled(plan.width, width_mult)
        stages = [Stage(count, first * 2**k, 1, min(k + 1, 2)) for k in range(3)]
        stem = blocks.convolution("", plan.shape[-1], first, 3, plan, **stem_options(plan))
        return [
            blocks.linear_block(
                "input", stem, plan, active=plan.residual.activation_place != "before_weights"
            ),
            *stage_blocks(stages, first, plan, _subsampling),
        ]

    return build


def _subsampling(channels: int, width: int, stride: int, plan: Plan) -> SignalMap:
    """Every `stride`-th position, with zeros for the new channels."""
    return partial(_subsample, stride, width - channels)


def _subsample(stride: int, new_channels: int, h: Array) -> Array:
    return jnp.pad(h[:, ::stride, ::stride], [(0, 0)] * 3 + [(0, new_channels)])
