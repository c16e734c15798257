"""One writer per folder: a lock that the system releases when its process ends, however it ends."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gradlab.recipe.errors import InUseError, RecipeError
from gradlab.store import files

NAME = ".lock"  # never deleted: two processes could each hold a lock on a deleted and a new file of this name
ATTEMPTS, PAUSE = 10, 0.02  # `held` holds the lock for a moment, which is no reason to give up


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Hold the folder's lock inside the `with` block.

    Raises:
        InUseError: another process is writing to the folder.
        RecipeError: its lock is a link.
    """
    with files.file(folder, NAME, os.O_RDWR | os.O_CREAT) as descriptor:
        if not _acquire(descriptor):
            holder = os.pread(descriptor, 20, 0).decode(errors="replace").strip()
            raise InUseError(f"{folder} is being written by process {holder}; wait for it or stop it")
        with suppress(OSError):  # shown to a process that is refused the lock; the lock itself needs no space
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield


def held(folder: Path) -> bool:
    """Whether a process is writing to this folder now; a process that was killed is not."""
    with suppress(OSError, RecipeError), files.file(folder, NAME, os.O_RDONLY) as descriptor:
        return not _try_lock(descriptor, fcntl.LOCK_SH)
    return False


def holder(folder: Path) -> str:
    """The number of the process that writes to this folder, or was the last to do so; "" where none ever did."""
    with suppress(OSError, RecipeError), files.file(folder, NAME, os.O_RDONLY) as descriptor:
        return os.pread(descriptor, 20, 0).decode(errors="replace").strip()
    return ""


def _acquire(descriptor: int) -> bool:
    for _ in range(ATTEMPTS):
        if _try_lock(descriptor, fcntl.LOCK_EX):
            return True
        time.sleep(PAUSE)
    return False


def _try_lock(descriptor: int, operation: int) -> bool:
    try:
        fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks: better unguarded than unusable
        return True
    return True
