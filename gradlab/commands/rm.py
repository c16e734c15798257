"""`gradlab rm PATH…`: remove stored runs, after a question; nothing that gradlab did not write."""

import sys
from argparse import RawDescriptionHelpFormatter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradlab.commands.arguments import Arguments, place
from gradlab.commands.ls import WHERE, chosen
from gradlab.recipe.errors import RecipeError
from gradlab.recipe.printing import one_line
from gradlab.report.terminal import say

EPILOG = f"""\
example: gradlab rm big --failed
         gradlab rm big --where 'depth>20 and training=diverged'
         gradlab rm outputs/big/mlp-d50-tanh-orthogonal-b6b809fd --yes

A run that is being written stays, and so does a folder with a link or a file that gradlab did not write.

{WHERE}"""


@dataclass(frozen=True)
class Candidate:
    """A run that is to be removed: its folder, what it was when it was chosen, and its size in bytes."""

    folder: Path
    state: str
    stamp: str
    size: int


def arguments() -> Arguments:
    """The arguments of `gradlab rm`."""
    parser = Arguments("rm", epilog=EPILOG, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument(
        "paths",
        nargs="+",
        type=place,
        metavar="PATH",
        help="the folder of a run, or of a study with all its runs, as outputs/big or big",
    )
    parser.add_argument("--where", default="", metavar="CONDITION", help="only the runs that satisfy it")
    parser.add_argument(
        "--failed",
        action="store_true",
        help="only the runs that failed, were killed or interrupted, or cannot be read",
    )
    parser.add_argument("--yes", action="store_true", help="remove without a question")
    return parser


def main(argv: list[str]) -> int:
    """Remove the runs at or below the paths that satisfy the condition; exit code 1 if one of them stays.

    Raises:
        RecipeError: a path is no folder, or the condition cannot be understood, or nobody can be asked.
    """
    options = arguments().parse_args(argv)
    from gradlab.analysis.study import study_rows

    paths = options.paths
    rows = chosen(study_rows(paths), options.where, options.failed)
    candidates, kept = _examined(rows)
    for candidate in candidates:
        say(one_line(f"{candidate.folder}  {candidate.state}  {_bytes(candidate.size)}"))
    _name_kept(kept)
    total = f"{_count(len(candidates))} ({_bytes(sum(candidate.size for candidate in candidates))})"
    if not candidates:
        say("there is no run to remove")
    elif options.yes or _agreed(total):
        failures = _failures(candidates)
        _name_kept(failures)
        kept += failures
        say(f"{_count(len(candidates) - len(failures))} removed")
    else:
        say("nothing was removed")
    _tidy({*map(Path, paths), *(Path(row["folder"]).parent for row in rows)})
    return 1 if kept else 0


def _name_kept(reasons: list[str]) -> None:
    for reason in reasons:
        say(f"stays: {reason}", sys.stderr)


def _examined(rows: list[dict[str, Any]]) -> tuple[list[Candidate], list[str]]:
    """The runs that can be removed, and why the others stay."""
    candidates, kept = [], []
    for row in rows:
        try:
            candidates.append(_candidate(Path(row["folder"]), row["state"]))
        except RecipeError as error:
            kept.append(str(error))
        except OSError as error:
            kept.append(one_line(f"{row['folder']} cannot be read ({error.strerror})"))
    return candidates, kept


def _candidate(folder: Path, state: str) -> Candidate:
    from gradlab.store import lock, remove, study_file

    stamp = study_file.stamp(folder)
    # of an unknown folder with a recipe.yaml, only what gradlab alone writes says that it is a run
    is_run = state != "unreadable" or (folder / "status.json").exists() or (folder / lock.NAME).exists()
    if not is_run:
        raise RecipeError(f"{folder} has a recipe.yaml and nothing else of a run; remove it yourself")
    if lock.held(folder):
        raise RecipeError(f"{folder} is being written; stop its process first")
    return Candidate(folder, state, stamp, remove.require_own(folder.absolute()).size)


def _agreed(total: str) -> bool:
    """Whether the person at the terminal agrees.

    Raises:
        RecipeError: there is no terminal.
    """
    if not (sys.stdin and sys.stdin.isatty()):
        raise RecipeError(f"{total} would be removed, and nobody can be asked here; repeat it with --yes")
    say(f"remove {total}? [y/N]")
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _failures(candidates: list[Candidate]) -> list[str]:
    """Remove the runs; returns why some of them could not be."""
    from gradlab.store import remove, study_file

    failures = []
    for candidate in candidates:
        try:
            if study_file.stamp(candidate.folder) != candidate.stamp:
                raise RecipeError(f"{candidate.folder} has changed since it was listed")
            remove.remove(candidate.folder.absolute())
        except RecipeError as error:
            failures.append(str(error))
        except OSError as error:
            failures.append(one_line(f"{candidate.folder} cannot be removed ({error.strerror})"))
    return failures


def _tidy(studies: set[Path]) -> None:
    """Delete what an interrupted removal left, and the rows of the runs that are gone."""
    from gradlab.analysis.study import StudyTable
    from gradlab.store import remove

    for study in sorted(studies):
        with suppress(OSError, RecipeError):
            for hidden in remove.left_over(study):
                remove.delete(hidden)
            StudyTable(study).save()


def _count(runs: int) -> str:
    return f"{runs:,} run{'s' * (runs != 1)}"


def _bytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB" if size >= 1e6 else f"{size / 1e3:.0f} kB"
