"""What a user says of a foreign run, `clip=norm`, `lr=0.1`: parts of a recipe, and nothing that was not said."""

from collections.abc import Iterable, Mapping
from typing import Any

from gradlab.recipe.errors import RecipeError, hint
from gradlab.recipe.recipe import FAMILIES, LIMITS

# keys of a recipe that a log may have, too; the others say how gradlab trains and stores
KEYS = ("lr", "batch_size", "accumulate", "depth", "width", "dropout", "dtype", "seed")


def known_parts(stated: Mapping[str, Any]) -> dict[str, Any]:
    """The stated choices as recipe.yaml has them: {"clip": "norm", "clip.threshold": 1.0} is a part with a number.

    Raises:
        RecipeError: there is no such key, or its value is none that it can have.
    """
    parts: dict[str, Any] = {}
    for key, value in stated.items():
        group, _, number = key.partition(".")
        if key in FAMILIES:
            parts[key] = {"name": _word(key, value)}
        elif key in KEYS:
            parts[key] = LIMITS[key].check(key, value)
        elif number and group in FAMILIES:
            if "name" not in parts.get(group, {}):
                raise RecipeError(f"{key}={value} is a number of an option; give {group}=NAME before it")
            parts[group][number] = _number(key, value)
        else:
            raise RecipeError(f"there is no choice '{key}' to state{hint(key, (*FAMILIES, *KEYS))}")
    return parts


def _word(key: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise RecipeError(f"{key}={value} must be the name of an option, as {key}=none")
    return value.strip()


def _number(key: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RecipeError(f"{key}={value} must be a number")
    return float(value)


def parsed(words: Iterable[str]) -> dict[str, Any]:
    """The words KEY=VALUE of a command line, numbers as numbers.

    Raises:
        RecipeError: one has no value.
    """
    stated: dict[str, Any] = {}
    for word in words:
        key, _, text = word.partition("=")
        if not text:
            raise RecipeError(f"{word} has no value; give KEY=VALUE, as lr=0.1")
        stated[key] = _value(text)
    return stated


def _value(text: str) -> Any:
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text
