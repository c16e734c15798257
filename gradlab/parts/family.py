"""A family: the makers that may stand under one name of a recipe, with the bounds of their parameters."""

import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from types import MappingProxyType, ModuleType
from typing import Annotated, Any, NamedTuple, get_args, get_origin

from gradlab.recipe.bounds import Bound, Limit, bound
from gradlab.recipe.errors import RecipeError, hint

Maker = Callable[..., Any]
Limits = dict[str, Limit]


class UserFunction(NamedTuple):
    """How a plain function of a user's own becomes a part: the first `arguments` are not numbers of the recipe.

    `libraries` find the functions of a package by a rule of their own: {"optax": ...}.
    """

    arguments: int
    part: Callable[[Callable[..., Any]], Any]
    libraries: Mapping[str, Callable[[str], Callable[..., Any]]] = MappingProxyType({})


class Family:
    """name -> maker; a maker's parameters, with their annotations, are the keys its yaml must have.

    A maker registers by standing in a module of `package`. `common` are keys that every option but `none` has
    beside its own; `wrap(part, **common)` puts them in force. A name `package.module:function` is user-defined: a
    maker, or with `own` a plain function.
    """

    def __init__(
        self,
        name: str,
        package: str | None = None,
        own: UserFunction | None = None,
        common: dict[str, Any] | None = None,
        wrap: Callable[..., Any] | None = None,
    ) -> None:
        self.name = name
        self.own = own
        self.common = {key: bound(annotation) for key, annotation in (common or {}).items()}
        self.wrap = wrap
        self._package = package
        self._makers: dict[str, Maker] = {}
        self.rules: dict[str, Callable[..., None]] = {}

    @property
    def makers(self) -> dict[str, Maker]:
        """Every option's maker by name; imports the modules of the family's package the first time."""
        package, self._package = self._package, None
        if package is not None:
            for module in iter_modules(import_module(package).__path__):
                import_module(f"{package}.{module.name}")
        return self._makers

    def __call__(self, maker: Maker) -> Maker:
        """Register `maker` under its own name; a trailing underscore spares Python's words."""
        self._makers[maker.__name__.rstrip("_")] = maker
        return maker

    def checked(self, rule: Callable[..., None]) -> Callable[[Maker], Maker]:
        """Register a maker whose values must fit each other: `rule(**values)` raises RecipeError."""

        def register(maker: Maker) -> Maker:
            self.rules[self(maker).__name__.rstrip("_")] = rule
            return maker

        return register

    def parameters(self, name: str) -> Limits:
        """The declared bound of each parameter of the option called `name`."""
        shared = self.common if name != "none" else {}
        if ":" in name:
            return {key: limit for key, (limit, _) in self._own(name).items()} | shared
        if name not in self.makers:
            raise RecipeError(f"{self.name}={name} is not known{hint(str(name), self.makers)}")
        signature = inspect.signature(self.makers[name])
        return {key: bound(value.annotation) for key, value in signature.parameters.items()} | shared

    def check(self, part: dict[str, Any]) -> dict[str, Any]:
        """The part with every parameter of its kind and within its bounds, or a RecipeError."""
        name = str(part.get("name", ""))
        declared = self.parameters(name)
        given = {key: value for key, value in part.items() if key != "name"}
        if ":" in name:  # a user's own function has its defaults in its signature
            given = {
                key: default for key, (_, default) in self._own(name).items() if default is not _NEEDED
            } | given
        for key in given.keys() - declared.keys():
            known = [f"{self.name}.{word}" for word in declared]
            tail = hint(f"{self.name}.{key}", known) if known else "; it has none"
            raise RecipeError(f"{self.name}={name} has no option '{self.name}.{key}'{tail}")
        for key in declared.keys() - given.keys():
            raise RecipeError(f"{self.name}={name} needs {self.name}.{key}: {declared[key]}")
        checked = {key: limit.check(f"{self.name}.{key}", given[key]) for key, limit in declared.items()}
        if name in self.rules:
            self.rules[name](**checked)
        return {"name": name, **{key: value for key, value in checked.items() if value is not None}}

    def make(self, part: dict[str, Any]) -> Any:
        """The part itself; its numbers may be traced."""
        name = part["name"]
        values = {key: value for key, value in part.items() if key != "name" and key not in self.common}
        if ":" not in name:
            made = self.makers[name](**values)
        elif self.own is None:
            made = self._function(name)(**values)
        else:
            made = self.own.part(partial(self._function(name), **values))
        shared = {key: part[key] for key in self.common if key in part}
        return self.wrap(made, **shared) if self.wrap and shared else made

    def _function(self, name: str) -> Callable[..., Any]:
        find = self.own.libraries.get(name.partition(":")[0]) if self.own else None
        return find(name) if find else function(name, self.name)

    def _own(self, name: str) -> dict[str, tuple[Limit, Any]]:
        """A user's function's own parameters with their bounds and defaults."""
        found = self._function(name)
        try:
            listed = list(inspect.signature(found).parameters.values())
        except ValueError:  # built in: it does not tell
            return {}
        usual = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        numbers = [one for one in listed[self.own.arguments if self.own else 0 :] if one.kind in usual]
        known = {
            one.name: (_limit(one), _NEEDED if one.default is one.empty else one.default) for one in numbers
        }
        # a default that no recipe can hold (None, a function) stays the function's own matter
        return {key: (limit, default) for key, (limit, default) in known.items() if limit is not None}


