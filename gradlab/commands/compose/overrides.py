"""The words of a command line, `key=value`, read by Hydra's grammar and spread into the cells of a grid."""

import itertools
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override, QuotedString
from hydra.errors import HydraException

from gradlab.commands.compose.spelling import meant
from gradlab.recipe.errors import RecipeError

MOST_CELLS = 10_000
LONG = 60  # letters of one key and value in a label
PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,79}")  # no dots, no slashes: a name cannot leave its folder


@dataclass(frozen=True)
class Setting:
    """One key and the values it takes in turn; a grid has several."""

    key: str
    values: tuple[Any, ...]
    sweep: bool = False


Cell = dict[str, Any]  # one value for each key


def read(words: Iterable[str], groups: dict[str, list[str]]) -> list[Setting]:
    """Every word of the command line as a Setting; the later of two words for one key wins."""
    settings = [_setting(word, groups) for word in words]
    return list({setting.key: setting for setting in settings}.values())


def read_grid(params: dict[str, Any], groups: dict[str, list[str]]) -> list[Setting]:
    """The grid of an experiment's file: {"clip": "none,norm"} means what `-m clip=none,norm` means."""
    return read([f"{key}={_text(value)}" for key, value in params.items()], groups)


def cells(settings: Sequence[Setting]) -> list[Cell]:
    """Every combination of the values, the last key changing fastest."""
    total = math.prod(len(setting.values) for setting in settings)
    if total > MOST_CELLS:
        raise RecipeError(f"this grid has {total} cells or more; at most {MOST_CELLS} are run at once")
    keys = [setting.key for setting in settings]
    return [
        dict(zip(keys, values, strict=True)) for values in itertools.product(*(s.values for s in settings))
    ]


def all_cells(grids: Iterable[Sequence[Setting]]) -> list[Cell]:
    """The cells of one grid after another: an experiment may list several."""
    found: list[Cell] = []
    for settings in grids:
        found += cells(settings)
        if len(found) > MOST_CELLS:
            raise RecipeError(
                f"these grids have {len(found)} cells or more; at most {MOST_CELLS} are run at once"
            )
    return found


def differing(rows: Sequence[Cell]) -> list[str]:
    """The keys that tell the cells apart, in the order in which they were said."""
    keys = dict.fromkeys(key for cell in rows for key in cell)
    return [key for key in keys if len({repr(cell.get(key)) for cell in rows}) > 1]


def label(cell: Cell, keys: Iterable[str]) -> str:
    """What tells a cell from the others of its grid: `depth=10 clip=norm`."""
    words = {key: f"{key}={cell[key]}" for key in keys if key in cell}
    return " ".join(text if len(text) <= LONG else f"{text[:LONG]}…" for text in words.values())


def _setting(word: str, groups: dict[str, list[str]]) -> Setting:
    override = _parse(word, groups)
    key = override.key_or_group
    if override.is_delete():
        raise RecipeError(f"'{word}': a recipe loses nothing; choose another option, as in clip=none")
    if override.package is not None:
        raise RecipeError(f"'{word}': no '@' in a key, the place of every option is fixed")
    return Setting(key, _values(override, word, groups), bool(override.is_sweep_override()))


def _parse(word: str, groups: dict[str, list[str]]) -> Override:
    if "=" not in word and not word.startswith("~"):
        home = next((group for group, names in groups.items() if word in names), "")
        wanted = f"; did you mean '{home}={word}'?" if home else ", as in depth=50"
        raise RecipeError(f"'{word}' is not key=value{wanted}")
    if "${" in word:  # nothing of the environment enters a recipe by a reference
        raise RecipeError(
            f"'{word.partition('=')[0]}': write the value itself, references (${{…}}) are not taken"
        )
    try:
        return OverridesParser.create().parse_override(word)
    except HydraException as error:
        reason = str(error).splitlines()[0]
        raise RecipeError(
            f"'{word}' cannot be read: {reason}; quote what has commas, spaces or brackets"
        ) from None


def _values(override: Override, word: str, groups: dict[str, list[str]]) -> tuple[Any, ...]:
    if not override.is_sweep_override():
        return (override.value(),)
    if isinstance(swept := override.value(), Glob):
        found = swept.filter(groups.get(override.key_or_group, []))
        if not found:
            raise RecipeError(f"'{word}' matches nothing{meant(override.key_or_group, groups)}")
        return tuple(found)
    if not override.is_discrete_sweep():
        raise RecipeError(f"'{word}': an interval has no end; use a list a,b or range(start,stop,step)")
    first = itertools.islice(override.sweep_iterator(), MOST_CELLS + 1)  # a range may be long
    return tuple(value.text if isinstance(value, QuotedString) else value for value in first)


def _text(value: Any) -> str:
    """A value of a YAML file in the command line's words: a list is a grid; null is refused later."""
    if isinstance(value, list | tuple):
        return ",".join(map(_text, value))
    if isinstance(value, bool):
        return str(value).lower()
    return "null" if value is None else str(value)
