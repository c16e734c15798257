"""Stored runs as frames: what was measured, what was not, and what cannot be read, each told apart.

In every float column null (`frame.loss.isna()`) means not measured; NaN, inf and −inf are values that were.
"""

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from gradlab.measure.columns import OPTIONAL, SCHEMAS, STATES, VERSION
from gradlab.recipe.errors import RecipeError, hint
from gradlab.recipe.recipe import FAMILIES, NOT_IN_DIGEST, flat
from gradlab.store.lock import held

Paths = str | Path | Iterable[str | Path]
KEYS = ("seed", "step", "source", "layer", "time")
_COLUMNS = frozenset(column for schema in SCHEMAS.values() for column in schema.names)


@dataclass(frozen=True, eq=False)
class Run:
    """One stored run; its tables are read when they are first asked for."""

    folder: Path
    recipe: dict[str, Any]
    status: dict[str, Any]

    @cached_property
    def layers(self) -> pd.DataFrame:
        """One row per seed, step, source and block."""
        return _frames([_table(self.folder, "layers")])[0]

    @cached_property
    def steps(self) -> pd.DataFrame:
        """One row per seed, step and source."""
        return _frames([_table(self.folder, "steps")])[0]

    @cached_property
    def parameters(self) -> pd.DataFrame:
        """One row per seed, step, source and parameter."""
        return _frames([_table(self.folder, "parameters")])[0]

    @cached_property
    def times(self) -> pd.DataFrame:
        """One row per seed, step, source, layer and time step; none where the network has no time steps."""
        return _frames([_table(self.folder, "times")])[0]

    @cached_property
    def notes(self) -> pd.DataFrame:
        """One row per seed, step, source, layer and inner measure; none where the network notes nothing."""
        return _frames([_table(self.folder, "notes")])[0]


def folders(path: str | Path) -> list[Path]:
    """The run folders at or below `path`, whole or not, by name."""
    path = Path(path)
    if not path.is_dir():
        raise RecipeError(
            f"{path} is {'not a folder' if path.exists() else 'not there'}; name a run's folder"
        )
    found = []
    for place, below, files in os.walk(path):
        below[:] = sorted(name for name in below if not name.startswith("."))
        if "recipe.yaml" in files or "status.json" in files:
            found.append(Path(place))
            below.clear()  # a run holds no runs
    return found


def open_run(path: str | Path, running: bool = False) -> Run:
    """The run stored at `path`; one that is still being written is refused unless `running`."""
    path = Path(path)
    if path not in folders(path):
        _refuse(path)
    for name in ("recipe.yaml", "status.json"):
        if not (path / name).exists():
            raise RecipeError(f"{path} is half-written: it has no {name}; run its recipe again")
    recipe, status = _mapping(path / "recipe.yaml"), _mapping(path / "status.json")
    _check(path, recipe, status)
    if status["state"] == "running" and not running:
        done = f"{status.get('steps_done', 0)} of {recipe.get('steps', '?')} steps"
        if held(path):
            raise RecipeError(f"{path} is still running ({done}); wait for it")
        raise RecipeError(f"{path} was killed while still running ({done}); run its recipe again to go on")
    return Run(path, recipe, status)


def find_runs(path: str | Path, running: bool = False) -> list[Run]:
    """The run at `path`, or every run below it; the first that cannot be read raises."""
    found = folders(path)
    if not found:
        _refuse(Path(path))
    return [open_run(folder, running) for folder in found]


def load(paths: Paths, table: str = "layers", by: Iterable[str] = ()) -> pd.DataFrame:
    """One tidy frame of a run, a study or a list of them, to ask across runs what one run cannot answer.

    Besides the table's columns: `run` (the folder's name) and one column for each choice that differs between
    the runs, or is named in `by`: `clip` holds the part's name, `clip.threshold` its number. A choice that a
    run has not is missing there. Two choices are called as a column is and keep their whole
    name: `loss.name`, `penalty.name`.
    """
    return gather(collect(paths), table, by)


def collect(paths: Paths) -> list[Run]:
    """The runs at and below all of `paths`, each once."""
    listed = [paths] if isinstance(paths, str | Path) else list(paths)
    found = {run.folder.resolve(): run for path in listed for run in find_runs(path)}
    if not found:
        raise RecipeError("no run was named; name a run's folder or a study's")
    return list(found.values())


def gather(runs: list[Run], table: str = "layers", by: Iterable[str] = ()) -> pd.DataFrame:
    """`load` of runs that are open already."""
    if table not in SCHEMAS:
        raise RecipeError(f"there is no table '{table}'{hint(table, SCHEMAS)}")
    frame, order = _frames([_table(run.folder, table) for run in runs])
    labels = {"run": names(runs)} | choices(runs, by)
    spread = pd.DataFrame(
        {key: _spread(values, order) for key, values in labels.items() if key not in frame.columns},
        index=frame.index,
    )
    return pd.concat([spread, frame], axis=1)


def names(runs: list[Run]) -> list[str]:
    """What tells the runs apart: the folder's name, or its path where two have the same."""
    short = [run.folder.resolve().name for run in runs]
    return short if len(set(short)) == len(short) else [str(run.folder) for run in runs]


def choices(runs: list[Run], by: Iterable[str] = ()) -> dict[str, list[Any]]:
    """Each choice that differs between runs, and those in `by`, with its value in every run."""
    chosen = [_choices(run.recipe) for run in runs]
    every = list(dict.fromkeys(key for each in chosen for key in each))
    wanted = [column(word, every) for word in by]
    values = {key: [each.get(key) for each in chosen] for key in every}
    differ = [key for key in every if len(set(map(repr, values[key]))) > 1]
    return {key: values[key] for key in dict.fromkeys([*wanted, *differ])}


