"""What is wrong with the folder of a run, and what can be mended without measuring anything again."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from gradlab.measurements.columns import RESULTS, TABLES
from gradlab.recipe.errors import RecipeError
from gradlab.store import files, lock, write
from gradlab.store.read import Run, open_run, require_table
from gradlab.store.status import merge, read_status
from gradlab.store.write import table_files


@dataclass(frozen=True)
class Finding:
    """Something about a run that its owner should know.

    damage: whether rows are missing or cannot be read; repair: what `--repair` does about it, in words, "" for nothing.
    """

    problem: str
    damage: bool = True
    repair: str = ""


def examine(folder: Path) -> list[Finding]:
    """What is wrong with a run's folder; nothing is changed."""
    if lock.held(folder):
        return [Finding("is being written now, and was not examined", damage=False)]
    return [*_links(folder), *_contents(folder), *_checkpoints(folder), *_left_over(folder)]


def _links(folder: Path) -> list[Finding]:
    problem = _problem(partial(write.require_no_links, folder))
    return [Finding(problem)] if problem else []


def _contents(folder: Path) -> list[Finding]:
    """What is wrong with recipe, status and tables: the first thing that keeps them from being read."""
    try:
        run = open_run(folder, running=True)
    except RecipeError as error:
        return [Finding(str(error))]
    state, steps = run.status["state"], run.status.get("steps_done", 0)
    findings = []
    if state in ("killed", "interrupted", "failed"):
        word = "was killed" if state == "killed" else state
        again = "" if run.is_foreign else "; run its recipe again to go on"
        findings.append(Finding(f"{word} after step {steps}{again}", damage=False))
    problems = [problem for table in TABLES if (problem := _problem(partial(require_table, run, table)))]
    if state in RESULTS and not problems:
        problems = [_problem(partial(_require_same_rows, run))]
    return findings + [Finding(problem) for problem in problems if problem]


def _problem(check: Callable[[], None]) -> str:
    try:
        check()
    except RecipeError as error:
        return str(error)
    return ""


def _require_same_rows(run: Run) -> None:
    """Raise a RecipeError unless the tables of a finished run have the same seeds, steps and sources."""
    keys = ["seed", "step", "source"]
    expected = run.steps[keys].drop_duplicates(ignore_index=True)
    for table in ("layers", "parameters"):
        if table_files(run.folder, table):
            given = getattr(run, table)[keys].drop_duplicates(ignore_index=True)
            # the layers of a foreign run may be recorded less often than its loss
            if not (len(given.merge(expected)) == len(given) if run.is_foreign else given.equals(expected)):
                raise RecipeError(
                    f"{run.folder}/{table} has other steps than /steps; run the recipe again with --force"
                )


def _damaged_checkpoints(folder: Path) -> list[str]:
    return [name for name in write.checkpoints(folder) if write.read_checkpoint(folder, name) is None]


def _checkpoints(folder: Path) -> list[Finding]:
    damaged = _damaged_checkpoints(folder)
    return [Finding(f"{folder / name} is damaged", repair="set aside as .bad") for name in damaged]


def _left_over(folder: Path) -> list[Finding]:
    temporary = _temporary_files(folder)
    findings = [
        Finding(f"{folder / name} was left by a killed process", damage=False, repair="deleted")
        for name in temporary
    ]
    if not temporary and read_status(folder).get("state") in RESULTS and not write.compacted(folder):
        findings.append(Finding("has ended, and its parts are not merged", damage=False, repair="merged"))
    return findings


def _temporary_files(folder: Path) -> list[str]:
    return [*write.temporary_files(folder), *files.listed(folder, write.FIGURES, files.TEMPORARY)]


def repair(folder: Path) -> None:
    """Mend what can be: set damaged checkpoints aside, delete what killed processes left, merge the parts of a result.

    Raises:
        RecipeError: the folder is being written, or holds links.
        OSError: it cannot be written, or a part is damaged.
    """
    write.require_no_links(folder)
    with lock.hold(folder):
        for name in _damaged_checkpoints(folder):
            write.set_aside(folder, name)
        files.remove(folder, _temporary_files(folder))
        status = read_status(folder)
        if status.get("state") in RESULTS and not write.compacted(folder):
            merge(folder, status)
