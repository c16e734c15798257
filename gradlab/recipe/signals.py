"""SIGINT and SIGTERM as requests to stop: raised where nothing is lost by it, elsewhere noted until someone looks.

The first signal is never lost: where a library swallows the exception, or turns it into another, the block ends with it
all the same. A second signal acts as usual. In a thread that is not the main one nothing here has an effect: Python
delivers no signals there.
"""

import _thread
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")
NUMBERS = (signal.SIGINT, signal.SIGTERM)
PAUSE = 0.01  # seconds until a stop that was lost in a callback is raised again


class Stop(KeyboardInterrupt):
    """The first SIGINT or SIGTERM."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number

    @property
    def exit_code(self) -> int:
        """130 or 143, as a shell says of a process that the signal has ended."""
        return 128 + self.number


@dataclass(eq=False)
class _Block:
    raises: bool


_blocks: list[_Block] = []  # those that are open, from the outermost
_caught: list[int] = []  # the first signal in the outermost block
_lost: list[Stop] = []  # its exception, where that was lost
_usual: dict[int, Any] = {}  # the handlers before it


@contextmanager
def collected() -> Iterator[list[int]]:
    """A signal is noted in the list that this yields: inside, an exception would lose or break something.

    A block inside another has its list. A signal that the process ignores stays ignored.
    """
    if not _in_main_thread():
        yield []
        return
    outermost, block, hook = not _blocks, _Block(raises=False), sys.unraisablehook
    _blocks.append(block)
    try:
        if outermost:
            _begin(hook)
        yield _caught
    finally:
        _close(block)
        if outermost:
            _restore_handlers()
            _usual.clear()
            sys.unraisablehook = hook


@contextmanager
def raised() -> Iterator[None]:
    """A signal raises `Stop`: at once, or at the end of the block where that was lost, or at its start.

    Raises:
        Stop: a signal was caught, whatever else the block raises.
    """
    with collected():
        block = _Block(raises=_in_main_thread())
        try:
            _blocks.append(block)
            check()
            yield
        except KeyboardInterrupt:
            raise
        except BaseException:
            check()
            raise
        finally:
            _close(block)
        check()


def check() -> None:
    """Look whether a signal was caught.

    Raises:
        Stop: one was.
    """
    if _blocks and _caught and _in_main_thread():
        _lost.clear()
        raise Stop(_caught[0])


def awaited(function: Callable[[], T]) -> T:
    """What a function returns that runs in a thread of its own, and is left alone by a signal, which ends the waiting.

    Raises:
        Stop: a signal was caught; the thread goes on.
    """
    from concurrent.futures import Future  # slow to import, and no command that answers at once needs it

    future: Future[T] = Future()

    def work() -> None:
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)

    with raised():
        threading.Thread(target=work, daemon=True).start()
        return future.result()


def is_request(error: BaseException) -> bool:
    """Whether an exception may be of a signal: it goes on up; whatever else a user's function raises is its failure."""
    return isinstance(error, KeyboardInterrupt) and (bool(_caught) or not _blocks)


def exit_at_once() -> None:
    """For the end of a process: from now on a signal ends it, as Python's tidying up would lose an exception.

    One that a signal has stopped ends here: where it left something undone, as JAX, tidying up may crash.
    """
    for number in NUMBERS:
        if signal.getsignal(number) not in (signal.SIG_IGN, None):
            signal.signal(number, lambda number, _: os._exit(128 + number))
    _usual.clear()
    if _caught:
        with suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(128 + _caught[0])


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _close(block: _Block) -> None:
    """Close a block and those inside it that a signal has kept from closing."""
    if block in _blocks:
        del _blocks[_blocks.index(block) :]


def _begin(hook: Callable[[Any], object]) -> None:
    _caught.clear()
    _lost.clear()
    for number in NUMBERS:
        if signal.getsignal(number) not in (signal.SIG_IGN, None):
            _usual[number] = signal.signal(number, _note)

    def ask_again(lost: Any) -> None:
        """`Stop` was raised where exceptions are lost, as in `__del__` and callbacks of the garbage collector."""
        if isinstance(lost.exc_value, Stop):
            _lost.append(lost.exc_value)
            signal.signal(lost.exc_value.number, _note)
            _thread.start_new_thread(_send, (signal.Signals(lost.exc_value.number),))
        else:
            hook(lost)

    sys.unraisablehook = ask_again


def _send(number: signal.Signals) -> None:
    time.sleep(PAUSE)
    if _blocks and _lost:
        _thread.interrupt_main(number)


def _note(number: int, _: Any) -> None:
    first = not _caught
    if first:
        _caught.append(number)
    _restore_handlers()
    if _blocks and _blocks[-1].raises and (first or _lost):
        check()


def _restore_handlers() -> None:
    for number, handler in _usual.items():
        signal.signal(number, handler)
