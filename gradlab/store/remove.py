"""Removes stored runs: only what gradlab wrote, never through a link, and so that no part of a run looks like a whole.

The folder gets a hidden name first, by which no command takes it for a run, and then its files are deleted.
"""

import os
import re
import secrets
import stat
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from gradlab.measurements.columns import TABLES
from gradlab.recipe.errors import RecipeError
from gradlab.store import files, lock
from gradlab.store.write import CHECKPOINTS, DIGESTS, FIGURES, LOG, REPORT

_REMOVED = ".removed"  # the end of a hidden name
_HIDDEN = re.compile(rf"\.[0-9a-f]{{16}}{_REMOVED}")
_TABLE = ("all.parquet", "part-*.parquet", files.TEMPORARY)
# what gradlab writes in the folder of a run, by the folder that it is in
_WRITTEN: dict[str, tuple[str, ...]] = {
    "": ("recipe.yaml", "status.json", DIGESTS, LOG, REPORT, lock.NAME, files.TEMPORARY),
    **dict.fromkeys(TABLES, _TABLE),
    CHECKPOINTS: ("[0-9]*-*.npz", "[0-9]*-*.bad", files.TEMPORARY),
    FIGURES: ("*.png", "*.svg", "*.pdf", files.TEMPORARY),
}


class Contents(NamedTuple):
    """What is in the folder of a run."""

    written: list[str]  # the files that gradlab wrote, by their names in the folder
    size: int  # bytes of these
    foreign: list[str]  # what gradlab did not write


def contents(folder: Path) -> Contents:
    """What is in the folder of a run; a link in it is foreign.

    Raises:
        RecipeError: the folder is a link.
        OSError: it cannot be read.
    """
    facts: dict[str, os.stat_result] = {}
    for place in _WRITTEN:
        with suppress(*((FileNotFoundError, NotADirectoryError, RecipeError) if place else ())):
            facts |= _entries(folder, place)
    places = {place for place in _WRITTEN if place in facts and stat.S_ISDIR(facts[place].st_mode)}
    written = [name for name in facts if _is_written(name) and stat.S_ISREG(facts[name].st_mode)]
    foreign = [name for name in facts if name not in places and name not in written]
    return Contents(written, sum(facts[name].st_size for name in written), foreign)


def _entries(folder: Path, place: str) -> dict[str, os.stat_result]:
    """The entries of a folder in that of a run."""
    name = str(PurePosixPath(folder.name, place))
    with files.opened(folder.parent, name) as descriptor, os.scandir(descriptor) as entries:
        facts = {
            str(PurePosixPath(place, entry.name)): entry.stat(follow_symlinks=False) for entry in entries
        }
    return dict(sorted(facts.items()))


def _is_written(name: str) -> bool:
    place, _, last = name.rpartition("/")
    return any(fnmatchcase(last, pattern) for pattern in _WRITTEN[place])


def remove(folder: Path) -> None:
    """Remove a run.

    Raises:
        RecipeError: it is being written, or there is something in its folder that gradlab did not write.
        OSError: the file system does not let it go.
    """
    hidden = folder.with_name(f".{secrets.token_hex(8)}{_REMOVED}")
    require_own(folder)
    with lock.hold(folder):
        files.rename(folder.parent, folder.name, hidden.name)
        with files.opened(folder.parent) as study:
            os.fsync(study)  # first the name is gone for good, then the files
        delete(hidden)


def delete(folder: Path) -> None:
    """Delete the files of a run whose folder has a hidden name, and the folder.

    Raises:
        RecipeError: there is something in it that gradlab did not write.
        OSError: the file system does not let it go.
    """
    by_place: dict[str, list[str]] = {place: [] for place in _WRITTEN}
    for name in require_own(folder).written:
        place, _, last = name.rpartition("/")
        by_place[place].append(last)
    for place in reversed(_WRITTEN):
        _delete_place(folder, place, by_place[place])


def _delete_place(folder: Path, place: str, names: list[str]) -> None:
    """Delete the files of one of the folders in that of a run, or of itself, and then that folder."""
    with (
        suppress(FileNotFoundError),
        files.opened(folder.parent, str(PurePosixPath(folder.name, place))) as descriptor,
    ):
        for name in names:
            with suppress(FileNotFoundError):  # another process may tidy up at the same time
                os.unlink(name, dir_fd=descriptor)
    with suppress(FileNotFoundError), files.opened(folder.parent, folder.name if place else "") as parent:
        os.rmdir(place or folder.name, dir_fd=parent)


def left_over(study: Path) -> list[Path]:
    """The folders in that of a study whose removal was interrupted, not one that goes on."""
    hidden = [path for path in sorted(study.glob(f".*{_REMOVED}")) if _HIDDEN.fullmatch(path.name)]
    return [path for path in hidden if not lock.held(path)]


def require_own(folder: Path) -> Contents:
    """What is in the folder of a run, all of which gradlab wrote.

    Raises:
        RecipeError: it is a link, or there is something in it that gradlab did not write.
        OSError: it cannot be read.
    """
    found = contents(folder)
    if found.foreign:
        raise RecipeError(f"{folder} has {found.foreign[0]}, which gradlab did not write; move it away first")
    return found
