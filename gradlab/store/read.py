"""Stored runs as data frames; a folder that cannot be read is refused with the reason.

In every float column null (`frame.loss.isna()`) means not measured; NaN, inf and −inf are measured values.
"""

import json
import os
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gradlab.measurements.columns import EXPECTED, FIXED_NAMES, KEYS, MEASURES, OPTIONAL, TABLES, schemas
from gradlab.recipe.errors import RecipeError, UnfinishedError
from gradlab.recipe.memory import physical_memory
from gradlab.recipe.paths import is_folder
from gradlab.recipe.printing import one_line
from gradlab.recipe.recipe import NOT_IN_DIGEST, flat, option_label, without_later_defaults
from gradlab.store import contents, files
from gradlab.store.lock import held
from gradlab.store.minibatches import Selection
from gradlab.store.status import is_whole
from gradlab.store.write import (
    digest,
    first_step,
    is_intact,
    merged_file,
    noted_digests,
    part_files,
    table_files,
)

ROW_KEYS = ("seed", "step", "source", "layer", "time", "index")
UNFINISHED = ("running", "killed")
_FIXED = schemas([])  # the columns that every table has
SOURCES = ("batch", "probe")


class Meaning(NamedTuple):
    """What a column holds, as the file says; both are empty in files of schema 3."""

    unit: str
    definition: str


@dataclass(frozen=True, eq=False)
class Run:
    """One stored run; each of its tables is read when it is first used."""

    folder: Path
    recipe: dict[str, Any]
    status: dict[str, Any]

    @cached_property
    def name(self) -> str:
        """The name of its folder, in one line."""
        return one_line(self.folder.resolve().name)

    @property
    def is_foreign(self) -> bool:
        """Whether gradlab has not trained it: then its recipe holds only what is known, and its status no data."""
        return contents.ORIGIN in self.recipe

    @property
    def remedy(self) -> str:
        """What makes rows again that are missing or damaged."""
        return "ingest or record it again" if self.is_foreign else "run its recipe again"

    @property
    def progress(self) -> str:
        """How far it is: `40 of 100 steps`; of a foreign run nobody knows of how many."""
        done = self.status.get("steps_done", 0)
        return f"{done} steps" if self.is_foreign else f"{done} of {self.recipe.get('steps', '?')} steps"

    @cached_property
    def choices(self) -> dict[str, Any]:
        """The recipe by readable key: an option's name under its group, its numbers under group.key."""
        values = flat(without_later_defaults(self.recipe))
        if "clip" in self.recipe:
            values["clip.name"] = option_label(self.recipe["clip"])
        no_choices = (*NOT_IN_DIGEST, contents.ORIGIN)
        kept = {key: value for key, value in values.items() if key.split(".")[0] not in no_choices}
        short = {key: key.removesuffix(".name") for key in kept}
        # a list as text: runs are grouped by their choices
        texts = {key: str(value) if isinstance(value, list) else value for key, value in kept.items()}
        return {key if short[key] in FIXED_NAMES else short[key]: value for key, value in texts.items()}

    @cached_property
    def layers(self) -> pd.DataFrame:
        """One row per seed, step, source and block."""
        return frames("layers", [self])[0]

    @cached_property
    def steps(self) -> pd.DataFrame:
        """One row per seed, step and source."""
        return frames("steps", [self])[0]

    @cached_property
    def parameters(self) -> pd.DataFrame:
        """One row per seed, step, source and parameter."""
        return frames("parameters", [self])[0]

    @cached_property
    def times(self) -> pd.DataFrame:
        """One row per seed, step, source, layer and time step; empty if the network has no time steps."""
        return frames("times", [self])[0]

    @cached_property
    def notes(self) -> pd.DataFrame:
        """One row per seed, step, source, layer and inner measure; empty if the network has none."""
        return frames("notes", [self])[0]

    @cached_property
    def vectors(self) -> pd.DataFrame:
        """One row per seed, step, source, layer, measure and index; empty if no probe measures several values.

        Of a count the indices without a row have the count 0.
        """
        return frames("vectors", [self])[0]

    @cached_property
    def digests(self) -> dict[str, str]:
        """The digests of its files as they were noted when it was opened or first read."""
        return {**self.status.get("files", {}), **noted_digests(self.folder)}

    @cached_property
    def selections(self) -> dict[tuple[str, Selection], pa.Table]:
        """The selected rows of its tables that have been read (see `selected`)."""
        return {}

    def meanings(self, table: str) -> dict[str, Meaning]:
        """What each measured column of a table holds; of notes and vectors also each measure that a probe declared."""
        schema = _table_schema(self, table)
        metadata = {field.name: field.metadata or {} for field in schema}
        keys = {name for name, _ in KEYS[table]}
        columns = {
            name: Meaning(*(words.get(key, b"").decode(errors="replace") for key in (b"unit", b"definition")))
            for name, words in metadata.items()
            if name not in keys
        }
        measures = json.loads((schema.metadata or {}).get(MEASURES, b"{}"))
        return columns | {name: Meaning(*words) for name, words in measures.items()}


