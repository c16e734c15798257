"""One writer a folder: a lock that the system takes back when its holder ends, however it ends."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gradlab.recipe.errors import RecipeError

NAME = ".lock"  # it stays: a lock that is deleted may be held by two
TRIES, PAUSE = 10, 0.02  # a reader that looks holds the lock for a moment


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, or a RecipeError where another process is writing there."""
    descriptor = os.open(folder / NAME, os.O_RDWR | os.O_CREAT, 0o666)  # not inherited by programs we start
    try:
        if not _taken(descriptor):
            holder = os.pread(descriptor, 20, 0).decode(errors="replace").strip()
            raise RecipeError(f"{folder} is being written by process {holder}; wait for it or stop it")
        with suppress(OSError):  # for who is refused to read; the lock itself needs no space
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def held(folder: Path) -> bool:
    """Whether some process is writing this folder now; one that was killed is not."""
    with suppress(OSError):
        descriptor = os.open(folder / NAME, os.O_RDONLY)
        try:
            return not _locked(descriptor, fcntl.LOCK_SH)
        finally:
            os.close(descriptor)
    return False


def _taken(descriptor: int) -> bool:
    for _ in range(TRIES):
        if _locked(descriptor, fcntl.LOCK_EX):
            return True
        time.sleep(PAUSE)
    return False


def _locked(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks: better unguarded than unusable
        return True
    return True
