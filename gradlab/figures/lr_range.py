"""The learning rate range test: the loss against the learning rate, with the result of its analysis."""

from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, NullFormatter

from gradlab.analysis.lr_range import pairs, range_test
from gradlab.analysis.results import RangeTest
from gradlab.analysis.selection import minibatch_rows
from gradlab.figures import marks, style
from gradlab.figures.marks import Legend
from gradlab.store.read import Run

RUN_TABLES = ("steps",)
COLUMNS = ("learning_rate", "loss")
BY_DEFAULT = False  # only a run with schedule=range is a range test
MARKED: dict[str, tuple[str, Any, str]] = {  # a learning rate of the result: its colour, dashes and label
    "begins": (style.COLOURS[2], ":", "begins to fall"),
    "steepest": (style.COLOURS[2], "-", "falls fastest"),
    "least": (style.INK, "--", "lowest"),
    "lost": (style.COLOURS[1], "-", "diverges"),
}
SMOOTH = style.COLOURS[0]


def run_figure(run: Run, title: str) -> Figure:
    """The range test of a stored run with `schedule=range`, as `gradlab lr-find` makes it."""
    return lr_range(run.steps, range_test(run.steps), title)


def lr_range(steps: pd.DataFrame, result: RangeTest, title: str = "") -> Figure:
    """Each seed's loss, faint, and smoothed; marks at the rates of `result`, and the recommended interval.

    `steps` is the table of a run with `schedule=range`, `result` what `range_test` of `gradlab.analysis.lr_range`
    returns for it.
    """
    figure, (panel,) = style.panels(1, 1, (9, 5.4), title)
    heading = "Learning rate range test" + ("" if result.fell else ": no learning rate lowers the loss")
    style.panel_labels(panel, heading, "learning rate of the step", "mean data loss after the step")
    panel.set_xscale("log")
    legend = Legend()
    for _, rows in minibatch_rows(steps).groupby("seed"):
        marks.line(panel, *pairs(rows), style.FAINT, legend, width=0.7)
    for seed in result.seeds:
        panel.plot(seed.rates, seed.smoothed, color=SMOOTH, linewidth=2, label="smoothed")
    legend.entries["minibatch"] = Line2D([], [], color=style.FAINT, linewidth=1)
    seeds = len(result.seeds)
    label = "smoothed" if seeds == 1 else f"smoothed, {seeds} seeds"
    legend.entries[label] = Line2D([], [], color=SMOOTH, linewidth=2.5)
    for key, (colour, dash, label) in MARKED.items():
        if getattr(result, key) is not None:
            panel.axvline(getattr(result, key), color=colour, linestyle=dash, linewidth=1.6, label=f"_{key}")
            entry = Line2D([], [], color=colour, linestyle=dash, linewidth=1.6)
            legend.entries[f"{label} ({getattr(result, key):.2g})"] = entry
    if result.recommended is not None:
        low, high = result.recommended
        panel.axvspan(low, high, color=style.COLOURS[2], alpha=0.12, linewidth=0)
        legend.entries[f"recommended ({low:.2g} to {high:.2g})"] = Patch(color=style.COLOURS[2], alpha=0.25)
    panel.set_xlim(result.low, result.high)
    panel.xaxis.set_major_locator(LogLocator(numticks=12))
    panel.xaxis.set_minor_formatter(NullFormatter())
    panel.set_ylim(*_loss_limits(result))
    style.draw_legend(figure, legend.entries)
    return figure


def _loss_limits(result: RangeTest) -> tuple[float, float]:
    """Limits around the fall: a loss that blows up leaves the panel, and noise without a fall does not fill it."""
    low = min(min(seed.smoothed) for seed in result.seeds)
    first = max(seed.first for seed in result.seeds)
    fall = max(first - low, 0.2 * abs(first), 1e-12)
    return first - 1.35 * fall, first + 0.8 * fall
