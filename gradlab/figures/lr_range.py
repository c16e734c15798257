"""The range test: the loss against the learning rate, with what was found of it."""

from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, NullFormatter

from gradlab.analysis.lr_range import pairs
from gradlab.analysis.selection import minibatch_rows
from gradlab.figures import marks, style
from gradlab.figures.marks import Legend

MARKED: dict[str, tuple[str, Any, str]] = {  # what was found: its colour, its line, its words
    "begins": (style.COLOURS[2], ":", "begins to fall"),
    "steepest": (style.COLOURS[2], "-", "falls fastest"),
    "least": (style.INK, "--", "least"),
    "lost": (style.COLOURS[1], "-", "fall lost"),
}
SMOOTH = style.COLOURS[0]


def lr_range(steps: pd.DataFrame, found: dict[str, Any], title: str = "") -> Figure:
    """Each seed's loss, faint, and smoothed; the marks of `found`, the analysis of these steps, and its interval."""
    figure, (panel,) = style.panels(1, 1, (9, 5.4), title)
    told = "Range test" if found["fell"] else "Range test: the loss falls at no rate"
    style.panel_labels(panel, told, "learning rate of the step", "mean data loss after the step")
    panel.set_xscale("log")
    legend = Legend()
    for _, rows in minibatch_rows(steps).groupby("seed"):
        marks.line(panel, *pairs(rows), style.FAINT, legend, width=0.7)
    for each in found["seeds"]:
        panel.plot(each["rates"], each["smoothed"], color=SMOOTH, linewidth=2, label="smoothed")
    legend.entries["minibatch"] = Line2D([], [], color=style.FAINT, linewidth=1)
    seeds = len(found["seeds"])
    words = "smoothed" if seeds == 1 else f"smoothed, {seeds} seeds"
    legend.entries[words] = Line2D([], [], color=SMOOTH, linewidth=2.5)
    for key, (colour, dash, words) in MARKED.items():
        if found[key] is not None:
            panel.axvline(found[key], color=colour, linestyle=dash, linewidth=1.6, label=f"_{key}")
            said = f"{words} ({found[key]:.2g})"
            legend.entries[said] = Line2D([], [], color=colour, linestyle=dash, linewidth=1.6)
    if found["recommended"] is not None:
        low, high = found["recommended"]
        panel.axvspan(low, high, color=style.COLOURS[2], alpha=0.12, linewidth=0)
        said = f"recommended ({low:.2g} to {high:.2g})"
        legend.entries[said] = Patch(color=style.COLOURS[2], alpha=0.25)
    panel.set_xlim(found["low"], found["high"])
    panel.xaxis.set_major_locator(LogLocator(numticks=12))
    panel.xaxis.set_minor_formatter(NullFormatter())
    panel.set_ylim(*_limits(found))
    style.draw_legend(figure, legend.entries)
    return figure


def _limits(found: dict[str, Any]) -> tuple[float, float]:
    """Around the fall: a loss that blows up leaves the panel, and noise without a fall is not made to fill it."""
    low = min(min(each["smoothed"]) for each in found["seeds"])
    first = max(each["first"] for each in found["seeds"])
    fall = max(first - low, 0.2 * abs(first), 1e-12)
    return first - 1.35 * fall, first + 0.8 * fall
