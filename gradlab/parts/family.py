"""A family: the options of one group of a recipe, each a maker with declared bounds of its parameters.

A maker is a function from the numbers of an option to the part: `leaky_relu(slope)` returns φ. Its name is the
option's name, its parameters are the keys of `conf/<group>/<option>.yaml`, and their annotations declare which values
are allowed (gradlab/recipe/bounds.py). Values are checked on the host; the part is made inside the trace.
"""

import hashlib
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from types import MappingProxyType, ModuleType
from typing import Annotated, Any, NamedTuple, TypeVar, get_args, get_origin

from gradlab.recipe import signals
from gradlab.recipe.bounds import Bound, Limit, bound
from gradlab.recipe.errors import RecipeError, UserError, described, hint
from gradlab.recipe.recipe import is_import_path

Maker = Callable[..., Any]
M = TypeVar("M", bound=Maker)
Limits = dict[str, Limit]


class UserFunction(NamedTuple):
    """How a user-defined function becomes a part without being a maker: `activation=jax.numpy:arctan`.

    arguments: how many of its first parameters are not numbers of the recipe (1 for an activation: z).
    part: the part, from the function with the numbers of the recipe filled in.
    libraries: packages whose functions are looked up in a special way: {"optax": lookup}, lookup(name) -> function.
    """

    arguments: int
    part: Callable[[Callable[..., Any]], Any]
    libraries: Mapping[str, Callable[[str], Callable[..., Any]]] = MappingProxyType({})


class Family:
    """Name -> maker, for the options of one group.

    name: the group's name in a recipe.
    package: the package whose modules register makers; None where all makers are in the module of the family itself.
    user_function: how a user-defined function `package.module:function` becomes a part; None: it is a maker.
    common: annotations of the keys that every option but `none` has in addition to its parameters; a parameter of that
        name takes its place.
    common_defaults: values of common keys; a checked part leaves out a key that has this value.
    wrap: wrap(part, **common values) is the part to which the common keys apply.
    """

    def __init__(
        self,
        name: str,
        package: str | None = None,
        user_function: UserFunction | None = None,
        common: dict[str, Any] | None = None,
        wrap: Callable[..., Any] | None = None,
        common_defaults: dict[str, Any] | None = None,
    ) -> None:
        self.name = name
        self.user_function = user_function
        self.common = {key: bound(annotation) for key, annotation in (common or {}).items()}
        self.common_defaults = common_defaults or {}
        self.wrap = wrap
        self.rules: dict[str, Callable[..., None]] = {}
        self._package = package
        self._makers: dict[str, Maker] = {}

    @property
    def makers(self) -> dict[str, Maker]:
        """Every option's maker by name; the first use imports the modules of the family's package."""
        package, self._package = self._package, None  # a module that is imported here may ask for the makers
        try:
            for module in iter_modules(import_module(package).__path__) if package else ():
                import_module(f"{package}.{module.name}")
        except BaseException:
            self._package = package
            raise
        return self._makers

    def __call__(self, maker: M) -> M:
        """Register `maker` under its name, without a trailing underscore (which avoids Python's keywords)."""
        self._makers[maker.__name__.rstrip("_")] = maker
        return maker

    def checked(self, rule: Callable[..., None]) -> Callable[[M], M]:
        """Register a maker whose values must fit each other: `rule(**values)` raises RecipeError."""

        def register(maker: M) -> M:
            self.rules[self(maker).__name__.rstrip("_")] = rule
            return maker

        return register

    def parameters(self, name: str) -> Limits:
        """The bound of each parameter of the option called `name`, the common keys included.

        Raises:
            RecipeError: where there is no such option, or the user-defined function cannot be imported.
        """
        common = self._common_of(name)
        if is_import_path(name):
            return {key: limit for key, (limit, _) in self._user_parameters(name).items()} | common
        if name not in self.makers:
            raise RecipeError(f"{self.name}={name} is not known{hint(str(name), self.makers)}")
        return _limits(self.makers[name]) | common

    def check(self, part: dict[str, Any], place: str = "") -> dict[str, Any]:
        """The part with every parameter of its declared type and within its bounds; messages call its keys `place.…`.

        Raises:
            RecipeError: for an unknown option or key, a missing key, or a value that is not allowed.
        """
        name, place = str(part.get("name", "")), place or self.name
        limits = self.parameters(name)
        given = {key: value for key, value in part.items() if key != "name"}
        common_defaults = {
            key: value for key, value in self.common_defaults.items() if key in self._common_of(name)
        }
        values = common_defaults | self._user_defaults(name) | given
        for key in values.keys() - limits.keys():
            known_keys = [f"{place}.{known}" for known in limits]
            suggestion = hint(f"{place}.{key}", known_keys) if known_keys else "; it has none"
            raise RecipeError(f"{self.name}={name} has no option '{place}.{key}'{suggestion}")
        for key in limits.keys() - values.keys():
            raise RecipeError(f"{self.name}={name} needs {place}.{key}: {limits[key]}")
        checked = {key: limit.check(f"{place}.{key}", values[key]) for key, limit in limits.items()}
        if name in self.rules:
            self.rules[name](**checked)
        left_out = {key for key, value in common_defaults.items() if checked[key] == value}
        kept = {key: value for key, value in checked.items() if value is not None and key not in left_out}
        return {"name": name, **kept}

    def make(self, part: dict[str, Any]) -> Any:
        """What the maker returns for a checked part; its numbers may be traced."""
        name = part["name"]
        shared = self._common_of(name)
        values = {key: value for key, value in part.items() if key != "name" and key not in shared}
        if not is_import_path(name):
            product = self.makers[name](**values)
        elif self.user_function is None:
            product = self._imported(name)(**values)
        else:
            product = self.user_function.part(partial(self._imported(name), **values))
        given = {**self.common_defaults, **part}
        common = {key: given[key] for key in shared if key in given}
        return self.wrap(product, **common) if self.wrap and common else product

    def _common_of(self, name: str) -> Limits:
        """The common keys of the option called `name`."""
        if name == "none":
            return {}
        own = {} if is_import_path(name) or name not in self.makers else _limits(self.makers[name])
        return {key: limit for key, limit in self.common.items() if key not in own}

    def _imported(self, name: str) -> Callable[..., Any]:
        """The user-defined function, by the lookup of its library where there is one."""
        lookup = self.user_function.libraries.get(name.partition(":")[0]) if self.user_function else None
        return lookup(name) if lookup else function(name, self.name)

    def _user_parameters(self, name: str) -> dict[str, tuple[Limit, Any]]:
        """The bound and the default of each number that a user-defined function takes."""
        imported = self._imported(name)
        try:
            signature = inspect.signature(imported)
        except ValueError:  # a built-in function does not tell its signature
            return {}
        positional = self.user_function.arguments if self.user_function else 0
        by_keyword = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        limits = {
            parameter.name: (_limit(parameter), parameter.default)
            for parameter in list(signature.parameters.values())[positional:]
            if parameter.kind in by_keyword
        }
        # a parameter whose default no recipe can hold (None, a function) always keeps that default
        return {key: (limit, default) for key, (limit, default) in limits.items() if limit is not None}

    def _user_defaults(self, name: str) -> dict[str, Any]:
        """The defaults in the signature of a user-defined function; those of other options are in `conf/`."""
        if not is_import_path(name):
            return {}
        return {
            key: default
            for key, (_, default) in self._user_parameters(name).items()
            if default is not inspect.Parameter.empty
        }


