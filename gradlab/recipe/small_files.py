"""Small text files that a stranger may have written: only regular ones are opened, and a limit is read."""

import os
import stat
from itertools import islice
from pathlib import Path

from gradlab.recipe.errors import RecipeError

LARGEST = 1 << 20  # bytes
MOST_FILES = 1_000  # of a folder of options


def read(path: Path) -> str:
    """The text of a regular file of at most `LARGEST` bytes; a link is followed.

    Raises:
        RecipeError: it is something else, is larger, cannot be read, or is not UTF-8.
    """
    try:
        _require_regular(path, path.stat())
        # what has taken the file's place since is not waited for
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as stream:
            _require_regular(path, os.fstat(descriptor))
            content = stream.read(LARGEST + 1)
    except OSError as error:
        reason = "it is a link to nothing" if path.is_symlink() and not path.exists() else error.strerror
        raise RecipeError(f"{path} cannot be read: {reason}") from None
    if len(content) > LARGEST:
        raise RecipeError(f"{path}: larger than 1 MiB, which no file of an option or experiment needs")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path} is not text in UTF-8: {error.reason} at byte {error.start}") from None


def _require_regular(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise RecipeError(f"{path} is not a regular file; remove it")


def listed(folder: Path, pattern: str) -> list[Path]:
    """What matches the pattern in a folder, whatever it is, in the order of the names.

    Raises:
        RecipeError: there are more than `MOST_FILES`.
    """
    files = sorted(islice(folder.glob(pattern), MOST_FILES + 1))
    if len(files) > MOST_FILES:
        raise RecipeError(f"{folder} has more than {MOST_FILES:,} files {pattern}; give fewer")
    return files