Paths = str | Path | Run | Iterable[str | Path | Run]
Result = TypeVar("Result")
_NO_PATH = "no path was given; give the folder of a run or of a study"


def folders(path: str | Path) -> list[Path]:
    """The run folders at or below `path`, complete or not, sorted by name.

    Raises:
        RecipeError: if `path` is not a folder.
    """
    path = Path(path)
    if not is_folder(path):
        problem = "is not a folder" if os.path.lexists(path) else "does not exist"
        raise RecipeError(f"{path} {problem}; give the folder of a run or of a study")
    run_folders = []
    for folder, subfolders, names in os.walk(path):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        if "recipe.yaml" in names or "status.json" in names:
            run_folders.append(Path(folder))
            subfolders.clear()  # there are no runs inside a run
    return run_folders


def open_run(path: str | Path, running: bool = False) -> Run:
    """The run stored at `path`; with `running` also one that is being written, or whose process is gone (`killed`).

    Raises:
        RecipeError: if there is no run, or it is incomplete or corrupt or has another schema.
        UnfinishedError: it is still being written, or was killed, and not `running`.
    """
    path = Path(path)
    if path not in folders(path):
        _refuse(path)
    for name in ("recipe.yaml", "status.json"):
        if not (path / name).exists():
            raise RecipeError(f"{path} is incomplete: it has no {name}; run its recipe again")
    status = _whole_status(path)
    if status["state"] == "running" and not held(path):
        status = _whole_status(path)  # it may have ended just now
    recipe = contents.read_recipe(path)
    if not is_intact(path, "recipe.yaml", status.get("files", {})):
        raise RecipeError(f"{path}/recipe.yaml is damaged or was edited; run the recipe again with --force")
    if (contents.ORIGIN in recipe) != (contents.ORIGIN in status):
        raise RecipeError(f"{path} is corrupt: its recipe.yaml and its status.json are not of one run")
    run = Run(path, recipe, status)
    if status["state"] == "running" and running:
        return run if held(path) else Run(path, recipe, status | {"state": "killed"})
    if status["state"] == "running":
        if held(path):
            raise UnfinishedError(f"{path} is still running ({run.progress}); wait for it")
        raise UnfinishedError(
            f"{path} was killed while running ({run.progress}); {_continued(run, 'to continue')}"
        )
    return run


def _continued(run: Run, how: str) -> str:
    """How to get a result of a run that has none; the rows of a foreign one are shown by its own folder."""
    return "give its own folder to read these" if run.is_foreign else f"run its recipe again {how}"


def _whole_status(path: Path) -> dict[str, Any]:
    status = contents.read_status(path)
    if not is_whole(status):
        raise RecipeError(f"{path}/status.json is damaged or was edited; run its recipe again")
    return status


def collect(paths: Paths) -> list[Run]:
    """The runs at and below all of `paths`, each once; a run that is already open stands for itself.

    Raises:
        RecipeError: if `paths` is empty, or a run cannot be opened (see `open_run`).
    """
    runs = [given if isinstance(given, Run) else open_run(given) for given in _given(paths)]
    if not runs:
        raise RecipeError(_NO_PATH)
    return runs


def _given(paths: Paths) -> list[Path | Run]:
    """The folders of the runs at and below all of `paths`, each once; a run that is already open stands for itself.

    Raises:
        RecipeError: there is no run at or below one of them.
    """
    listed = [paths] if isinstance(paths, str | Path | Run) else paths
    by_path: dict[Path, Path | Run] = {}
    for path in listed:
        if isinstance(path, Run):
            by_path[path.folder.resolve()] = path
        else:
            below = folders(path) or _refuse(Path(path))
            by_path |= {folder.resolve(): folder for folder in below}
    return list(by_path.values())


