"""The place of a network of one's own, until it is named."""

from gradlab.nn.model import Model, model
from gradlab.recipe.errors import RecipeError


@model
def custom() -> Model:
    """`model=custom model.name=package.module:function`: build(plan, key) -> the network (docs/own.md)."""
    raise RecipeError(
        "model=custom needs your function: model.name=package.module:function, as docs/own.md has it"
    )