@cache
def _limits(maker: Maker) -> Limits:
    """The bound of each parameter of a maker; a grid asks for them in each of its cells."""
    parameters = inspect.signature(maker).parameters
    return {key: bound(parameter.annotation) for key, parameter in parameters.items()}


@dataclass(frozen=True)
class OptionalBound:
    """The bound of a number whose default in a user-defined function is None."""

    bound: Bound

    def __str__(self) -> str:
        return str(self.bound)

    def check(self, key: str, value: Any) -> Any:
        """None, or the value as the bound gives it.

        Raises:
            RecipeError: where the value is outside the bound.
        """
        return None if value is None else self.bound.check(key, value)


_VALUE_TYPES = (bool, int, float, str)


def _limit(parameter: inspect.Parameter) -> Limit | None:
    """The bound of a user's parameter: declared as in `gradlab.recipe.bounds`, or the type of its default."""
    annotation, default = parameter.annotation, parameter.default
    if get_origin(annotation) is Annotated and any(
        isinstance(extra, Limit) for extra in get_args(annotation)
    ):
        return bound(annotation)
    if default is parameter.empty:
        return Bound(annotation if annotation in _VALUE_TYPES else float)
    if default is None:
        allowed = {annotation, *get_args(annotation)}  # of `int | None`, both
        return OptionalBound(Bound(int if int in allowed and float not in allowed else float))
    return Bound(type(default)) if type(default) in _VALUE_TYPES else None


@cache
def function(name: str, group: str) -> Callable[..., Any]:
    """The user-defined `package.module:function`; the current folder is searched too, as by `python -m`.

    Raises:
        RecipeError: where the module cannot be imported, or has no such function.
    """
    module, _, path = name.partition(":")
    target: Any = _import_module(module, f"{group}={name}")
    for attribute in path.split("."):
        if not hasattr(target, attribute):
            raise RecipeError(f"{group}={name}: {module} has no '{attribute}'{_similar(attribute, target)}")
        target = getattr(target, attribute)
        if isinstance(target, ModuleType):
            raise RecipeError(f"{group}={name}: '{attribute}' is a module; write {module}.{attribute}:…")
    if not callable(target):
        raise RecipeError(f"{group}={name} is not a function")
    user_function: Callable[..., Any] = target
    return user_function


def source_digests(names: Iterable[str]) -> dict[str, str]:
    """Of user-defined `package.module:function`s: a digest of the source file of each module, by the module's name.

    A module without a source file, or of an installed library that tells its version, is left out.
    """
    digests = {}
    for name in names:
        module = name.partition(":")[0]
        with suppress(TypeError, OSError, KeyError):
            file = inspect.getsourcefile(sys.modules[module])
            if file and "site-packages" not in file:
                digests[module] = hashlib.sha256(Path(file).read_bytes()).hexdigest()[:8]
    return digests


def _import_module(module: str, choice: str) -> ModuleType:
    """The module that a choice `group=module:function` names, searched in the current folder too."""
    sys.path.insert(0, str(Path.cwd()))
    try:
        return import_module(module)
    except BaseException as error:  # a user's module may raise anything
        if signals.is_request(error):
            raise
        reason = str(error) if isinstance(error, Exception) else described(error)
        raise UserError(
            f"{choice}: '{module}' cannot be imported ({reason}); is it on the Python path?"
        ) from None
    finally:
        sys.path.remove(str(Path.cwd()))


def _similar(attribute: str, target: Any) -> str:
    """A hint at the public names of a module or class; of many names only at a close one."""
    public = (
        [name for name in vars(target) if not name.startswith("_")] if hasattr(target, "__dict__") else []
    )
    suggestion = hint(attribute, public)
    return suggestion if len(public) < 12 or suggestion.startswith("; did") else ""
