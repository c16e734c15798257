"""The recipes of runs as tables: what is common to all of them, and what differs."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from gradlab.store.read import Run

NONE = "–"  # of a run that does not have the choice


class Choices(NamedTuple):
    """Choices by key; the values of those that differ stand in the order of the runs."""

    common: dict[str, str]
    differing: dict[str, list[str]]


def choices(runs: Sequence["Run"]) -> Choices:
    """The choices of the runs: of a single one all are common."""
    of_runs = [run.choices for run in runs]
    values = {
        key: [text(chosen, key) for chosen in of_runs] for chosen in of_runs for key in chosen
    }  # in the order of the first recipe that has the key
    return Choices(
        {key: row[0] for key, row in values.items() if len(set(row)) == 1},
        {key: row for key, row in values.items() if len(set(row)) > 1},
    )


def text(chosen: Mapping[str, Any], key: str) -> str:
    """A value as a cell."""
    if key not in chosen or chosen[key] is None:
        return NONE
    value = chosen[key]
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)
