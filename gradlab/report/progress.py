"""The progress of a run on a terminal or in a log: a bar, the time, the loss, and the signals over the depth."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from gradlab.report.study_table import duration
from gradlab.report.watch.braille import Profile
from gradlab.report.watch.drawing import Space, bar, fitted, profile_lines

LEVELS = "▁▂▃▄▅▆▇█"  # half a decade each; ▄ is as large as at the last hidden layer
ZERO, NOT_FINITE = "0", "×"
_REFERENCE_LEVEL = LEVELS.index("▄")
PROFILES = {"backward": "log10_backward", "forward": "log10_forward", "gradient": "log10_gradient"}
BAR_WIDTH, PROFILE_HEIGHT = 24, 4  # characters, lines
REFRESHES = 4  # per second, of a terminal
_LOG_INTERVAL = 2.0  # seconds between two lines of a log, which is read later, not watched


class RunProgress(Protocol):
    """How far a run is; `profiles` are columns of layers of the first seed at its last row, each (layers,), masked
    where it was not measured, and `backward` is log10_backward of these."""

    @property
    def step(self) -> int: ...
    @property
    def steps(self) -> int: ...
    @property
    def loss(self) -> float: ...
    @property
    def backward(self) -> np.ndarray: ...
    @property
    def profiles(self) -> Mapping[str, np.ma.MaskedArray[Any, Any]]: ...
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
        shown = _Shown(steps, console, time.monotonic())
        with Live(console=console, refresh_per_second=REFRESHES, get_renderable=shown.draw):
            yield shown.update
    else:
        log = _ProgressLog(console)
        yield log.update
        log.close()


class _Shown:
    """What a terminal shows: it is drawn again and again, so that the time goes on between two reports."""

    def __init__(self, steps: int, console: Console, began: float) -> None:
        self._steps, self._console, self._began = steps, console, began
        self._newest: tuple[RunProgress, float] | None = None

    def update(self, progress: RunProgress) -> None:
        """Note the newest progress."""
        self._newest = progress, time.monotonic()

    def draw(self) -> RenderableType:
        """The bar with the numbers, and the profiles."""
        now = time.monotonic()
        space = Space(self._console.width, self._console.height, plain=self._console.options.ascii_only)
        if self._newest is None:
            pieces = [f"compiling … {duration(now - self._began)}"]
            return Group(*_lines(bar(0, 1, BAR_WIDTH, space.plain), pieces, space))
        progress, at = self._newest
        done = bar(progress.step, progress.steps, BAR_WIDTH, space.plain)
        pieces = numbers(progress, now - self._began, now - at)
        profiles = depth_profiles(progress.profiles)
        drawn = profile_lines(profiles, space, PROFILE_HEIGHT) if profiles else []
        return Group(*_lines(done, pieces, space), *(fitted(line, space.width) for line in drawn))


def numbers(progress: RunProgress, elapsed: float, since: float) -> list[str]:
    """`50/500`, `12 s elapsed, about 14 s left`, `250 steps/s`, `loss 0.42`; times in seconds, `since` a report."""
    time_words = f"{duration(elapsed)} elapsed"
    if progress.step < progress.steps and progress.steps_per_second > 0:
        left = (progress.steps - progress.step) / progress.steps_per_second - since
        time_words += f", about {duration(max(left, 0.0))} left"
    words = ["0 steps", time_words]
    if progress.steps:
        words = [f"{progress.step}/{progress.steps}", time_words, f"{progress.steps_per_second:.3g} steps/s"]
    return [*words, f"loss {progress.loss:.3g}"]


def depth_profiles(columns: Mapping[str, np.ma.MaskedArray[Any, Any]]) -> dict[str, Profile]:
    """The profiles of columns of layers, each (layers,) and masked where a layer was not measured."""
    profiles = {}
    for name, column in PROFILES.items():
        if column in columns:
            measured = np.flatnonzero(~np.ma.getmaskarray(columns[column]))
            values = np.asarray(columns[column], dtype=float)[measured]
            profiles[name] = Profile(measured, values, len(columns[column]) - 1)
    return profiles


def _lines(start: str, pieces: list[str], space: Space) -> list[Text]:
    """The pieces behind the start, none of them broken; those that do not fit in a further line."""
    lines = [f"{start} {pieces[0]}"]
    for piece in pieces[1:]:
        if cell_len(lines[-1]) + 3 + cell_len(piece) <= space.width:
            lines[-1] += f" · {piece}"
        else:
            lines.append(f"  {piece}")
    return [fitted(Text(line), space.width) for line in lines]


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
