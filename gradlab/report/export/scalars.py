"""The numbers of a run as named scalars of a step: `steps/loss`, `backward/hidden 3` (log10).

A value that was not measured (null) has no scalar; NaN and ±inf are values. Tables of parameters and of time steps are
left out: they would make one scalar for every array of the network, and for every time step.
"""

from collections.abc import Collection, Iterator
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


class Rows(NamedTuple):
    """The rows of a table of one seed, ascending in steps; the tag of a number is before + column + after."""

    steps: np.ndarray  # (rows,)
    before: np.ndarray  # (rows,), words
    after: np.ndarray  # (rows,), words
    columns: dict[
        str, tuple[np.ndarray, np.ndarray]
    ]  # values in float64, which holds all, and whether measured


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
    tables = [_rows(run, table, seed) for table in TABLES]
    for step in sorted({int(step) for rows in tables for step in rows.steps}):
        yield Scalars(step, {tag: value for rows in tables for tag, value in _at(step, rows)})


def _rows(run: "Run", table: str, seed: int) -> Rows:
    frame: pd.DataFrame = getattr(run, table)
    frame = frame[frame["seed"] == seed]
    frame = frame.iloc[np.argsort(frame["step"].to_numpy(), kind="stable")]
    before = np.where(frame["source"].to_numpy(dtype=object) == "probe", "probe/", "")
    measured = frame.columns.difference([name for name, _ in KEYS[table]], sort=False)
    columns = {word: _numbers(frame[name]) for name, word in _words(table, measured).items()}
    return Rows(frame["step"].to_numpy(), before, _after(frame, table), columns)


def _words(table: str, columns: Collection[str]) -> dict[str, str]:
    """By column, the part of a tag that is the same in all its rows; `log10_` stays where two would be one without."""
    short = {name: name.removeprefix("log10_") for name in columns}
    unique = {name: name if rest in short else rest for name, rest in short.items() if rest != name}
    word = {"steps": "steps/{0}", "layers": "{1}/", "notes": "notes/"}[table]
    return {name: word.format(name, unique.get(name, name)) for name in columns}


def _after(frame: "pd.DataFrame", table: str) -> Any:
    """The part of each row's tag that names the layer and, in the table of notes, the measure."""
    if table == "steps":
        return np.full(len(frame), "")
    layers = _layer_names(frame)
    return layers if table == "layers" else frame["measure"].to_numpy(dtype=object) + "/" + layers


def _numbers(values: "pd.Series[float]") -> tuple[np.ndarray, np.ndarray]:
    return values.to_numpy(dtype="float64", na_value=np.nan), values.notna().to_numpy(dtype=bool)


def _layer_names(frame: "pd.DataFrame") -> Any:
    """The name of each row's layer; with its number where two layers have one name."""
    names = frame["name"].to_numpy(dtype=object)
    numbers = frame["layer"].to_numpy()
    if len(set(zip(names, numbers, strict=True))) == len(set(names)):
        return names
    return np.array([f"{number} {name}" for number, name in zip(numbers, names, strict=True)], dtype=object)


def _at(step: int, rows: Rows) -> Iterator[tuple[str, float]]:
    first, end = np.searchsorted(rows.steps, [step, step + 1])
    for word, (values, measured) in rows.columns.items():
        for row in first + np.flatnonzero(measured[first:end]):
            yield f"{rows.before[row]}{word}{rows.after[row]}", float(values[row])


def definitions(run: "Run") -> dict[str, str]:
    """What the scalars of the steps and the layers mean, with the unit, by tag; `…` stands for the layer."""
    found = {}
    for table, layer in (("steps", ""), ("layers", "…")):
        meanings = run.meanings(table)
        for name, word in _words(table, meanings).items():
            found[word + layer] = f"{meanings[name].definition} [{meanings[name].unit}]"
    return found


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
