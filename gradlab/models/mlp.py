"""The multilayer perceptron: an input block, `depth` equal hidden blocks run by `lax.scan`, an output block."""

from gradlab.nn import blocks, images
from gradlab.nn.blocks import Joint
from gradlab.nn.chain import Block
from gradlab.nn.linear_layer import LayerSpec
from gradlab.nn.model import Model, Plan, model
from gradlab.recipe.bounds import Size


@model
def mlp(branch: Size) -> Model:
    """h_0 = layer(x); h_l = residual(h_{l−1}, f), f of `branch` layers, l = 1…depth; logits = W h_depth + b.

    Where the activation comes first in a branch, h_0 = W x + b, as He et al. 2016b have it. Any input is a vector.
    """

    def build(plan: Plan) -> list[Block]:
        images.numbers(plan)
        wide = plan.width * plan.activation.width_factor
        joined = plan.residual
        linear = joined.form == "first"
        hidden = blocks.branch(plan, branch)
        first = LayerSpec("", plan.features, plan.width, normed=not linear, behind=False)
        last = LayerSpec("", wide, plan.outputs, normed=False, scale=joined.head)
        return [
            blocks.weighted("input", first, plan, blocks.flat, active=not linear),
            blocks.joined("hidden", hidden, plan, Joint(wide, plan.depth), plan.depth),
            blocks.weighted("output", last, plan, blocks.flat, active=False),
        ]

    return build
