"""SIGINT and SIGTERM as a request to stop between two chunks: an exception inside a chunk would lose its state."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def collected() -> Iterator[list[int]]:
    """Yields a list that receives the first SIGINT or SIGTERM.

    The previous handlers are then restored, so that a second signal acts as usual. A signal that the process ignores
    stays ignored.
    """
    caught: list[int] = []
    handlers: dict[int, Any] = {}

    def note(number: int, frame: Any) -> None:
        caught.append(number)
        restore()

    def restore() -> None:
        for number, handler in handlers.items():
            signal.signal(number, handler)

    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                handlers[number] = signal.signal(number, note)
    except ValueError:  # not the main thread: the caller handles its own signals
        pass
    try:
        yield caught
    finally:
        restore()
