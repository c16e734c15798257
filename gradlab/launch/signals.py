"""SIGINT and SIGTERM as a wish to stop between two chunks: an exception inside one would lose its state."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def collected() -> Iterator[list[int]]:
    """The signals that came so far; the second has its ordinary effect, and so has one that was ignored."""
    caught: list[int] = []
    handlers: dict[int, Any] = {}

    def note(number: int, frame: Any) -> None:
        caught.append(number)
        for one, handler in handlers.items():
            signal.signal(one, handler)

    try:
        for wanted in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(wanted) not in (signal.SIG_IGN, None):
                handlers[wanted] = signal.signal(wanted, note)
    except ValueError:  # not the main thread: whoever runs us handles its own signals
        pass
    try:
        yield caught
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
