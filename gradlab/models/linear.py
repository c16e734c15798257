"""Linear regression, and the deep linear network: a product of matrices."""

from dataclasses import replace
from functools import partial

from gradlab.nn import blocks, images
from gradlab.nn.chain import Block
from gradlab.nn.linear_layer import WeightLayerSpec
from gradlab.nn.model import Model, Plan, model
from gradlab.recipe.bounds import Flag


@model
def linear(bias: Flag) -> Model:
    """output = W_depth … W_2 W_1 x, each with a bias where `bias` is true; depth 1 is linear regression.

    It shows what depth alone does to a gradient (Saxe et al. 2013). It has no activation, and nothing that needs one.
    """

    return partial(_linear, bias)


def _linear(bias: bool, plan: Plan) -> list[Block]:
    images.require_numeric(plan)
    if plan.depth == 1:
        return [_layer("output", plan.features, plan.outputs, bias, plan)]
    chain = [_layer("input", plan.features, plan.width, bias, plan)]
    if plan.depth > 2:
        hidden = _layer("hidden", plan.width, plan.width, bias, plan)
        chain.append(replace(hidden, count=plan.depth - 2))
    return [*chain, _layer("output", plan.width, plan.outputs, bias, plan)]


def _layer(name: str, fan_in: int, fan_out: int, bias: bool, plan: Plan) -> Block:
    spec = WeightLayerSpec("", fan_in, fan_out, has_norm=False, bias=bias, follows_activation=False)
    return blocks.linear_block(name, spec, plan, blocks.flatten, active=False)
