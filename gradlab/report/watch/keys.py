"""Single keys of a terminal, read without an Enter; where standard input is no terminal there are none."""

import os
import select
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager

UP, DOWN, ENTER, ESCAPE = "up", "down", "enter", "escape"
_NAMES = {"\x1b[A": UP, "\x1bOA": UP, "k": UP, "\x1b[B": DOWN, "\x1bOB": DOWN, "j": DOWN}
_NAMES |= {"\r": ENTER, "\n": ENTER, "\x1b": ESCAPE}
LONGEST = 32  # bytes of the keys that are waiting; an arrow has three

ReadKey = Callable[[float], str]


@contextmanager
def keys() -> Iterator[ReadKey]:
    """A function that waits for a key for so many seconds, and returns its name or letter, "" without one.

    The terminal is as it was when the block ends, however it ends.
    """
    descriptor = _terminal()
    if descriptor is None:
        yield _wait
        return
    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor)  # Ctrl-C stays a signal
        yield lambda seconds: _read(descriptor, seconds)
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _terminal() -> int | None:
    """Standard input where it is a terminal whose keys are for this process: those of a background job are not."""
    try:
        descriptor = sys.stdin.fileno()
        if os.isatty(descriptor) and os.tcgetpgrp(descriptor) == os.getpgrp():
            return descriptor
    except (OSError, ValueError, AttributeError):  # there is none, or it is closed
        pass
    return None


def _wait(seconds: float) -> str:
    time.sleep(seconds)
    return ""


def _read(descriptor: int, seconds: float) -> str:
    ready, _, _ = select.select([descriptor], [], [], seconds)
    if not ready:
        return ""
    pressed = os.read(descriptor, LONGEST).decode(errors="replace")
    if not pressed:  # the terminal is gone
        time.sleep(seconds)
    first = pressed[:3] if pressed.startswith(("\x1b[", "\x1bO")) else pressed[:1]
    return _NAMES.get(first, first)