class Problems(NamedTuple):
    """The runs of a study that have no result, and those that cannot be read: a line for each."""

    unfinished: list[str]
    unreadable: list[str]


def read_each(paths: Paths, use: Callable[[Run], Result]) -> tuple[list[Result], Problems]:
    """What `use` gives for every run at and below `paths`, and why there is nothing of the others.

    A run that is given by its own folder is used with the rows that it has, also while it is running.

    Raises:
        RecipeError: no run can be used, or there is none at or below one of the paths.
    """
    results: list[Result] = []
    problems = Problems([], [])
    listed = [paths] if isinstance(paths, str | Path | Run) else list(paths)
    # of runs, not of a study above them
    own_folders = {Path(path) for path in listed if not isinstance(path, Run)}
    for given in _given(listed):
        try:
            if isinstance(given, Run):
                run = given
            else:
                run = open_run(given, running=given in own_folders)
                _require_result(run, own_folders)
            results.append(use(run))
        except UnfinishedError as error:
            problems.unfinished.append(str(error))
        except RecipeError as error:
            problems.unreadable.append(str(error))
    problems = Problems(*(list(dict.fromkeys(lines)) for lines in problems))
    if not results:
        raise RecipeError(*(problems.unfinished + problems.unreadable) or [_NO_PATH])
    return results, problems


def _require_result(run: Run, own_folders: Collection[Path]) -> None:
    """Raise an UnfinishedError for a run of a study that was interrupted or failed."""
    state = run.status["state"]
    if state in ("interrupted", "failed") and run.folder not in own_folders:
        reason = f": {run.status['message']}" if state == "failed" and run.status["message"] else ""
        again = _continued(run, "to continue" if state == "interrupted" else "with what it needs")
        word = "was interrupted" if state == "interrupted" else "failed"
        raise UnfinishedError(f"{run.folder} {word} ({run.progress}){reason}; {again}")


def whole(run: Run) -> Run:
    """A run all of whose tables can be read.

    Raises:
        RecipeError: one is missing or damaged.
    """
    for table in TABLES:
        require_table(run, table)
    return run


def require_table(run: Run, table: str) -> None:
    """Check that a table can be read, without reading its rows where digests can tell.

    Raises:
        RecipeError: it is missing or damaged.
    """
    stored = table_files(run.folder, table)
    noted = [name for name in run.digests if name.startswith(f"{table}/")]
    intact = all(is_intact(run.folder, name, run.digests) for name in {*stored, *noted})
    if not intact or (stored and not noted):
        _table(run, table)  # it says what is wrong


def _refuse(path: Path) -> NoReturn:
    """Raise a RecipeError that says what a folder is that is not a run."""
    runs_below = folders(path)
    if runs_below:
        raise RecipeError(
            f"{path} is not a run but has {len(runs_below)} below it; give one, as {runs_below[0]}"
        )
    if not os.access(path, os.R_OK | os.X_OK):
        raise RecipeError(f"{path} cannot be read; change its permissions or give another folder")
    if not any(path.iterdir()):
        raise RecipeError(f"{path} is empty; give a folder that `gradlab run` has written")
    raise RecipeError(
        f"{path} is not the folder of a run (it has no recipe.yaml); give one that `gradlab run` has written"
    )


def _table(run: Run, table: str, columns: Collection[str] = ()) -> pa.Table:
    """All rows of one table, each once, also while a writer adds parts or compacts them; all columns, or these."""
    folder, merged = run.folder, merged_file(table)
    for _ in range(20):  # again only if a compaction ends between two of the lines below
        names = [merged] if (folder / merged).exists() else part_files(folder, table)
        try:
            tables = [file_rows(run, name, table, columns) for name in names]
        except FileNotFoundError:
            continue
        if names != [merged] and (missing := _missing_parts(run, table)):
            raise RecipeError(f"{missing} is missing; {run.remedy} to make the rows again")
        # parts are deleted only after all.parquet is complete: without it the listing was complete
        if names == [merged] or not (folder / merged).exists():
            break
    else:
        raise RecipeError(
            f"{folder / table} keeps changing; is the run being repeated? wait until it has ended"
        )
    rows = pa.concat_tables(tables, promote_options="default") if tables else _FIXED[table].empty_table()
    if run.status["state"] in UNFINISHED:
        # every table has the rows of these steps: a part of one may be newer than the status, or than another's
        rows = rows.filter(pc.field("step") < run.status.get("steps_done", 0))
    if "batch" not in _words(rows["source"]):
        if table in OPTIONAL:  # snapshots measure the fixed batch only
            return rows
        if run.is_foreign and table != "steps":
            return _FIXED[table].empty_table()
        raise RecipeError(f"{folder} is incomplete: it has no rows in {table}; {run.remedy} with --force")
    return rows


