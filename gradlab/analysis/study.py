"""The runs of a study as rows, one per run: its choices, its state, and what it came to.

The run folders are the truth. A study's study.parquet keeps the rows, so that a run is diagnosed once and not by each
command again; a row is taken from it only where the run's files are what they were.
"""

import hashlib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from gradlab import __version__
from gradlab.analysis.run_results import RESULT_TYPES, run_results
from gradlab.analysis.verdict_run import VerdictRun
from gradlab.recipe.errors import RecipeError, UnfinishedError
from gradlab.store import study_file
from gradlab.store.read import Paths, Run, folders, open_run

Row = dict[str, Any]  # numbers, words, truth values and None by the name of the column
WITHOUT_RESULTS = ("running", "killed", "failed")  # states of a run that has none, or not yet
VERSION_PREFIX = "versions."  # of the columns that are no choices, beside those of `TYPES`
FAILED = ("failed", "killed", "interrupted", "unreadable")
NOT_KEPT = ("running", "killed", "unreadable")  # states that may end while no file changes
STATUS_TYPES = {
    "seconds": float,
    "compile_seconds": float,
    "memory_mib": float,
    "steps_done": int,
    "parameters": int,
    "flops_per_step": int,
    "started": str,
    "device": str,
    "device_kind": str,
    "threads": int,
}  # entries of status.json that are columns
PLACE_TYPES = {"run": str, "study": str, "folder": str, "state": str, "message": str}
TYPES = PLACE_TYPES | RESULT_TYPES | STATUS_TYPES  # the columns that every study has
MOST_ENTRIES = 1_000  # choices and versions of a run: each is a column for all runs
_STAMP = "stamp"
# the rooms whose code decides what a row says
_ROOMS = ("analysis", "measurements", "numerics", "recipe", "store", "theory")


class StudyTable:
    """The rows of the runs of one study folder, kept in its study.parquet."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        stored = study_file.read(folder, rules())
        self._rows = {row["run"]: row for row in stored if row.get("run") and row.get(_STAMP) is not None}
        self._stored = _facts(self._rows.values())

    def row(self, run_folder: Path) -> Row:
        """The row of a run of the study: the one that is kept where the run's files are what they were, else a new one.

        A run that is running, was killed or failed has no results. One that cannot be read has the state `unreadable`
        and the reason as its message.
        """
        place = _place(run_folder)
        stamp = study_file.stamp(run_folder)
        kept = self._rows.get(place["run"])
        if kept is None or not stamp or kept[_STAMP] != stamp:
            kept = _computed(run_folder)
            # files that change while they are read are those of no row
            lasting = kept["state"] not in NOT_KEPT and stamp == study_file.stamp(run_folder)
            kept |= {"run": place["run"], _STAMP: stamp if lasting else ""}
            self._rows[place["run"]] = kept
        return {name: value for name, value in (kept | place).items() if name != _STAMP}

    def save(self) -> None:
        """Write study.parquet, without the runs that are gone; nothing if it says all this already.

        Without a run it is deleted.

        Raises:
            StorageError: the file system does not take it.
        """
        present = [name for name in sorted(self._rows) if (self._folder / name).is_dir()]
        rows = [self._rows[name] | {"study": _plain(self._folder.name)} for name in present]
        if (facts := _facts(rows)) != self._stored:
            types = {name: kind for name, kind in TYPES.items() if name != "folder"}
            study_file.write(self._folder, rows, types | {_STAMP: str}, rules())
            self._stored = facts


def _facts(rows: Iterable[Row]) -> list[dict[str, str]]:
    """What the rows say, to be compared: as texts, since NaN is not equal to itself, and without what is not there."""
    return [{name: repr(value) for name, value in row.items() if value is not None} for row in rows]


def study_frame(paths: Paths) -> pd.DataFrame:
    """The rows of all runs at and below the paths, one per run; null was not measured, NaN and infinities were.

    Besides the columns of `TYPES` it has one for each choice of the recipes (`depth`, `clip`, `clip.threshold`), null
    for a run that does not have it, and the versions (`versions.jax`). The rows are kept in each study's study.parquet.

    Raises:
        RecipeError: one of the paths is not a folder.
    """
    frame: pd.DataFrame = study_file.table(study_rows(paths), TYPES).to_pandas(types_mapper=pd.ArrowDtype)
    return frame


def study_rows(paths: Paths) -> list[Row]:
    """The rows of all runs at and below the paths, in the order of the folders; new ones are kept where they can be.

    Raises:
        RecipeError: one of the paths is not a folder.
    """
    tables: dict[Path, StudyTable] = {}
    rows = []
    try:
        for folder in _run_folders(paths):
            study = folder.resolve().parent
            if study not in tables:
                tables[study] = StudyTable(study)
            rows.append(tables[study].row(folder))
    finally:  # also where it is interrupted: what was computed is not computed again
        for table in tables.values():
            with suppress(OSError, RecipeError):  # the rows are true without the file, too
                table.save()
    return rows


def _run_folders(paths: Paths) -> list[Path]:
    """The folders of the runs at and below the paths, each once."""
    listed = [paths] if isinstance(paths, str | Path | Run) else paths
    by_place: dict[Path, Path] = {}
    for path in listed:
        for folder in [path.folder] if isinstance(path, Run) else folders(path):
            by_place.setdefault(folder.resolve(), folder)
    return list(by_place.values())


def _place(run_folder: Path) -> Row:
    resolved = run_folder.resolve()
    names = {"run": resolved.name, "study": resolved.parent.name, "folder": str(run_folder)}
    return {name: _plain(text) for name, text in names.items()}


def _computed(run_folder: Path) -> Row:
    """What the files of a run say of it."""
    try:
        run = open_run(run_folder, running=True)
        entries = len(run.choices) + len(run.status.get("versions", {}))
        if entries > MOST_ENTRIES:
            problem = f"has {entries:,} choices and versions, and a study's table takes {MOST_ENTRIES:,}"
            raise RecipeError(f"{run_folder} {problem}")
        status = run.status
        results: Row = dict.fromkeys(RESULT_TYPES)
        if status["state"] not in WITHOUT_RESULTS:
            with suppress(UnfinishedError):  # it ended before its data were read
                results = asdict(run_results(VerdictRun(run.folder, run.recipe, status)))
    except RecipeError as error:
        return dict.fromkeys(TYPES) | {"state": "unreadable", "message": str(error)}
    versions = {f"{VERSION_PREFIX}{name}": version for name, version in status.get("versions", {}).items()}
    facts = {name: status.get(name) for name in ("state", "message", *STATUS_TYPES)}
    row = run.choices | results | facts | versions
    return {_plain(name): _plain(value) for name, value in row.items()}


def _plain(value: Any) -> Any:
    """A value that a column can hold: numbers as Python's, a list as its text."""
    value = value.item() if hasattr(value, "item") else value
    if value is None or isinstance(value, bool | int | float):
        return value
    return str(value).encode(errors="backslashreplace").decode()


@cache
def rules() -> str:
    """What decides the rows beside the files of the runs: the digest of the version and the code that reads them.

    A number that someone must raise can be forgotten; a change of the code cannot.
    """
    package = Path(__file__).parent.parent
    content = hashlib.sha256(__version__.encode())
    for file in sorted(path for room in _ROOMS for path in (package / room).rglob("*.py")):
        content.update(str(file.relative_to(package)).encode() + b"\0" + file.read_bytes() + b"\0")
    return content.hexdigest()[:16]
