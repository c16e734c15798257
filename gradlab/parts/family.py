"""A family: the makers that may stand under one name of a recipe, with the bounds of their parameters."""

import inspect
from collections.abc import Callable
from typing import Any

from gradlab.bounds import bound
from gradlab.errors import RecipeError, hint

Maker = Callable[..., Any]


class Family:
    """name -> maker; a maker's parameters, with their annotations, are the keys its yaml must have."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.makers: dict[str, Maker] = {}

    def __call__(self, maker: Maker) -> Maker:
        """Register `maker` under its own name; a trailing underscore spares Python's words."""
        self.makers[maker.__name__.rstrip("_")] = maker
        return maker

    def parameters(self, name: str) -> dict[str, Any]:
        """The declared bound of each parameter of the maker called `name`."""
        if name not in self.makers:
            raise RecipeError(f"{self.name}={name} is not known{hint(str(name), self.makers)}")
        signature = inspect.signature(self.makers[name])
        return {key: bound(value.annotation) for key, value in signature.parameters.items()}

    def check(self, part: dict[str, Any]) -> dict[str, Any]:
        """The part with every parameter of its kind and within its bounds, or a RecipeError."""
        name = part.get("name", "")
        declared = self.parameters(name)
        given = {key: value for key, value in part.items() if key != "name"}
        for key in given.keys() - declared.keys():
            known = [f"{self.name}.{word}" for word in declared]
            tail = hint(f"{self.name}.{key}", known) if known else "; it has none"
            raise RecipeError(f"{self.name}={name} has no option '{self.name}.{key}'{tail}")
        for key in declared.keys() - given.keys():
            raise RecipeError(f"{self.name}={name} needs {self.name}.{key}: {declared[key]}")
        checked = {key: value.check(f"{self.name}.{key}", given[key]) for key, value in declared.items()}
        return {"name": name, **checked}

    def make(self, part: dict[str, Any]) -> Any:
        """The part itself; its numbers may be traced."""
        return self.makers[part["name"]](**{key: value for key, value in part.items() if key != "name"})
