"""The single-layer perceptron: one layer of weights between the input and the answer."""

from gradlab.errors import RecipeError
from gradlab.models import blocks, images
from gradlab.models.chain import Block
from gradlab.models.dense import Dense
from gradlab.models.family import Model, Plan, model


@model
def perceptron() -> Model:
    """output = φ(W x + b): with a sigmoid and squared errors the delta rule's, with φ(z) = z softmax regression.

    Nothing is hidden: width, normalization, residual connection and dropout have no place in it.
    """

    def build(plan: Plan) -> list[Block]:
        images.numbers(plan)
        if plan.depth != 1:
            raise RecipeError(f"has exactly 1 layer; got depth={plan.depth}; choose model=mlp")
        if plan.activation.widen != 1:
            raise RecipeError("needs an activation that makes one answer of one; crelu makes two")
        the = Dense("", plan.features, plan.outputs, normed=False, behind=False)
        return [blocks.weighted("output", the, plan._replace(dropout=None), blocks.flat)]

    return build