@dataclass(frozen=True)
class Optional:
    """A number that a user's function may be given or not: its own default is None."""

    bound: Bound

    def __str__(self) -> str:
        return str(self.bound)

    def check(self, key: str, value: Any) -> Any:
        """The bound's, of what is given."""
        return None if value is None else self.bound.check(key, value)


_NEEDED = object()
_KINDS = (bool, int, float, str)


def _limit(parameter: inspect.Parameter) -> Any:
    """The bound of a user's parameter: declared by an annotation of `gradlab.recipe.bounds`, or its plain type."""
    annotation, default = parameter.annotation, parameter.default
    if get_origin(annotation) is Annotated and any(isinstance(one, Limit) for one in get_args(annotation)):
        return bound(annotation)
    if default is parameter.empty:
        return Bound(annotation if annotation in _KINDS else float)
    if default is None:
        kinds = {Bound(kind) for kind in (float, int) if kind in {annotation, *get_args(annotation)}}
        return Optional(min(kinds, key=lambda one: one.kind is int, default=Bound(float)))
    return Bound(type(default)) if type(default) in _KINDS else None


@cache
def function(name: str, group: str) -> Callable[..., Any]:
    """The user-defined `package.module:function`; the current folder is searched too, as by `python -m`.

    Raises:
        RecipeError: where the module cannot be imported, or has no such function.
    """
    module, _, attribute = name.partition(":")
    sys.path.insert(0, str(Path.cwd()))
    try:
        found: Any = import_module(module)
    except Exception as error:  # whatever a user's own module may raise
        raise RecipeError(
            f"{group}={name}: '{module}' cannot be imported ({error}); is it on the Python path?"
        ) from None
    finally:
        sys.path.remove(str(Path.cwd()))
    for word in attribute.split("."):
        if not hasattr(found, word):
            public = (
                [one for one in vars(found) if not one.startswith("_")] if hasattr(found, "__dict__") else []
            )
            near = hint(word, public) if len(public) < 12 or hint(word, public).startswith("; did") else ""
            raise RecipeError(f"{group}={name}: {module} has no '{word}'{near}")
        found = getattr(found, word)
        if isinstance(found, ModuleType):
            raise RecipeError(f"{group}={name}: '{word}' is a module; write {module}.{word}:…")
    if not callable(found):
        raise RecipeError(f"{group}={name} is not a function")
    user_function: Callable[..., Any] = found
    return user_function
