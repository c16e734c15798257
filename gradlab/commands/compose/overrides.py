"""The words of a command line, `key=value`, parsed by Hydra's grammar and expanded to the points of a grid."""

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override, QuotedString
from hydra.errors import HydraException

from gradlab.commands.compose.spelling import Groups, suggestion
from gradlab.recipe.errors import RecipeError

MOST_RUNS = 10_000
LABEL_LENGTH = 60  # characters of one key=value in a label


@dataclass(frozen=True)
class Setting:
    """A key and its values: one, or several if the key is an axis of a grid."""

    key: str
    values: tuple[Any, ...]
    sweep: bool = False  # whether it is written as a list of values


GridPoint = dict[str, Any]  # one value for each key


def parse(words: Iterable[str], groups: Groups) -> list[Setting]:
    """The words of a command line as settings; of two words for one key the later one counts.

    Raises:
        RecipeError: for a word that is not `key=value` in Hydra's grammar.
    """
    settings = [_setting(word, groups) for word in words]
    return list({setting.key: setting for setting in settings}.values())


def parse_grid(params: dict[str, Any], groups: Groups) -> list[Setting]:
    """The grid of an experiment's file: {"clip": "none,norm"} means what `-m clip=none,norm` means.

    Raises:
        RecipeError: for an entry that is not `key=value` in Hydra's grammar.
    """
    return parse([f"{key}={text(value)}" for key, value in params.items()], groups)


def grid_points(grids: Iterable[Sequence[Setting]]) -> list[GridPoint]:
    """Every combination of the values of each grid, the last key changing fastest, one grid after the other.

    Raises:
        RecipeError: if there are more than `MOST_RUNS`.
    """
    points: list[GridPoint] = []
    for settings in grids:
        total = len(points) + math.prod(len(setting.values) for setting in settings)
        if total > MOST_RUNS:
            raise RecipeError(f"this grid has {total} runs or more; at most {MOST_RUNS} can run at once")
        keys = [setting.key for setting in settings]
        combinations = itertools.product(*(setting.values for setting in settings))
        points += [dict(zip(keys, values, strict=True)) for values in combinations]
    return points


def differing_keys(points: Sequence[GridPoint]) -> list[str]:
    """The keys in which the points differ, in the order of their first appearance."""
    keys = dict.fromkeys(key for point in points for key in point)
    return [key for key in keys if len({repr(point.get(key)) for point in points}) > 1]


def label(point: GridPoint, keys: Iterable[str]) -> str:
    """A point by these keys: `depth=10 clip=norm`."""
    words = [f"{key}={point[key]}" for key in keys if key in point]
    return " ".join(word if len(word) <= LABEL_LENGTH else f"{word[:LABEL_LENGTH]}…" for word in words)


def _setting(word: str, groups: Groups) -> Setting:
    override = _parse_word(word, groups)
    key = override.key_or_group
    if override.is_delete():
        raise RecipeError(f"'{word}': a key cannot be removed; choose another option, as in clip=none")
    if override.package is not None:
        raise RecipeError(f"'{word}': a key cannot have an '@'; the place of every option is fixed")
    return Setting(key, _values(override, word, groups), bool(override.is_sweep_override()))


def _parse_word(word: str, groups: Groups) -> Override:
    if "=" not in word and not word.startswith("~"):
        group = next((group for group, names in groups.items() if word in names), "")
        hint = f"; did you mean '{group}={word}'?" if group else ", as in depth=50"
        raise RecipeError(f"'{word}' is not key=value{hint}")
    if "${" in word:  # a reference could bring values of the environment into a recipe
        key = word.partition("=")[0]
        raise RecipeError(f"'{key}': write the value itself; references (${{…}}) are not allowed")
    try:
        return OverridesParser.create().parse_override(word)
    except HydraException as error:
        reason = str(error).splitlines()[0]
        raise RecipeError(
            f"'{word}' cannot be parsed: {reason}; put quotes around a value with commas, spaces or brackets"
        ) from None


def _values(override: Override, word: str, groups: Groups) -> tuple[Any, ...]:
    if not override.is_sweep_override():
        return (override.value(),)
    if isinstance(swept := override.value(), Glob):
        names = swept.filter(groups.get(override.key_or_group, []))
        if not names:
            raise RecipeError(f"'{word}' matches nothing{suggestion(override.key_or_group, groups)}")
        return tuple(names)
    if not override.is_discrete_sweep():
        raise RecipeError(
            f"'{word}': an interval is not a list of values; write a,b or range(start,stop,step)"
        )
    values = itertools.islice(override.sweep_iterator(), MOST_RUNS + 1)  # a range may be long
    return tuple(value.text if isinstance(value, QuotedString) else value for value in values)


def text(value: Any) -> str:
    """A value of YAML or Python as it is written on the command line: a list is a grid; null is refused later."""
    if isinstance(value, list | tuple):
        return ",".join(map(text, value))
    if isinstance(value, bool):
        return str(value).lower()
    return "null" if value is None else str(value)
