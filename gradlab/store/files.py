"""Files by their names below a folder: no link is followed there, nothing but a regular file is opened.

A folder of runs may have been written to by others. `base` is what its user has named, and may be reached through
links; nothing below it may. Every folder on the way to a file is opened relative to the one before, and a file is
written under a temporary name that nobody can foresee.
"""

import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from gradlab.recipe.errors import RecipeError

LARGEST = 2**32  # bytes of a file that is read whole: more than the largest run writes
TEMPORARY = ".*.tmp"  # the pattern of temporary names
_NO_LINK = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # to open a pipe would wait for its other end


@contextmanager
def opened(base: Path, name: str = "", create: bool = False) -> Iterator[int]:
    """A descriptor of the folder `base/name`; with `create` it is made where it is missing, and survives a power cut.

    Raises:
        RecipeError: there is a link below `base`.
        OSError: it is no folder, or cannot be opened or made.
    """
    parts = PurePosixPath(name).parts
    if ".." in parts or "/" in parts:
        raise RecipeError(f"{name} is no name of a file in {base}")
    if create:
        _make(base)
    descriptor = os.open(base, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    place = base
    try:
        for part in parts:
            place /= part
            if create:
                _make_in(descriptor, part)
            inner = _open(descriptor, part, os.O_RDONLY | os.O_DIRECTORY, place)
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


def _make(folder: Path) -> None:
    if not folder.is_dir():
        _make(folder.parent)
        with opened(folder.parent) as parent:
            _make_in(parent, folder.name)


def _make_in(parent: int, name: str) -> None:
    with suppress(FileExistsError):
        os.mkdir(name, dir_fd=parent)
        os.fsync(parent)


def _open(folder: int, name: str, flags: int, place: Path) -> int:
    try:
        return os.open(name, flags | _NO_LINK, 0o666, dir_fd=folder)
    except OSError:
        require_no_link(folder, name, place)
        raise


def require_no_link(folder: int, name: str, place: Path) -> None:
    """Check an entry of an opened folder, which need not be there; `place` is its path.

    Raises:
        RecipeError: it is a link.
    """
    with suppress(OSError):
        if stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            raise RecipeError(f"{place} is a link, and none is followed there; remove it") from None


@contextmanager
def file(base: Path, name: str, flags: int) -> Iterator[int]:
    """A descriptor of the regular file `base/name`, opened with these flags of `os.open`.

    Raises:
        RecipeError: there is a link below `base`, or the file is no regular one, or is to be written and has a second
            name, which may be elsewhere.
        OSError: it cannot be opened.
    """
    place = base / name
    with opened(base, str(PurePosixPath(name).parent)) as folder:
        descriptor = _open(folder, place.name, flags, place)
    try:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise RecipeError(f"{place} is no regular file; remove it")
        if flags & (os.O_WRONLY | os.O_RDWR) and facts.st_nlink > 1:
            raise RecipeError(f"{place} is another name of a file elsewhere; remove it")
        yield descriptor
    finally:
        os.close(descriptor)


def read(base: Path, name: str, limit: int = LARGEST) -> bytes:
    """The content of a file.

    Raises:
        RecipeError: there is a link below `base`, or it is no regular file, or has more than `limit` bytes.
        OSError: it cannot be read.
    """
    with file(base, name, os.O_RDONLY) as descriptor:
        size = os.fstat(descriptor).st_size
        if size > limit:
            raise RecipeError(f"{base / name} has {size:,} bytes, and at most {limit:,} are read; remove it")
        with os.fdopen(descriptor, "rb", closefd=False) as stream:
            return stream.read(limit)


def write(base: Path, name: str, content: bytes) -> None:
    """Write a file that is complete or absent under its name: temporary name, sync, rename, sync of the folder.

    Raises:
        RecipeError: there is a link below `base`.
        OSError: it cannot be written.
    """
    place = base / name
    temporary = f".{place.name}.{secrets.token_hex(8)}.tmp"
    with opened(base, str(PurePosixPath(name).parent), create=True) as folder:
        descriptor = _open(folder, temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, place)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(temporary, place.name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary, dir_fd=folder)
            raise
        os.fsync(folder)


def append(base: Path, name: str, content: bytes) -> None:
    """Append to a file, which is made where it is missing; what a power cut takes of it is not noticed.

    Raises:
        RecipeError: see `file`.
        OSError: it cannot be written.
    """
    with (
        file(base, name, os.O_WRONLY | os.O_APPEND | os.O_CREAT) as descriptor,
        os.fdopen(descriptor, "ab", closefd=False) as stream,
    ):
        stream.write(content)


def listed(base: Path, name: str, *patterns: str) -> list[str]:
    """The names below `base` of the files in folder `base/name` that match a pattern, sorted; none without the folder.

    Raises:
        RecipeError: there is a link below `base`.
    """
    try:
        with opened(base, name) as folder, os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if not entry.is_dir(follow_symlinks=False))
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [
        str(PurePosixPath(name, found))
        for found in names
        if any(fnmatchcase(found, pattern) for pattern in patterns)
    ]


def remove(base: Path, names: Iterable[str]) -> None:
    """Delete files durably, of a link the link itself; a missing one is no error, and nor is a folder, which stays.

    Raises:
        RecipeError: there is a link below `base` on the way to a file.
        OSError: one cannot be deleted.
    """
    by_folder: dict[str, list[str]] = {}
    for path in map(PurePosixPath, names):
        by_folder.setdefault(str(path.parent), []).append(path.name)
    for place, found in by_folder.items():
        with suppress(FileNotFoundError), opened(base, place) as folder:
            removed = False
            for name in found:
                with suppress(FileNotFoundError, IsADirectoryError):
                    os.unlink(name, dir_fd=folder)
                    removed = True
            if removed:
                os.fsync(folder)


def rename(base: Path, name: str, new: str) -> None:
    """Give a file another name in its folder, durably.

    Raises:
        RecipeError: there is a link below `base` on the way to it.
        OSError: it cannot be renamed.
    """
    path = PurePosixPath(name)
    with opened(base, str(path.parent)) as folder:
        os.replace(path.name, new, src_dir_fd=folder, dst_dir_fd=folder)
        os.fsync(folder)
