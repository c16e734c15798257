"""Which kind of log a file is, by its name, and what it holds."""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from gradlab.logs.foreign_writer import Measured
from gradlab.logs.log import Log, Series, joined, log_of
from gradlab.logs.roles import MEASURES, Stated, roles_of
from gradlab.logs.tables import ArrowTable, RecordTable, Table, json_records, require_different
from gradlab.logs.tensorboard import MARK, EventTable
from gradlab.recipe.errors import RecipeError
from gradlab.recipe.printing import one_line

TABLES: dict[str, Callable[[Path], Table]] = {
    ".csv": ArrowTable,
    ".tsv": ArrowTable,
    ".parquet": ArrowTable,
    ".jsonl": RecordTable,
    ".ndjson": RecordTable,
    ".json": lambda path: RecordTable(path, json_records(path)),
}
KINDS = "CSV, JSONL, JSON (trainer_state.json), Parquet, or event files of TensorBoard"


def read_log(path: Path, stated: Stated) -> Log:
    """What a file, or a folder of event files, holds in the columns of a run.

    Raises:
        RecipeError: it is no log, or its columns are not known, or not as they must be.
    """
    files_of(path)
    if _is_of_tensorboard(path):
        return _scalars(path, stated)
    table = TABLES[path.suffix.lower()](path)
    _require_one_line(path, table.names)
    try:
        roles = roles_of(table.names, stated)
    except RecipeError:
        if isinstance(table, RecordTable):
            _refuse_histograms(path, table.histograms)
        raise
    columns = [
        roles.step,
        *(entry.column for entry in roles.values),
        *(column for column, _ in roles.numbers.values()),
    ]
    words = [roles.layer] if roles.layer else []
    return log_of(path, table.read(list(dict.fromkeys(columns)), words), roles)


def files_of(path: Path) -> list[Path]:
    """The files that a log consists of.

    Raises:
        RecipeError: there is no such file, or it is of no kind that can be read.
    """
    if path.is_dir():
        if events := sorted(file for file in path.iterdir() if MARK in file.name and file.is_file()):
            return events
        raise RecipeError(f"{path} is a folder without event files of TensorBoard; give a file: {KINDS}")
    if not path.is_file():
        raise RecipeError(
            f"{path} {'is no file' if path.exists() else 'does not exist'}; give a log: {KINDS}"
        )
    if not path.stat().st_size:
        raise RecipeError(f"{path} is empty; give a log: {KINDS}")
    if not _is_of_tensorboard(path) and path.suffix.lower() not in TABLES:
        raise RecipeError(f"{path} is of no known kind; give a log: {KINDS}")
    return [path]


def _is_of_tensorboard(path: Path) -> bool:
    return path.is_dir() or MARK in path.name


def _scalars(path: Path, stated: Stated) -> Log:
    """The log of event files: each scalar has steps of its own, and its tag is the name of a column."""
    table = EventTable(path)
    step = "step"
    _require_one_line(path, table.names)
    roles = roles_of(
        [step, *(name for name in table.names if name != step)], stated._replace(step_column=step)
    )
    names = list(dict.fromkeys(one_line(entry.layer) for entry in roles.values))
    numbers = {target: [_series(table, column, -1)] for target, (column, _) in roles.numbers.items()}
    profiles: dict[str, list[Series]] = {}
    units = {target: unit for target, (_, unit) in roles.numbers.items()}
    for entry in roles.values:
        target = MEASURES[entry.measure]
        units[f"layer {target}"] = entry.unit
        profiles.setdefault(target, []).append(
            _series(table, entry.column, names.index(one_line(entry.layer)))
        )
    return joined(path, names, numbers, profiles, units, roles.origins)


def _series(table: EventTable, name: str, layer: int) -> Series:
    steps, values = table.read_scalar(name)
    return Series(steps, np.full(len(steps.values), layer), Measured(*values))


def _require_one_line(path: Path, names: Iterable[str]) -> None:
    listed = list(names)
    require_different(path, listed)
    if wrong := [name for name in listed if name != one_line(name)]:
        raise RecipeError(f"{path} has a column of several lines: {wrong[0][:60]!r}; rename it")


def _refuse_histograms(path: Path, histograms: set[str]) -> None:
    """Raise a RecipeError for a log of W&B that has nothing but histograms, as its `watch` writes them."""
    if histograms:
        raise RecipeError(
            f"{path} has {min(histograms)} as a histogram, which has no exact norm; log the norms themselves, as "
            "wandb.log({'grad_norm/' + name: p.grad.norm()})"
        )
