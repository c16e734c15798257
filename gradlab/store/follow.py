"""A run that is read while it is written: each file of its tables once, as soon as all its rows are valid."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from gradlab.recipe.errors import RecipeError
from gradlab.store.lock import held
from gradlab.store.read import UNFINISHED, Run, file_rows, open_run
from gradlab.store.write import first_step, merged_file, part_files


class NewRows(NamedTuple):
    """What a run has stored since it was read last.

    rows: by table, each in the order of its files; begins_again: what was read before is not the run's any more, and
        these are all its rows; written_at: when its status was written, in seconds of the system's clock.
    """

    run: Run
    rows: dict[str, pa.Table]
    begins_again: bool
    written_at: float


class Follower:
    """Reads a run's tables, those that `columns` names with these columns, and at each `look` what is new in them."""

    def __init__(self, folder: Path, columns: Callable[[Run], Mapping[str, tuple[str, ...]]]) -> None:
        self.folder = folder
        self._columns = columns
        self._read: dict[str, str] = {}  # the files that were read, with the digest that was noted of each
        self._stamp: tuple[int, ...] = ()

    def look(self) -> NewRows | None:
        """What is new; None where nothing is, which costs as little as to ask for a file's time.

        A running run has the rows of the steps that its status counts: a part beyond them may be of one table only. A
        run that went on from a checkpoint, or whose parts were merged, is read again from its first row.

        Raises:
            RecipeError: there is no run, or it cannot be read.
        """
        stamp = (*status_stamp(self.folder), held(self.folder))
        if stamp == self._stamp:
            return None
        run = open_run(self.folder, running=True)
        try:
            found = self._new(run, stamp[0] / 1e9)
        except FileNotFoundError:  # a part was merged just now: the next look finds the merged file
            return None
        self._stamp = stamp
        return found

    def _new(self, run: Run, written_at: float) -> NewRows:
        columns = self._columns(run)
        names = {table: _readable(run, table) for table in columns}
        noted = {name: run.digests.get(name, "") for listed in names.values() for name in listed}
        begins_again = any(noted.get(name) != before for name, before in self._read.items())
        already = {} if begins_again else self._read
        rows = {}
        for table, listed in names.items():
            new = [file_rows(run, name, table, columns[table]) for name in listed if name not in already]
            if new:
                rows[table] = pa.concat_tables(new, promote_options="default")
        self._read = noted
        return NewRows(run, rows, begins_again, written_at)


def _readable(run: Run, table: str) -> list[str]:
    """The files of a table all of whose rows count, in the order of their steps."""
    if (run.folder / merged_file(table)).exists():
        return [merged_file(table)]
    done = run.status.get("steps_done", 0)
    is_over = run.status["state"] not in UNFINISHED
    return [name for name in part_files(run.folder, table) if is_over or (first_step(name) or 0) < done]


def status_stamp(folder: Path) -> tuple[int, int]:
    """When status.json was written, in nanoseconds, and which file it is: both change whenever it is written.

    Raises:
        RecipeError: there is none.
    """
    try:
        facts = os.lstat(folder / "status.json")
    except OSError:
        raise RecipeError(f"there is no run in {folder} yet") from None
    return facts.st_mtime_ns, facts.st_ino
