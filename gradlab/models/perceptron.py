"""The single-layer perceptron: one layer of weights between the input and the output."""

from gradlab.nn import blocks, images
from gradlab.nn.chain import Block
from gradlab.nn.linear_layer import WeightLayerSpec
from gradlab.nn.model import Model, Plan, model
from gradlab.recipe.errors import RecipeError


@model
def perceptron() -> Model:
    """output = φ(W x + b): with a sigmoid and squared errors the delta rule's unit, with φ(z) = z softmax regression.

    There is no hidden layer: width, normalization, residual connection and dropout have no effect.

    The returned function raises RecipeError for a depth other than 1, and for activation=crelu.
    """

    def build(plan: Plan) -> list[Block]:
        images.require_numeric(plan)
        if plan.depth != 1:
            raise RecipeError(f"has exactly 1 layer; got depth={plan.depth}; choose model=mlp")
        if plan.activation.width_factor != 1:
            raise RecipeError("needs an activation with one output per unit; crelu has two")
        spec = WeightLayerSpec("", plan.features, plan.outputs, has_norm=False, follows_activation=False)
        return [blocks.linear_block("output", spec, plan._replace(dropout=None), blocks.flatten)]

    return build
