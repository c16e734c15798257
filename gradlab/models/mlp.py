"""The multilayer perceptron: an input block, `depth` equal hidden blocks run by `lax.scan`, an output block."""

from dataclasses import replace
from itertools import groupby

from gradlab.nn import blocks, images
from gradlab.nn.blocks import ResidualSpec
from gradlab.nn.chain import Block
from gradlab.nn.linear_layer import WeightLayerSpec
from gradlab.nn.model import Model, Plan, model
from gradlab.recipe.bounds import Branch


@model
def mlp(branch: Branch) -> Model:
    """h_0 = layer(x); h_l = residual(h_{l−1}, f), f of `branch` layers, l = 1…depth; logits = W h_depth + b.

    Where the activation comes first in a branch, h_0 = W x + b, as in He et al. 2016b. Any numeric input is
    taken as a vector. With plan.widths, h_0 has the first width and h_l the next ones.
    """

    def build(plan: Plan) -> list[Block]:
        images.require_numeric(plan)
        width = plan.width * plan.activation.width_factor
        pre_activation = plan.residual.activation_place == "before_weights"
        first = WeightLayerSpec(
            "", plan.features, plan.width, has_norm=not pre_activation, follows_activation=False
        )
        start = blocks.linear_block("input", first, plan, blocks.flatten, active=not pre_activation)
        if plan.widths:
            last = plan.widths[-1] * plan.activation.width_factor
            return [start, *_tapered(branch, plan), blocks.output_block(plan, last, blocks.flatten)]
        hidden, residual = blocks.branch_specs(plan, branch), ResidualSpec(width, plan.depth)
        return [
            start,
            blocks.residual_block("hidden", hidden, plan, residual, plan.depth),
            blocks.output_block(plan, width, blocks.flatten),
        ]

    return build


def _tapered(branch: int, plan: Plan) -> list[Block]:
    """The hidden blocks of an mlp of several widths, named by their number; equal neighbours are one stack."""
    factor, pairs = plan.activation.width_factor, zip(plan.widths, plan.widths[1:], strict=False)
    chain: list[Block] = []
    first = 1
    for (before, width), equal in groupby(pairs):
        count = len(list(equal))
        names = tuple(f"hidden {layer}" for layer in range(first, first + count))
        sized = plan._replace(width=width)
        specs = blocks.branch_specs(sized, branch, before * factor)
        site = ResidualSpec(width * factor, plan.depth, preceding=first - 1)
        block = blocks.residual_block(names[0], specs, sized, site, None if count == 1 else count)
        chain.append(block if count == 1 else replace(block, labels=names))
        first += count
    return chain
