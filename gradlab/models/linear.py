"""Linear regression, and the deep linear network: a product of matrices."""

from dataclasses import replace

from gradlab.nn import blocks, images
from gradlab.nn.chain import Block
from gradlab.nn.linear_layer import LayerSpec
from gradlab.nn.model import Model, Plan, model
from gradlab.recipe.bounds import Flag


@model
def linear(bias: Flag) -> Model:
    """output = W_depth … W_2 W_1 x, each with a bias where that is asked for; depth 1 is linear regression.

    What depth alone does to a gradient (Saxe et al. 2013). There is no activation, and no part that goes with one.
    """

    def build(plan: Plan) -> list[Block]:
        images.numbers(plan)
        if plan.depth == 1:
            return [_map("output", plan.features, plan.outputs, plan)]
        first = _map("input", plan.features, plan.width, plan)
        last = _map("output", plan.width, plan.outputs, plan)
        equal = [_map("hidden", plan.width, plan.width, plan, plan.depth - 2)] if plan.depth > 2 else []
        return [first, *equal, last]

    def _map(name: str, fan_in: int, fan_out: int, plan: Plan, count: int | None = None) -> Block:
        the = LayerSpec("", fan_in, fan_out, normed=False, bias=bias, behind=False)
        return replace(blocks.weighted(name, the, plan, blocks.flat, active=False), count=count)

    return build
