"""How a grid gets on: its counts, the time that is left, the best run so far, and the runs that are trained now."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from gradlab.measurements.columns import STATES
from gradlab.recipe.printing import printable, shortened

_ORDER = [*STATES, "not started", "left out"]
MOST_ROWS = 16  # runs that are shown while they are trained
BAR_WIDTH = 24


@dataclass
class Running:
    """A run that is trained now; `began` is a time of the monotonic clock."""

    label: str
    steps: int
    began: float
    steps_done: int = 0


@dataclass
class StudyState:
    """How far a grid is.

    counts: of the runs that have ended, by state; fresh: how many of them were run by this command.
    """

    total: int
    started: float
    fresh: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    running: dict[int, Running] = field(default_factory=dict)  # by cell
    best: tuple[float, str] | None = None  # the highest test score and the run's label

    @property
    def done(self) -> int:
        """The runs of which nothing more is expected."""
        return sum(self.counts.values())

    def consider(self, label: str, row: Mapping[str, Any]) -> None:
        """Note a run's test score if it is the best so far."""
        score = row.get("test_score")
        if score is not None and math.isfinite(score) and (self.best is None or score > self.best[0]):
            self.best = (float(score), label)

    def seconds_left(self, now: float) -> float | None:
        """From the pace of the runs so far; None as long as there is none."""
        if not self.fresh:
            return None
        return (now - self.started) / self.fresh * (self.total - self.done)

    def summary(self) -> str:
        """`24 runs: 20 finished, 3 diverged, 1 failed`."""
        counts = ", ".join(f"{self.counts[state]} {state}" for state in sorted(self.counts, key=_ORDER.index))
        rest = self.total - self.done
        return f"{self.total}: {counts}" + (f", {rest} not started" if rest else "")


def live_table(state: StudyState, now: float) -> RenderableType:
    """One line on the grid, and one for each run that is trained now."""
    left = state.seconds_left(now)
    words = [
        f"{state.done}/{state.total} runs",
        *(f"{state.counts[name]} {name}" for name in sorted(state.counts, key=_ORDER.index)),
        f"{len(state.running)} running",
        f"{duration(left)} left" if left is not None else "",
        f"best test score {state.best[0]:.2f} ({shortened(state.best[1])})" if state.best else "",
    ]
    head = Table.grid(padding=(0, 1))
    head.add_row(
        ProgressBar(total=state.total, completed=state.done, width=BAR_WIDTH),
        Text(printable(" · ".join(filter(None, words)))),
    )
    runs = Table.grid(padding=(0, 2))
    for run in list(state.running.values())[:MOST_ROWS]:
        steps = f"{run.steps_done}/{run.steps}" if run.steps_done else "starting"
        runs.add_row(Text(f"  {printable(run.label)}"), steps, duration(now - run.began))
    hidden = len(state.running) - MOST_ROWS
    return Group(head, runs, *([Text(f"  and {hidden} more")] if hidden > 0 else []))


def duration(seconds: float) -> str:
    """`40 s`, `3 min`, `2.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
