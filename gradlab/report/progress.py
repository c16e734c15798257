"""The progress of a run on a terminal or in a log: a bar, the loss, and the backward signal over the depth."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as ProgressBars

LEVELS = "▁▂▃▄▅▆▇█"  # half a decade each; ▄ is as large as at the last hidden layer
ZERO, NOT_FINITE = "0", "×"
_REFERENCE_LEVEL = LEVELS.index("▄")
_LOG_INTERVAL = 2.0  # seconds between two lines of a log, which is read later, not watched


class RunProgress(Protocol):
    """How far a run is; `backward` is log10_backward of the first seed at its last row, shape (layers,)."""

    @property
    def step(self) -> int: ...
    @property
    def steps(self) -> int: ...
    @property
    def loss(self) -> float: ...
    @property
    def backward(self) -> np.ndarray: ...
    @property
    def steps_per_second(self) -> float: ...


ProgressCallback = Callable[[RunProgress], None]


def sparkline(log10_backward: np.ndarray, width: int = 8) -> str:
    """The backward signal from the first hidden layer to the last as `width` characters or fewer.

    `log10_backward` has shape (layers,), with the input block first and the output layer last. One level is half
    a decade relative to the last hidden layer, so that two runs, or two moments of one run, can be compared by eye.
    """
    hidden = np.asarray(log10_backward, dtype=float)[1:-1]
    picks = np.linspace(0, len(hidden) - 1, min(width, len(hidden))).round().astype(int)
    return "".join(_level(value, hidden[-1]) for value in hidden[picks])


def _level(value: float, last: float) -> str:
    if value == -math.inf:
        return ZERO
    if not math.isfinite(value):
        return NOT_FINITE
    decades = value - last if math.isfinite(last) else math.inf
    half_decades = round(float(np.clip(2 * decades, -9, 9)))
    return LEVELS[int(np.clip(half_decades + _REFERENCE_LEVEL, 0, len(LEVELS) - 1))]


def progress_line(progress: RunProgress) -> str:
    """`50/500 · 250 steps/s · loss 0.42 · backward ▅▅▅▅▄▄▄▄`."""
    pace = ["0 steps"]
    if progress.steps:
        pace = [f"{progress.step}/{progress.steps}", f"{progress.steps_per_second:.3g} steps/s"]
    return " · ".join([*pace, f"loss {progress.loss:.3g}", f"backward {sparkline(progress.backward)}"])


@contextmanager
def progress_display(steps: int, console: Console | None) -> Iterator[ProgressCallback | None]:
    """A function that shows progress: as a bar on a terminal, as a line now and then in a log; None without console."""
    if console is None:
        yield None
    elif console.is_terminal:
        columns = (BarColumn(bar_width=24), TextColumn("{task.description}", markup=False))
        with ProgressBars(*columns, console=console) as bars:
            task = bars.add_task("compiling …", total=max(steps, 1))
            yield lambda progress: bars.update(
                task, completed=progress.step or steps == 0, description=progress_line(progress)
            )
    else:
        log = _ProgressLog(console)
        yield log.update
        log.close()


class _ProgressLog:
    """Lines at least two seconds apart; the newest waits until it may be printed, or until the end."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._printed_at = -math.inf
        self._waiting = ""

    def update(self, progress: RunProgress) -> None:
        """Print this progress, or keep it as the newest."""
        self._waiting = progress_line(progress)
        if progress.step < progress.steps and time.monotonic() - self._printed_at >= _LOG_INTERVAL:
            self._print()

    def close(self) -> None:
        """Print the newest progress if it has not been printed."""
        if self._waiting:
            self._print()

    def _print(self) -> None:
        self._console.print(self._waiting, soft_wrap=True, markup=False)
        self._printed_at, self._waiting = time.monotonic(), ""