def _missing_parts(run: Run, table: str) -> str:
    """The first part that the run has written and that is not there, "" if there is none; a running run may move it."""
    noted = [name for name in run.digests if name.startswith(f"{table}/part-")]
    lost = [name for name in sorted(noted) if not (run.folder / name).exists()]
    return str(run.folder / lost[0]) if lost and run.status["state"] != "running" else ""


def _table_schema(run: Run, table: str) -> pa.Schema:
    """The schema of a table as its files have it."""
    names = table_files(run.folder, table)
    try:
        return pq.read_schema(pa.BufferReader(files.read(run.folder, names[0])))
    except (IndexError, OSError, ValueError, pa.ArrowException):
        return _table(run, table).schema  # it says what is wrong


def file_rows(run: Run, name: str, table: str, columns: Collection[str] = ()) -> pa.Table:
    """The rows of a file that is as it was written, with the columns that it has, among them those of every run.

    Of `columns`, where they are given, only those and the keys of a row are decoded.

    Raises:
        RecipeError: the file is damaged, a link, or too large for this machine.
        FileNotFoundError: it is gone.
    """
    fixed = _FIXED[table]
    if columns:
        fixed = pa.schema([field for field in fixed if field.name in columns or field.name in ROW_KEYS])
    path = run.folder / name
    try:
        content = files.read(run.folder, name)
        noted = run.digests.get(name)
        if noted not in (None, digest(content)):
            raise OSError("its digest is not the one noted when it was written")
        file = pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True)
        _require_memory(path, file.metadata)
        stored = file.schema_arrow.names
        selected = [name for name in stored if name in columns or name in ROW_KEYS] if columns else stored
        rows = file.read(selected, use_threads=False)
        probed = [field for field in rows.schema if field.name not in fixed.names]
        with_metadata = [rows.schema.field(field.name).with_type(field.type) for field in fixed]
        schema = pa.schema([*with_metadata, *probed], metadata=rows.schema.metadata)
        rows = rows.select(schema.names).cast(schema)
        if problem := _problem(rows, table):
            raise OSError(problem)
        return rows
    except (FileNotFoundError, RecipeError):
        raise
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0].strip("'\"")[:120]
        # a run that goes on makes a part anew
        remedy = run.remedy if first_step(name) is not None else f"{run.remedy} with --force"
        raise RecipeError(f"{path} is corrupt ({reason}); {remedy}") from error


def _problem(rows: pa.Table, table: str) -> str:
    """Why rows are not those of a run, "" if they may be: keys must be whole and counts finite."""
    keys = dict(KEYS[table])
    for field in rows.schema:
        column = rows[field.name]
        if field.name not in keys and not (pa.types.is_int32(field.type) or pa.types.is_float32(field.type)):
            return f"the column {field.name} holds no numbers"
        words = _words(column) if pa.types.is_dictionary(field.type) else set()
        if any(word is not None and word != one_line(word) for word in words):
            return f"the column {field.name} holds words of several lines"
        if field.name in ROW_KEYS and column.null_count:
            return f"the column {field.name} is null"
        is_key = field.name in ROW_KEYS and field.name != "source"
        if (is_key or (field.metadata or {}).get(b"unit") == b"count") and not _counts(column):
            return f"the column {field.name} holds a negative or infinite value"
    other = _words(rows["source"]) - set(SOURCES)
    return f"the column source holds other words than {' and '.join(SOURCES)}" if other else ""


def _words(column: pa.ChunkedArray) -> set[str | None]:
    return {word for chunk in column.chunks for word in pc.unique(chunk).to_pylist()}


