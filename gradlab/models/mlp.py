"""The multilayer perceptron: an input block, `depth` equal hidden blocks run by `lax.scan`, an output block."""

from gradlab.bounds import Size
from gradlab.models import blocks, images
from gradlab.models.blocks import Joint
from gradlab.models.chain import Block
from gradlab.models.dense import Dense
from gradlab.models.family import Model, Plan, model


@model
def mlp(branch: Size) -> Model:
    """h_0 = layer(x); h_l = residual(h_{l−1}, f), f of `branch` layers, l = 1…depth; logits = W h_depth + b.

    Where the activation comes first in a branch, h_0 = W x + b, as He et al. 2016b have it. Any input is a vector.
    """

    def build(plan: Plan) -> list[Block]:
        images.numbers(plan)
        wide = plan.width * plan.activation.widen
        joined = plan.residual
        linear = joined.form == "first"
        hidden = blocks.branch(plan, branch)
        first = Dense("", plan.features, plan.width, normed=not linear, behind=False)
        last = Dense("", wide, plan.outputs, normed=False, scale=joined.head)
        return [
            blocks.weighted("input", first, plan, blocks.flat, active=not linear),
            blocks.joined("hidden", hidden, plan, Joint(wide, plan.depth), plan.depth),
            blocks.weighted("output", last, plan, blocks.flat, active=False),
        ]

    return build
