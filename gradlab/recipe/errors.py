"""Errors that are addressed to a person, each in a line or two."""

import difflib
import errno
import os
from collections.abc import Iterable
from pathlib import Path

from gradlab.recipe.printing import one_line, shortened

# the exit code of a command whose files the file system does not take: EX_IOERR of sysexits.h
STORAGE_CODE = 74
# what a file system says that is full, over its quota, read-only or failing
STORAGE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}


class RecipeError(ValueError):
    """The recipe, the command or the folder cannot be used; the message says what to change.

    Each of `lines` is one line: a line break inside it, as of a name, is written as `\\n`, and the middle of one that
    is very long, as with a value of a million characters, is left out.
    """

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(shortened(one_line(line)) for line in lines))


class UserError(RecipeError):
    """A user-defined function cannot be used: it does not fit, or raises."""


class UnfinishedError(RecipeError):
    """A stored run has no result yet, or none any more: it is running, was killed, or failed before its first row."""


class InUseError(RecipeError):
    """Another process is writing to the folder of a run."""


class StorageError(OSError):
    """The file system does not take a file: it is full, read-only or failing. The command's exit code is 74."""


class NonFiniteError(ArithmeticError):
    """The loss or its gradient is not finite, and the recipe has `on_nonfinite=raise`."""


def described(error: BaseException, longest: int = 200) -> str:
    """An exception in one line: `TypeError: …`."""
    reason = reason_of(error, longest)
    return f"{type(error).__name__}: {reason}" if str(error).strip() else reason


def reason_of(error: BaseException, longest: int) -> str:
    """What an exception says, in one line, or its type where it says nothing."""
    return " ".join(str(error).split())[:longest] or type(error).__name__


def unwritable(what: Path | str, error: OSError, place: Path | str = "") -> RecipeError | StorageError:
    """What to raise where a file at `place` cannot be written: the place was chosen wrong, or its file system fails."""
    if error.errno in STORAGE:
        return StorageError(f"{what} cannot be written ({error.strerror}; {free_space(place or what)})")
    return RecipeError(f"{what} cannot be written: {error.strerror or error}")


def free_space(path: Path | str) -> str:
    """The free space of the file system that a path is on, which may not exist."""
    place = next((place for place in (Path(path), *Path(path).absolute().parents) if place.exists()), "/")
    try:
        facts = os.statvfs(place)
    except OSError:
        return "its file system does not answer"
    return f"{facts.f_bavail * facts.f_frsize / 2**20:,.0f} MiB are free"


def hint(word: str, known: Iterable[str]) -> str:
    """The end of a sentence that offers the known word closest to a misspelt `word`, else all known words."""
    known = sorted(known)
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"; did you mean '{close[0]}'?" if close else f"; there are: {', '.join(known)}"
