"""Residual networks of the size for ImageNet (He et al. 2016, table 1)."""

from gradlab.nn import blocks, images
from gradlab.nn.chain import Block, identity
from gradlab.nn.images import ImageSize, WidthMultiplier, scaled
from gradlab.nn.linear_layer import WeightLayerSpec
from gradlab.nn.model import Model, Plan, model
from gradlab.nn.residual_stages import Stage, stage_blocks, stem_options
from gradlab.recipe.errors import RecipeError

STAGES = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}


@model
def resnet_imagenet(layout: ImageSize, width_mult: WidthMultiplier) -> Model:
    """18 and 34: four stages of blocks of two 3×3 convolutions; 50: of 1×1, 3×3, 1×1 with four times the channels.

    50: 25 557 032 parameters for 1000 classes. Where shapes change, the skip is a 1×1 convolution with its
    normalization (option B); the stride is that of the 3×3 convolution. Large images: a stem of 7×7 with stride 2
    and a 3×3 max pool; small ones: 3×3 and no pool. width is the first stage's channels.
    """

    def build(plan: Plan) -> list[Block]:
        return _resnet_imagenet(plan, layout, width_mult)

    return build


def _resnet_imagenet(plan: Plan, layout: ImageSize, width_mult: float) -> list[Block]:
    if plan.depth not in STAGES:
        raise RecipeError(f"has 18, 34 or 50 layers; got depth={plan.depth}")
    large = images.is_large(layout, images.image(plan), 64)
    expansion, first = 4 if plan.depth == 50 else 1, scaled(plan.width, width_mult)
    stages = [
        Stage(count, first * 2**k, expansion, min(k + 1, 2)) for k, count in enumerate(STAGES[plan.depth])
    ]
    window, stride = (7, 2) if large else (3, 1)
    stem = blocks.convolution("", plan.shape[-1], first, window, plan, stride, **stem_options(plan))
    pool = images.max_pool(3, 2, "same") if large else identity
    active = plan.residual.activation_place != "before_weights"
    return [
        blocks.linear_block("input", stem, plan, after=pool, active=active),
        *stage_blocks(stages, first, plan, _projection),
    ]


def _projection(channels: int, width: int, stride: int, plan: Plan) -> WeightLayerSpec:
    """A 1×1 convolution with its normalization; without it where the branch normalizes its input."""
    has_norm = plan.residual.activation_place != "before_weights" and plan.normalization.place == "before"
    has_norm = has_norm or plan.normalization.place == "kernel"
    return blocks.convolution("skip/", channels, width, 1, plan, stride, has_norm=has_norm)
