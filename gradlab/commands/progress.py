"""What a person sees while a network trains: a bar, the loss, and the backward signal over the depth."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bars

if TYPE_CHECKING:
    from gradlab.launch import Progress

LEVELS = "▁▂▃▄▅▆▇█"  # half a decade each; ▄ is as large as at the last hidden layer
ZERO, NOT_FINITE = "0", "×"
_PATIENCE = 2.0  # seconds between two plain lines: a log is read later, not watched


def sparkline(log10_backward: np.ndarray, width: int = 8) -> str:
    """The backward signal from the first hidden layer to the last, relative to the last, on a fixed scale.

    One level is half a decade, so that two runs, or two moments of one run, can be compared by eye.
    """
    hidden = np.asarray(log10_backward, dtype=float)[1:-1]
    picks = np.linspace(0, len(hidden) - 1, min(width, len(hidden))).round().astype(int)
    return "".join(_mark(value, hidden[-1]) for value in hidden[picks])


def _mark(value: float, last: float) -> str:
    if value == -math.inf:
        return ZERO
    if not math.isfinite(value):
        return NOT_FINITE
    decades = value - last if math.isfinite(last) else math.inf
    return LEVELS[int(np.clip(round(float(np.clip(2 * decades, -9, 9))) + 3, 0, 7))]


def line(now: "Progress") -> str:
    """`50/500 · 250 steps/s · loss 0.42 · backward ▅▅▅▅▄▄▄▄`."""
    pace = [f"{now.step}/{now.steps}", f"{now.steps_per_second:.3g} steps/s"] if now.steps else ["0 steps"]
    return " · ".join([*pace, f"loss {now.loss:.3g}", f"backward {sparkline(now.backward)}"])


@contextmanager
def shown(steps: int, console: Console | None) -> Iterator[Callable[[Any], None] | None]:
    """A function to tell progress to: a bar on a terminal, now and then a line elsewhere, None if quiet."""
    if console is None:
        yield None
    elif console.is_terminal:
        columns = (BarColumn(bar_width=24), TextColumn("{task.description}", markup=False))
        with Bars(*columns, console=console) as bars:
            task = bars.add_task("compiling …", total=max(steps, 1))
            yield lambda now: bars.update(task, completed=now.step or steps == 0, description=line(now))
    else:
        yield from _plain(console)


def _plain(console: Console) -> Iterator[Callable[[Any], None]]:
    said, waiting = -math.inf, ""

    def tell(now: "Progress") -> None:
        nonlocal said, waiting
        waiting = line(now)
        if now.step < now.steps and time.monotonic() - said >= _PATIENCE:
            console.print(waiting, soft_wrap=True, markup=False)
            said, waiting = time.monotonic(), ""

    yield tell
    if waiting:  # the last, whatever it is
        console.print(waiting, soft_wrap=True, markup=False)
