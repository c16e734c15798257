"""The multilayer perceptron: an input block, `depth` equal hidden blocks run by `lax.scan`, an output block."""

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
    taken as a vector.
    """

    def build(plan: Plan) -> list[Block]:
        images.require_numeric(plan)
        width = plan.width * plan.activation.width_factor
        pre_activation = plan.residual.activation_place == "before_weights"
        first = WeightLayerSpec(
            "", plan.features, plan.width, has_norm=not pre_activation, follows_activation=False
        )
        hidden, residual = blocks.branch_specs(plan, branch), ResidualSpec(width, plan.depth)
        return [
            blocks.linear_block("input", first, plan, blocks.flatten, active=not pre_activation),
            blocks.residual_block("hidden", hidden, plan, residual, plan.depth),
            blocks.output_block(plan, width, blocks.flatten),
        ]

    return build
