"""The option that a user-defined network replaces: model.name names its function."""

from gradlab.nn.model import Model, model
from gradlab.recipe.errors import RecipeError


@model
def custom() -> Model:
    """`model=custom model.name=package.module:function`: build(plan, key) -> the network (docs/own.md).

    Raises:
        RecipeError: always; a model.name with a colon never comes here.
    """
    raise RecipeError(
        "model=custom needs your function: model.name=package.module:function; docs/own.md has examples"
    )
