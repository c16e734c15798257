"""A plain convolutional network, made as the mlp is: `depth` equal convolutions, to ten thousand and more."""

from typing import Literal

from gradlab.nn import blocks, images
from gradlab.nn.blocks import Joint
from gradlab.nn.chain import Block
from gradlab.nn.linear_layer import LayerSpec
from gradlab.nn.model import Model, Plan, model
from gradlab.recipe.bounds import Size


@model
def cnn(branch: Size, window: Size, stem_stride: Size, padding: Literal["same", "circular"]) -> Model:
    """h_0 = layer(x) with a stride; h_l = residual(h_{l−1}, f), f of `branch` layers; logits = W·mean(h_depth) + b.

    Every layer but the last is a convolution of `width` channels: over images in two axes, over sequences
    (time, features) in one. The mean is over all places.
    """

    def build(plan: Plan) -> list[Block]:
        size = images.places(plan)
        wide, shape = plan.width * plan.activation.width_factor, (window,) * len(size)
        connection = plan.residual
        linear = connection.form == "first"
        hidden = blocks.branch(plan, branch, window=shape, padding=padding)
        first = LayerSpec(
            "",
            plan.shape[-1],
            plan.width,
            normed=not linear,
            behind=False,
            window=shape,
            stride=stem_stride,
            padding=padding,
        )
        last = LayerSpec("", wide, plan.outputs, normed=False, scale=connection.head)
        return [
            blocks.weighted("input", first, plan, active=not linear),
            blocks.joined("hidden", hidden, plan, Joint(wide, plan.depth), plan.depth),
            blocks.weighted("output", last, plan, images.mean, active=False),
        ]

    return build
