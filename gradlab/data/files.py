"""The user's files: every file of data is opened here.

Only a regular file is opened, never a pipe, a device or a folder, and only one that its reader can hold. No read goes
beyond the end that the file had when it was opened. Whatever its parser raises becomes one line that names the file.
"""

import io
import os
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gradlab.recipe.errors import RecipeError, hint, reason_of
from gradlab.recipe.printing import one_line

LARGEST_FILE = 4 << 30  # bytes: inputs and targets of as many numbers of 8 bytes as an array may have
FEWEST_EXAMPLES = 10
_SHOWN = 60  # characters of a name or of a word of a file in a message
_REASON = 200  # characters of what a parser says
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class Stream(io.BufferedReader):
    """An opened file, as long as it was then: no read allocates more, or follows a file that grows.

    A read of more than `at_once` bytes is an error, for parsers that hold what they read in many small objects.
    """

    def __init__(self, raw: io.FileIO, length: int, at_once: int) -> None:
        super().__init__(raw)
        self.length = length
        self.at_once = at_once

    def read(self, count: int | None = -1, /) -> bytes:
        """The next `count` bytes, or all, up to the end."""
        left = max(0, self.length - self.tell())
        wanted = left if count is None or count < 0 else min(count, left)
        if wanted > self.at_once:
            raise RecipeError(
                f"a part of {wanted:,} bytes is larger than the {self.at_once:,} that are read at once"
            )
        return super().read(wanted)


@contextmanager
def opened(
    file: Path, name: str, kind: str, largest: int = LARGEST_FILE, at_once: int = LARGEST_FILE
) -> Iterator[Stream]:
    """A file of the data set `name`, to be read as `kind` ("a CSV table") inside the block.

    Raises:
        RecipeError: it is not a regular file of 1 to `largest` bytes, or cannot be opened; or whatever the block
            raises, a RecipeError's message following the file's name.
    """
    place = f"data={name}: {file}"
    _check_regular(_status(file, place, "file"), place)
    try:
        # a pipe that has just taken the file's place does not block
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        raise RecipeError(f"{place} cannot be opened: {error.strerror}") from None
    with io.FileIO(descriptor) as raw:
        status = os.fstat(descriptor)
        _check_regular(status, place)
        length = status.st_size
        if not 0 < length <= largest:
            problem = (
                f"has {length:,} bytes, more than the {largest:,} of" if length else "is empty; it is not"
            )
            raise RecipeError(f"{place} {problem} {kind}")
        with explained(place, kind), Stream(raw, length, at_once) as stream:
            yield stream


@contextmanager
def explained(place: str, kind: str) -> Iterator[None]:
    """Whatever the block raises becomes a RecipeError in one line: a file can make its parser raise anything.

    Raises:
        RecipeError: that `place` cannot be read as `kind`, and why.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a parser's own, as NumPy's about the header of an old file
            yield
    except RecipeError as error:
        raise RecipeError(f"{place}: {error}") from error
    except MemoryError as error:
        raise RecipeError(f"{place} needs more memory than there is to be read as {kind}") from error
    except Exception as error:
        reason = reason_of(error, _REASON)
        raise RecipeError(f"{place} cannot be read as {kind}: {reason}") from error


def user_path(path: str, name: str, metavar: str = "FILE") -> Path:
    """`data.path` of the data set `name`, with ~ expanded.

    Raises:
        RecipeError: no path is given, or there is no such user.
    """
    if not path:
        raise RecipeError(f"data={name} needs data.path={metavar}")
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise RecipeError(f"data={name}: {shown(path)}: {error}") from None


def existing_folder(path: str, name: str) -> Path:
    """The folder at `data.path` of the data set `name`.

    Raises:
        RecipeError: no path is given, or there is no such folder.
    """
    folder = user_path(path, name, "FOLDER")
    place = f"data={name}: {folder}"
    if not stat.S_ISDIR(_status(folder, place, "folder").st_mode):
        raise RecipeError(f"{place} is not a folder")
    return folder


def files_in(folder: Path, pattern: str, name: str, most: int) -> list[Path]:
    """What matches the pattern in a folder, whatever it is, in the order of the names.

    Raises:
        RecipeError: there are more than `most`.
    """
    with explained(f"data={name}: {folder}", "a folder"):
        files = sorted(islice(folder.glob(pattern), most + 1))
        if len(files) > most:
            raise RecipeError(f"there are more than {most:,} files {pattern}; give fewer")
    return files


def check_tree(folder: Path, most: int) -> None:
    """Check a folder that another library will read: regular files and folders, none of which leads back to itself.

    Raises:
        RecipeError: naming what is something else, or if there are more than `most` files and folders.
    """
    status = folder.stat()
    seen, open_folders, count = {(status.st_dev, status.st_ino)}, [folder], 0
    while open_folders:
        for path in open_folders.pop().iterdir():
            count += 1
            if count > most:
                raise RecipeError(f"there are more than {most:,} files and folders; give fewer")
            status = _status(path, str(path), "file")
            if not stat.S_ISDIR(status.st_mode):
                _check_regular(status, str(path))
            elif (status.st_dev, status.st_ino) in seen:
                raise RecipeError(f"{path} is a folder that is there twice, by a link")
            else:
                seen.add((status.st_dev, status.st_ino))
                open_folders.append(path)


def shown(text: str) -> str:
    """A name or a word from a file as it stands in a message: its beginning, in one line."""
    return one_line(text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…")


def check_count(count: int, name: str) -> None:
    """Check that a data set has enough examples to be split.

    Raises:
        RecipeError: `count` is below `FEWEST_EXAMPLES`.
    """
    if count < FEWEST_EXAMPLES:
        raise RecipeError(f"data={name}: {count} examples are too few; give at least {FEWEST_EXAMPLES}")


def _status(path: Path, place: str, kind: str) -> os.stat_result:
    """What a path leads to, links followed; `kind` is what should be there, file or folder."""
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError):
        reason = "; it is a link to nothing" if path.is_symlink() else _suggestion(path)
        raise RecipeError(f"{place} is not a {kind}{reason}") from None
    except (OSError, ValueError) as error:  # a loop of links, a name too long, a zero byte
        reason = getattr(error, "strerror", None) or str(error)
        raise RecipeError(f"{place} is not a {kind}: {reason}") from None


def _check_regular(status: os.stat_result, place: str) -> None:
    """Check that what stands at `place` is a regular file."""
    if not stat.S_ISREG(status.st_mode):
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), "something else")
        raise RecipeError(f"{place} is {kind}, not a regular file")


def _suggestion(path: Path) -> str:
    """The end of a message about a path that does not exist: a similar name beside it, if there is one."""
    if not path.parent.is_dir():
        return f"; there is no folder {path.parent}"
    with suppress(OSError):  # a folder that may not be listed
        siblings = [sibling.name for sibling in islice(path.parent.iterdir(), 1000)]
        suggestion = hint(path.name, siblings)
        if suggestion.startswith("; did"):
            return suggestion
    return "; it does not exist"


def choose_rows(available: int, requested: int, key: str, rng: np.random.Generator) -> NDArray[np.int64]:
    """Row numbers of `requested` random examples, or of all `available` ones for 0, in random order: (examples,).

    Raises:
        RecipeError: the option `key` requests more examples than are available.
    """
    if requested > available:
        raise RecipeError(
            f"{key}={requested} is more than the {available} available examples; "
            f"give at most {available}, or 0 for all"
        )
    return rng.permutation(available)[: requested or available]
