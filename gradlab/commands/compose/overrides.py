"""The words of a command line, `key=value`, parsed by Hydra's grammar and expanded to the points of a grid."""

import itertools
import math
import shlex
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override, QuotedString, RangeSweep

from gradlab.commands.compose.spelling import MOST_LISTED, Groups, suggestion
from gradlab.recipe.errors import RecipeError

MOST_RUNS = 10_000
LONGEST_WORD = 100_000  # characters: ten thousand seeds; the parser takes a second for them
LONGEST_LIST = 5_000  # values of a list in brackets, for which it takes a second too
DEEPEST = 20  # lists and mappings in each other
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
        RecipeError: for an entry that is not `key=value` in Hydra's grammar, and for a list without a value.
    """
    for key, value in params.items():
        if isinstance(value, list) and not value:
            raise RecipeError(f"the grid's list of {key} is empty; give one value or more")
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
    values = _values(override, word, groups)
    if not values:
        raise RecipeError(f"'{word}' is a list without a value; give one or more")
    if _levels(values) > DEEPEST:
        raise RecipeError(f"'{word}' is a list or mapping of more than {DEEPEST} levels")
    return Setting(key, values, bool(override.is_sweep_override()))


def _levels(values: tuple[Any, ...]) -> int:
    """How deep lists and mappings stand in each other."""
    levels, entries = 0, list(values)
    while entries:
        inner = [value for value in entries if isinstance(value, dict | list)]
        entries = [
            entry for value in inner for entry in (value.values() if isinstance(value, dict) else value)
        ]
        levels += 1
    return levels


def _parse_word(word: str, groups: Groups) -> Override:
    if len(word) > LONGEST_WORD:
        raise RecipeError(f"'{word}' has {len(word):,} characters; at most {LONGEST_WORD:,} are read")
    if "[" in word and word.count(",") >= LONGEST_LIST:
        raise RecipeError(f"'{word}': a list in brackets has at most {LONGEST_LIST:,} values")
    if "=" not in word and not word.startswith("~"):
        group = next((group for group, names in groups.items() if word in names), "")
        hint = f"; did you mean '{group}={word}'?" if group else ", as in depth=50"
        raise RecipeError(f"'{word}' is not key=value{hint}")
    if "${" in word:  # a reference could bring values of the environment into a recipe
        key = word.partition("=")[0]
        raise RecipeError(f"'{key}': write the value itself; references (${{…}}) are not allowed")
    try:
        return OverridesParser.create().parse_override(word)
    except (
        Exception
    ) as error:  # besides its own errors, those of Python that it meets: an integer of 5000 digits
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise RecipeError(f"'{word}' cannot be parsed: {reason}{_as_text(word)}") from None


def _as_text(word: str) -> str:
    """The end of a message: how the word is written in a shell so that its value is taken as it stands."""
    key, _, value = word.partition("=")
    quotes = value.replace('"', '\\"')
    for escaped in (
        quotes,
        value.replace("\\", "\\\\").replace('"', '\\"'),
    ):  # a backslash counts before a quote only
        quoted = f'{key}="{escaped}"'
        with suppress(Exception):  # the key cannot be parsed either
            if OverridesParser.create().parse_override(quoted).value() == value:
                return f"; to take the value as it stands, write {shlex.quote(quoted)}"
    return "; put quotes around a value with commas, spaces or brackets"


def _values(override: Override, word: str, groups: Groups) -> tuple[Any, ...]:
    if not override.is_sweep_override():
        return (override.value(),)
    if isinstance(swept := override.value(), Glob):
        names = swept.filter(groups.get(override.key_or_group, []))
        if not names:
            raise RecipeError(f"'{word}' matches nothing{_globbed(override.key_or_group, groups)}")
        return tuple(names)
    if not override.is_discrete_sweep():
        raise RecipeError(
            f"'{word}': an interval is not a list of values; write a,b or range(start,stop,step)"
        )
    if isinstance(swept, RangeSweep):
        _check_range(swept, word)
    values = itertools.islice(override.sweep_iterator(), MOST_RUNS + 1)  # a range may be long
    return tuple(map(_unquoted, values))


def _globbed(key: str, groups: Groups) -> str:
    """The end of a message: the options that a pattern may match, or the group that was probably meant."""
    if key in groups:
        return f"; {key} has {', '.join(groups[key])}" if len(groups[key]) <= MOST_LISTED else ""
    return f": a pattern stands for options of a group{suggestion(key, groups)}"


def _unquoted(value: Any) -> Any:
    """A value of a sweep as it stands alone: Hydra leaves the quotes of those."""
    if isinstance(value, list):
        return [_unquoted(entry) for entry in value]
    if isinstance(value, dict):
        return {_unquoted(key): _unquoted(entry) for key, entry in value.items()}
    return value.text if isinstance(value, QuotedString) else value


def _check_range(swept: RangeSweep, word: str) -> None:
    """Refuse a range that has no end, or more values than a grid may have, before any of them is made."""
    assert swept.start is not None
    assert swept.stop is not None
    try:
        count = (swept.stop - swept.start) / swept.step
    except (ZeroDivisionError, OverflowError):
        count = math.nan
    if not math.isfinite(count):
        raise RecipeError(f"'{word}': a range needs finite numbers and a step other than 0")
    if count > MOST_RUNS:
        raise RecipeError(f"'{word}' has {count:.4g} values; at most {MOST_RUNS} can run at once")


def text(value: Any) -> str:
    """A value of YAML or Python as it is written on the command line: a list is a grid, maybe of lists."""
    if isinstance(value, list | tuple):
        return ",".join(f"[{text(entry)}]" if isinstance(entry, list) else text(entry) for entry in value)
    if isinstance(value, bool):
        return str(value).lower()
    return "null" if value is None else str(value)