def column(word: str, known: Iterable[str]) -> str:
    """The column that holds a choice, however it is called: `clip`, `clip.name`, `penalty`."""
    known = list(known)
    for name in (word, word.removesuffix(".name"), f"{word}.name"):
        if name in known:
            return name
    raise RecipeError(f"no run has a choice '{word}'{hint(word, known)}")


def _choices(recipe: dict[str, Any]) -> dict[str, Any]:
    """The recipe by readable key: a part's name under its group, its numbers under group.key."""
    kept = {key: value for key, value in flat(recipe).items() if key.split(".")[0] not in NOT_IN_DIGEST}
    short = {key: key.removesuffix(".name") for key in kept}
    return {key if short[key] in _COLUMNS else short[key]: value for key, value in kept.items()}


def _spread(values: list[Any], order: np.ndarray) -> Any:
    """One value a run as one value a row: numbers as numbers, words as categories."""
    kinds = {type(value) for value in values}
    if kinds <= {int} or kinds <= {bool} or (kinds <= {int, float, type(None)} and kinds != {type(None)}):
        return np.array([np.nan if value is None else value for value in values])[order]
    words = [None if value is None else str(value) for value in values]
    known = list(dict.fromkeys(word for word in words if word is not None))
    codes = np.array([-1 if word is None else known.index(word) for word in words])
    return pd.Categorical.from_codes(codes[order], categories=pd.Index(known, dtype="str"))


def _refuse(path: Path) -> None:
    """Say what a folder that is no run is instead."""
    inside = folders(path)
    if inside:
        raise RecipeError(f"{path} is no run but holds {len(inside)}; name one, as {inside[0]}")
    if not os.access(path, os.R_OK | os.X_OK):
        raise RecipeError(f"{path} cannot be read; change its permissions or name another folder")
    if not any(path.iterdir()):
        raise RecipeError(f"{path} is empty; name a folder that `gradlab run` has written")
    raise RecipeError(
        f"{path} is not a run's folder (it has no recipe.yaml); name one that `gradlab run` wrote"
    )


def _mapping(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        value = yaml.safe_load(text) if path.suffix == ".yaml" else json.loads(text)
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        reason = str(error).splitlines()[0]
        raise RecipeError(f"{path} is corrupt ({reason}); run its recipe again with --force") from error
    if not isinstance(value, dict):
        raise RecipeError(f"{path} is corrupt (it holds no keys); run its recipe again with --force")
    return value


def _check(path: Path, recipe: dict[str, Any], status: dict[str, Any]) -> None:
    """Refuse what has the names of a run's files but not their contents."""
    if status.get("schema") != VERSION:
        raise RecipeError(
            f"{path} was written with schema {status.get('schema')} and this gradlab reads {VERSION}; "
            "run its recipe again"
        )
    if status.get("state") not in STATES:
        raise RecipeError(
            f"{path}/status.json is corrupt (state {status.get('state')!r}); run its recipe again"
        )
    for key in (*FAMILIES, "depth", "steps"):
        value = recipe.get(key)
        if value is None or (key in FAMILIES and not (isinstance(value, dict) and "name" in value)):
            raise RecipeError(f"{path}/recipe.yaml is not a recipe (it has no {key}); name another folder")


def _table(folder: Path, table: str) -> pa.Table:
    """All rows of one table, each once, also while a writer adds parts and compacts them."""
    place = folder / table
    for _ in range(20):  # a retry is needed only when a compaction ends between two lines below
        whole = place / "all.parquet"
        files = [whole] if whole.exists() else sorted(place.glob("[!.]*.parquet"))
        try:
            tables = [_rows(file, table) for file in files]
        except FileNotFoundError:
            continue
        # parts are removed only after all.parquet is there: without it the listing was complete
        if files == [whole] or not whole.exists():
            break
    else:
        raise RecipeError(f"{place} keeps changing; is it being run again? wait until it has ended")
    if not any(piece.num_rows for piece in tables):
        if table in OPTIONAL:
            return SCHEMAS[table].empty_table()
        raise RecipeError(f"{folder} is half-written: it has no {table}; run its recipe again with --force")
    return pa.concat_tables(tables)


def _rows(file: Path, table: str) -> pa.Table:
    schema = SCHEMAS[table]
    try:
        with file.open("rb") as stream:
            return pq.read_table(stream).select(schema.names).cast(schema)
    except FileNotFoundError:
        raise
    except (OSError, KeyError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0].strip("'\"")[:120]
        raise RecipeError(f"{file} is corrupt ({reason}); run its recipe again with --force") from error


def _frames(tables: list[pa.Table]) -> tuple[pd.DataFrame, np.ndarray]:
    """The tables as one sorted frame, and for each row which table it is from.

    Arrow's floats keep null and NaN apart, which NumPy's cannot; the keys are plain whole numbers.
    """
    frame = (
        pa.concat_tables(tables)
        .unify_dictionaries()
        .to_pandas(types_mapper=lambda kind: None if pa.types.is_dictionary(kind) else pd.ArrowDtype(kind))
    )
    keys = [key for key in KEYS if key in frame.columns]
    frame = frame.astype({key: "int64" for key in keys if key != "source"})
    origin = np.repeat(np.arange(len(tables)), [table.num_rows for table in tables])
    ranks = [frame[key].cat.codes if key == "source" else frame[key] for key in keys]
    order = np.lexsort([*reversed(ranks), origin])
    return frame.iloc[order].reset_index(drop=True), origin[order]
