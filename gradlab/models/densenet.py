"""DenseNet-BC (Huang et al. 2017): every layer sees the outputs of all before it in its block."""

from functools import partial

import jax.numpy as jnp
from jax import Array

from gradlab.nn import block_layers, blocks, images
from gradlab.nn.block_layers import Pass
from gradlab.nn.chain import Block, BlockAux, BlockContext
from gradlab.nn.images import Multiple, scaled, shrunk
from gradlab.nn.linear_layer import LayerSpec
from gradlab.nn.model import Model, Plan, model
from gradlab.numerics.tree import Tree
from gradlab.recipe.errors import RecipeError


@model
def densenet(width_mult: Multiple) -> Model:
    """Three dense blocks of (depth − 4)/6 layers; width is the growth k, what each layer adds to the channels.

    A layer is [h, W_3×3 φ(norm(W_1×1 φ(norm(h))))] with 4k channels between; a transition halves the channels and
    averages 2×2 places; the stem has 2k channels. Depth 100 and k = 12: 769 162 parameters for ten classes. Its
    skip is the concatenation, so the residual connection stays none.
    """

    def build(plan: Plan) -> list[Block]:
        size, many = images.image(plan), (plan.depth - 4) // 6
        if plan.depth != 6 * many + 4 or many < 1:
            raise RecipeError(f"has 6n + 4 layers, 40 or 100 for example; got depth={plan.depth}")
        if plan.residual.skip:
            raise RecipeError("joins by concatenation and has no other skip; choose residual=none")
        growth = scaled(plan.width, width_mult)
        channels = 2 * growth
        stem = blocks.convolution("", plan.shape[-1], channels, 3, plan, normed=False, behind=False)
        found = [blocks.weighted("input", stem, plan, active=False)]
        for stage in (1, 2, 3):
            for k in range(1, many + 1):
                found.append(_layer(f"dense{stage}_{k}", channels, growth, plan))
                channels += growth
            if stage < 3:
                found.append(_transition(f"transition{stage}", channels, plan))
                channels, size = channels // 2, shrunk(size, 2, 2)
        last = LayerSpec(
            "", channels * plan.activation.width_factor, plan.outputs, blocks.signal(plan), ahead=True
        )
        return [*found, blocks.ahead("output", last, plan, images.mean)]

    return build


def _layer(name: str, channels: int, growth: int, plan: Plan) -> Block:
    width_factor = plan.activation.width_factor
    the = [
        blocks.convolution("layer1/", channels * width_factor, 4 * growth, 1, plan, ahead=True),
        blocks.convolution("layer2/", 4 * growth * width_factor, growth, 3, plan, ahead=True),
    ]

    def apply(params: Tree, h: Array, context: BlockContext) -> tuple[Array, BlockAux]:
        run = Pass(the, plan, params, context)
        return jnp.concatenate([h, run.first(1, run.first(0, h))], axis=-1), run.notes()

    return Block(name, partial(block_layers.draw, the, plan), apply)


def _transition(name: str, channels: int, plan: Plan) -> Block:
    the = blocks.convolution("", channels * plan.activation.width_factor, channels // 2, 1, plan, ahead=True)
    return blocks.ahead(name, the, plan, after=images.average_pool(2))