def _counts(column: pa.ChunkedArray) -> bool:
    """Whether all values that were measured are from 0 to 2³¹, or NaN."""
    limits = pc.min_max(column).as_py()
    return limits["min"] is None or (limits["min"] >= 0 and limits["max"] <= 2**31)


def _require_memory(path: Path, metadata: pq.FileMetaData) -> None:
    """Raise a RecipeError for a file of more rows than fit into the machine's memory: few bytes may hold many rows."""
    needed = metadata.num_rows * metadata.num_columns * 8
    available = physical_memory()
    if needed > available:
        raise RecipeError(
            f"{path} has {metadata.num_rows:,} rows, which take {needed / 2**30:,.0f} GiB, and this machine has "
            f"{available / 2**30:,.0f}; read it elsewhere"
        )


def selected(run: Run, table: str, selection: Selection) -> pa.Table:
    """The selected rows of a table of a run, which are read once.

    Raises:
        RecipeError: the table is missing or damaged.
    """
    key = (table, selection)
    if key not in run.selections:
        run.selections[key] = selection.rows(_table(run, table, selection.columns))
    return run.selections[key]


def frames(
    table: str, runs: list[Run], selection: Selection | None = None
) -> tuple[pd.DataFrame, np.ndarray]:
    """A table of the runs as one sorted frame, and the index of the run that each row is from, (rows,).

    The columns stay Arrow's, which distinguish null from NaN (NumPy's do not); the keys become int64. A column that one
    of the runs does not have is null in its rows. With a `selection` only that is decoded and held in memory, so that
    a thousand runs need no more than their selected rows.
    """
    rows, origin = sorted_rows(table, runs, selection)
    keys = [key for key in ROW_KEYS if key in rows.column_names and key != "source"]
    # the threads that would convert a few columns cost more than they save
    frame = rows.to_pandas(types_mapper=_pandas_dtype, use_threads=False)
    return frame.assign(**{key: rows[key].to_numpy().astype("int64") for key in keys}), origin


def sorted_rows(
    table: str, runs: list[Run], selection: Selection | None = None
) -> tuple[pa.Table, np.ndarray]:
    """What `frames` is made of: the sorted rows as Arrow's, each column in one piece, and the run of each, (rows,)."""
    columns = selection.columns if selection else ()
    tables = [selected(run, table, selection) if selection else _table(run, table) for run in runs]
    merged = pa.concat_tables(tables, promote_options="permissive").unify_dictionaries()
    for name in columns or EXPECTED.get(table, ()):
        if name not in merged.column_names:
            merged = merged.append_column(name, pa.nulls(merged.num_rows, pa.float32()))
    keys = [merged[key] for key in ROW_KEYS if key in merged.column_names]
    origin = np.repeat(np.arange(len(tables)), [rows.num_rows for rows in tables])
    order = np.lexsort([*map(_ranks, reversed(keys)), origin])
    is_sorted = (order[1:] > order[:-1]).all()
    merged = merged.combine_chunks() if is_sorted else merged.take(order)
    if table == "layers":
        _require_all_layers(merged["layer"].to_numpy(), origin[order], runs)
    return merged, origin[order]


def _ranks(key: pa.ChunkedArray) -> np.ndarray:
    """Integers in the order of a key's values, words in that of their dictionary; shape (rows,)."""
    is_words = pa.types.is_dictionary(key.type)
    chunks = [chunk.indices if is_words else chunk for chunk in key.chunks]
    return np.concatenate([np.empty(0, np.int32), *(chunk.to_numpy() for chunk in chunks)])


def _require_all_layers(layer: np.ndarray, origin: np.ndarray, runs: list[Run]) -> None:
    """Raise a RecipeError unless each step of a run has a row for each of its layers; both arrays (rows,), sorted."""
    for index, run in enumerate(runs):
        of_run = layer[np.searchsorted(origin, index) : np.searchsorted(origin, index, side="right")]
        count = int(of_run.max(initial=0)) + 1
        if of_run.size % count or (of_run.reshape(-1, count) != np.arange(count)).any():
            problem = "a step has not a row for each layer"
            raise RecipeError(f"{run.folder}/layers is corrupt ({problem}); {run.remedy} with --force")


def _pandas_dtype(dtype: pa.DataType) -> pd.ArrowDtype | None:
    """Arrow's own dtype, but pandas' categories for words."""
    return None if pa.types.is_dictionary(dtype) else pd.ArrowDtype(dtype)
