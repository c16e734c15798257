"""A plain convolutional network, built as the mlp is: `depth` equal convolutions, ten thousand and more if wanted."""

from typing import Literal

from gradlab.nn import blocks, images
from gradlab.nn.blocks import ResidualSpec
from gradlab.nn.chain import Block
from gradlab.nn.linear_layer import WeightLayerSpec
from gradlab.nn.model import Model, Plan, model
from gradlab.recipe.bounds import Branch, Size


@model
def cnn(branch: Branch, window: Size, stem_stride: Size, padding: Literal["same", "circular"]) -> Model:
    """h_0 = layer(x) with a stride; h_l = residual(h_{l−1}, f), f of `branch` layers; logits = W·mean(h_depth) + b.

    Every layer but the last is a convolution of `width` channels: over images in two axes, over sequences
    (time, features) in one. The mean is over all positions.
    """

    def build(plan: Plan) -> list[Block]:
        shape = (window,) * len(images.spatial_shape(plan))
        width = plan.width * plan.activation.width_factor
        pre_activation = plan.residual.activation_place == "before_weights"
        first = WeightLayerSpec(
            "",
            plan.shape[-1],
            plan.width,
            has_norm=not pre_activation,
            follows_activation=False,
            window=shape,
            stride=stem_stride,
            padding=padding,
        )
        hidden = blocks.branch_specs(plan, branch, window=shape, padding=padding)
        residual = ResidualSpec(width, plan.depth)
        return [
            blocks.linear_block("input", first, plan, active=not pre_activation),
            blocks.residual_block("hidden", hidden, plan, residual, plan.depth),
            blocks.output_block(plan, width, images.mean),
        ]

    return build
