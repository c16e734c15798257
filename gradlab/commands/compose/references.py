"""What the references in composed values refer to: `width: ${depth}` is the depth of the same recipe.

OmegaConf defines what a reference means, and takes 10 ms for all values of a recipe. A reference to a plain value is
followed here; whatever else there is (a reference to a reference, to nothing, a missing value) is left to OmegaConf.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gradlab.commands.compose import vetting
from gradlab.recipe.errors import RecipeError

MISSING = "???"
_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_.]*)\}")


class _UnusualError(Exception):
    """A value is neither literal nor a reference to a literal one."""


@contextmanager
def errors_in_one_line() -> Iterator[None]:
    """Raise the errors of Hydra and OmegaConf as RecipeErrors, with the key where they occurred."""
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        place = getattr(error, "full_key", None)
        reason = " ".join(str(error).splitlines()[0].split())
        raise RecipeError(f"{f'{place}: ' if place else ''}{reason}") from None


def is_literal(value: Any) -> bool:
    """Whether OmegaConf would leave a value as it stands: no reference in it, and nothing missing."""
    if isinstance(value, dict):
        texts = all(isinstance(key, str) and is_literal(key) for key in value)
        return texts and all(map(is_literal, value.values()))
    if isinstance(value, list):
        return all(map(is_literal, value))
    return not isinstance(value, str) or ("$" not in value and value != MISSING)


def resolved(values: dict[str, Any]) -> dict[str, Any]:
    """The values with what their references refer to.

    Raises:
        RecipeError: for what is no plain reference, for a reference to nothing, and for a missing value.
    """
    try:
        return {key: _followed(value, values) for key, value in values.items()}
    except _UnusualError:
        vetting.require_plain_references(values)
    with errors_in_one_line():
        plain = OmegaConf.to_container(OmegaConf.create(values), resolve=True, throw_on_missing=True)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def _followed(value: Any, values: dict[str, Any]) -> Any:
    """A value of `values` with its references to literal values followed."""
    if is_literal(value):
        return value
    if isinstance(value, dict) and all(isinstance(key, str) and is_literal(key) for key in value):
        return {key: _followed(entry, values) for key, entry in value.items()}
    if isinstance(value, list):
        return [_followed(entry, values) for entry in value]
    if not isinstance(value, str) or "$" in _REFERENCE.sub("", value) or "\\" in value or value == MISSING:
        raise _UnusualError
    if reference := _REFERENCE.fullmatch(value):
        return _literal_at(reference[1], values)
    return _REFERENCE.sub(lambda reference: _text_at(reference[1], values), value)


def _literal_at(key: str, values: Any) -> Any:
    """The value at a dotted key."""
    for name in key.split("."):
        if not isinstance(values, dict) or name not in values:
            raise _UnusualError
        values = values[name]
    if not is_literal(values):
        raise _UnusualError
    return values


def _text_at(key: str, values: Any) -> str:
    """The number or text at a dotted key, as it stands in a longer text."""
    value = _literal_at(key, values)
    if isinstance(value, dict | list):
        raise _UnusualError
    return str(value)
