"""The numbers of a run as named scalars of a step: `steps/loss`, `backward/hidden 3` (log10).

A value that was not measured (null) has no scalar; NaN and ±inf are values. Tables of parameters and of time steps are
left out: they would make one scalar for every array of the network, and for every time step.
"""

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gradlab.measurements.columns import KEYS
from gradlab.recipe.printing import one_line, printable
from gradlab.report.summary import title

if TYPE_CHECKING:
    import pandas as pd

    from gradlab.store.read import Run

TABLES = ("steps", "layers", "notes")


class Series(NamedTuple):
    """A measured column of a seed; all three of shape (rows,)."""

    tags: np.ndarray
    values: np.ndarray  # float64, which holds every stored number
    measured: np.ndarray  # bool


class Scalars(NamedTuple):
    """The scalars of one step."""

    step: int
    values: dict[str, float]  # by tag


def seeds(run: "Run") -> list[int]:
    """The seeds of a run that have rows."""
    return sorted({int(seed) for seed in run.steps["seed"]})


def scalars(run: "Run", seed: int) -> Iterator[Scalars]:
    """Every measured number of a seed, step by step.

    The tag of a column of steps is `steps/COLUMN`, that of a column of layers `COLUMN/LAYER` without `log10_`, that of
    a measure inside a block `notes/MEASURE/LAYER`. Rows of the fixed batch of examples have `probe/` before the tag.
    """
    tables = [_series(run, table, seed) for table in TABLES]
    for step in sorted({int(step) for steps, _ in tables for step in steps}):
        yield Scalars(step, {tag: value for table in tables for tag, value in _at(step, *table)})


def _series(run: "Run", table: str, seed: int) -> tuple[np.ndarray, list[Series]]:
    """The steps of a table's rows, ascending, and its measured columns."""
    frame: pd.DataFrame = getattr(run, table)
    frame = frame[frame["seed"] == seed]
    frame = frame.iloc[np.argsort(frame["step"].to_numpy(), kind="stable")]
    return frame["step"].to_numpy(), [_column(frame, table, column) for column in _measured(frame, table)]


def _measured(frame: "pd.DataFrame", table: str) -> list[str]:
    keys = {name for name, _ in KEYS[table]}
    return [column for column in frame.columns if column not in keys]


def _column(frame: "pd.DataFrame", table: str, column: str) -> Series:
    values = frame[column]
    numbers = values.to_numpy(dtype="float64", na_value=np.nan)
    return Series(_tags(frame, table, column), numbers, values.notna().to_numpy(dtype=bool))


def _tags(frame: "pd.DataFrame", table: str, column: str) -> Any:
    before: Any = np.where(frame["source"].to_numpy(dtype=object) == "probe", "probe/", "").astype(object)
    if table == "steps":
        return before + f"steps/{column}"
    layers = _layer_names(frame)
    if table == "notes":
        return before + "notes/" + frame["measure"].to_numpy(dtype=object) + "/" + layers
    return before + f"{column.removeprefix('log10_')}/" + layers


def _layer_names(frame: "pd.DataFrame") -> Any:
    """The name of each row's layer; with its number where two layers have one name."""
    names = frame["name"].to_numpy(dtype=object)
    numbers = frame["layer"].to_numpy()
    if len(set(zip(names, numbers, strict=True))) == len(set(names)):
        return names
    return np.array([f"{number} {name}" for number, name in zip(numbers, names, strict=True)], dtype=object)


def _at(step: int, steps: np.ndarray, series: list[Series]) -> Iterator[tuple[str, float]]:
    first, end = np.searchsorted(steps, [step, step + 1])
    for column in series:
        there = column.measured[first:end]
        values = column.values[first:end][there].tolist()
        yield from zip(column.tags[first:end][there], values, strict=True)


def definitions(run: "Run") -> dict[str, str]:
    """What the scalars of the steps and the layers mean, with the unit, by tag; `…` stands for the layer."""
    steps = {f"steps/{name}": meaning for name, meaning in run.meanings("steps").items()}
    layers = {f"{name.removeprefix('log10_')}/…": meaning for name, meaning in run.meanings("layers").items()}
    return {tag: f"{meaning.definition} [{meaning.unit}]" for tag, meaning in (steps | layers).items()}


def label(run: "Run", seed: int) -> PurePosixPath:
    """What a seed of a run is called elsewhere: `study/run`, and `study/run/seed_3` of a run with several seeds."""
    folder = run.folder.resolve()
    name = PurePosixPath(*(printable(one_line(part)) for part in (folder.parent.name, folder.name)))
    return name / f"seed_{seed}" if len(seeds(run)) > 1 else name


def facts(run: "Run", seed: int) -> dict[str, bool | int | float | str]:
    """The recipe by readable key, this seed, and the state of the run; what is no number or word as text."""
    plain = {
        key: value if isinstance(value, bool | int | float | str) else str(value)
        for key, value in run.choices.items()
    }
    return plain | {"seed": seed, "state": run.status["state"], "recipe": title(run)}
