"""DenseNet-BC (Huang et al. 2017): every layer takes the outputs of all before it in its block."""

from collections.abc import Sequence
from functools import partial

import jax.numpy as jnp
from jax import Array

from gradlab.nn import block_layers, blocks, images
from gradlab.nn.block_layers import merged
from gradlab.nn.chain import Block, BlockAux, BlockContext
from gradlab.nn.images import WidthMultiplier, output_size, scaled
from gradlab.nn.linear_layer import WeightLayerSpec
from gradlab.nn.model import Model, Plan, model
from gradlab.numerics.tree import Tree
from gradlab.recipe.errors import RecipeError


@model
def densenet(width_mult: WidthMultiplier) -> Model:
    """Three dense blocks of (depth − 4)/6 layers; width is the growth k, what each layer adds to the channels.

    A layer is [h, W_3×3 φ(norm(W_1×1 φ(norm(h))))] with 4k channels between; a transition halves the channels and
    averages 2×2 positions; the stem has 2k channels. Depth 100 and k = 12: 769 162 parameters for ten classes. Its
    skip is the concatenation, so the residual connection stays none.

    The returned function raises RecipeError for a residual connection, and for a depth that is not 6n + 4.
    """

    def build(plan: Plan) -> list[Block]:
        size, layers_per_block = images.image(plan), (plan.depth - 4) // 6
        if plan.depth != 6 * layers_per_block + 4 or layers_per_block < 1:
            raise RecipeError(f"has 6n + 4 layers, 40 or 100 for example; got depth={plan.depth}")
        if plan.residual.has_skip:
            raise RecipeError("joins by concatenation and has no other skip; choose residual=none")
        growth = scaled(plan.width, width_mult)
        channels = 2 * growth
        stem = blocks.convolution(
            "", plan.shape[-1], channels, 3, plan, has_norm=False, follows_activation=False
        )
        chain = [blocks.linear_block("input", stem, plan, active=False)]
        for stage in (1, 2, 3):
            for k in range(1, layers_per_block + 1):
                chain.append(_layer(f"dense{stage}_{k}", channels, growth, plan))
                channels += growth
            if stage < 3:
                chain.append(_transition(f"transition{stage}", channels, plan))
                channels, size = channels // 2, output_size(size, 2, 2)
        last = WeightLayerSpec(
            "",
            channels * plan.activation.width_factor,
            plan.outputs,
            blocks.normalizes_signal(plan),
            pre_activation=True,
        )
        return [*chain, blocks.pre_activation_block("output", last, plan, images.mean)]

    return build


def _layer(name: str, channels: int, growth: int, plan: Plan) -> Block:
    width_factor = plan.activation.width_factor
    specs = [
        blocks.convolution("layer1/", channels * width_factor, 4 * growth, 1, plan, pre_activation=True),
        blocks.convolution("layer2/", 4 * growth * width_factor, growth, 3, plan, pre_activation=True),
    ]

    return Block(name, partial(block_layers.draw, specs, plan), partial(_apply_layer, specs, plan))


def _apply_layer(
    specs: Sequence[WeightLayerSpec], plan: Plan, params: Tree, h: Array, context: BlockContext
) -> tuple[Array, BlockAux]:
    layers = block_layers.build(specs, plan, params, context)
    between, first = layers.pre_act_layer(0, h)
    grown, second = layers.pre_act_layer(1, between)
    return jnp.concatenate([h, grown], axis=-1), merged(first, second)


def _transition(name: str, channels: int, plan: Plan) -> Block:
    spec = blocks.convolution(
        "", channels * plan.activation.width_factor, channels // 2, 1, plan, pre_activation=True
    )
    return blocks.pre_activation_block(name, spec, plan, after=images.average_pool(2))
