"""What a worker process is, wherever it runs: the start of its life, and its last words."""

import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path

PARENT_SECONDS = 0.5  # between two looks whether the parent is still there
EXIT_SECONDS = 60.0  # that a run has to reach the end of a chunk of steps
LONGEST_WORDS = 200
PID = "pid"  # the file beside a worker's output that holds its number
_busy = threading.Event()


def begin(output: str) -> None:
    """The start of a worker process: what it prints goes to a file, and it ends in order when its parent is gone.

    Ctrl-C reaches every process of a terminal; a worker ignores it, its parent says what to do.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    os.close(descriptor)
    Path(output).with_suffix(f".{PID}").write_text(str(os.getpid()))
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()


@contextmanager
def working() -> Iterator[None]:
    """The process has something to do: without its parent it ends when this is done, which a signal hastens."""
    _busy.set()
    try:
        yield
    finally:
        _busy.clear()


def _end_with_parent(parent: int) -> None:
    """A run is interrupted, with what it has on the disk, and the process ends with it."""
    while os.getppid() == parent:
        time.sleep(PARENT_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
    until = time.monotonic() + EXIT_SECONDS
    while _busy.is_set() and time.monotonic() < until:
        time.sleep(PARENT_SECONDS)
    os._exit(128 + signal.SIGTERM)


def process_of(output: Path) -> int | None:
    """The number of the worker that prints to this file; None where it has not begun."""
    with suppress(OSError, ValueError):
        return int(output.with_suffix(f".{PID}").read_text())
    return None


def send(output: Path, number: signal.Signals) -> bool:
    """Send a signal to the worker that prints to this file; whether it has begun."""
    if (process := process_of(output)) is None:
        return False
    with suppress(ProcessLookupError):
        os.kill(process, number)
    return True


def last_words(output: Path) -> str:
    """What a process that is gone said at its end, in one line: a fatal error of Python's, or its last line.

    Of a run whose time was over it is the line of code that did not end.
    """
    try:
        lines = output.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    if any(line.startswith("Timeout (") for line in lines):
        return _hung(lines)
    fatal = [line for line in lines if line.startswith("Fatal Python error")]
    said = [line.strip() for line in lines if line.strip()]
    return (fatal or said or [""])[-1][:LONGEST_WORDS]


def _hung(lines: list[str]) -> str:
    """`File "slow.py", line 3 in f`: the innermost frame of the last thread, which is the main one."""
    for before, line in reversed(list(pairwise(lines))):
        if before.startswith(("Thread", "Current thread")):
            return re.sub(r"\s+", " ", line).strip()[:LONGEST_WORDS]
    return ""
