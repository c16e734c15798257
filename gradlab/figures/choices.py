"""Gain, decades and score of a study against each choice that its runs differ in."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from gradlab.analysis.score import Score
from gradlab.figures import style
from gradlab.figures.groups import group_styles, is_numeric, value_text

MOST_CHOICES = 4  # columns of panels
MOST_LABELS = 12  # values named at an axis
JITTER = 0.12  # of the distance of two words, so that runs do not hide each other
LOG_RATIO = 20.0  # largest ÷ smallest number from which on an axis of a choice is logarithmic


def choices(outcomes: pd.DataFrame, names: Sequence[str], score: Score | None, title: str = "") -> Figure:
    """A row of panels for each outcome and a column for each of the choices `names`, of more than four the first.

    `outcomes` has a row per run and seed with `gain` (log10 per layer), `decades` and `score`, NaN where there is no
    finite value. A point is a seed of a run, its colour its value of the first choice; the line joins the medians. An
    outcome without a finite value has no row, and a point without one stands in none.
    """
    names = list(names)[:MOST_CHOICES]
    titles = {"gain": "Gain per layer, at the start", "decades": "Decades over depth, at the start"}
    titles |= {"score": f"Test {score.label}, at the end"} if score else {}
    rows = [name for name in titles if np.isfinite(outcomes[name].to_numpy(dtype=float)).any()]
    size = (max(8, 4.6 * len(names)), 3.6 * max(len(rows), 1) + 0.6)
    figure, axes = style.panels(max(len(rows), 1), len(names), size, title)
    if not rows:
        style.empty_note(axes[0], "no run has a finite outcome")
        return figure
    looks = group_styles(outcomes[names[0]])
    for i, outcome in enumerate(rows):
        for j, name in enumerate(names):
            panel = axes[i * len(names) + j]
            _draw(panel, outcomes, name, outcome, [looks[_key(value)].colour for value in outcomes[names[0]]])
            style.panel_labels(panel, titles[outcome] if j == 0 else "", name, "")
            if outcome == "gain":
                panel.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{10**y:.3g}"))
            if outcome in ("gain", "decades"):
                panel.axhline(0, color=style.INK, linewidth=1, linestyle=":", label="_flowing")
    entries = {
        f"{names[0]} {value_text(value)}": Line2D([], [], marker="o", color=look.colour, linestyle="")
        for value, look in looks.items()
    }
    marks = {"median": Line2D([], [], color=style.INK, linewidth=1.6)}
    style.draw_legend(figure, entries, marks=marks)
    return figure


def _key(value: object) -> object:
    return None if value is None or value != value else value


def _draw(panel: Axes, outcomes: pd.DataFrame, name: str, outcome: str, colours: list[object]) -> None:
    """Draw the points of an outcome against a choice, and the line through their medians."""
    y = outcomes[outcome].to_numpy(dtype=float)
    numbers = is_numeric(outcomes[name])
    if numbers:
        x = outcomes[name].to_numpy(dtype=float, na_value=np.nan)
        levels = np.unique(x[np.isfinite(x)])
        if levels.size > 1 and levels[0] > 0 and levels[-1] / levels[0] >= LOG_RATIO:
            panel.set_xscale("log")
        panel.set_xticks(levels[:MOST_LABELS], labels=[value_text(level) for level in levels[:MOST_LABELS]])
        panel.minorticks_off()
    else:
        words = list(dict.fromkeys(map(value_text, outcomes[name])))
        x = np.array([words.index(value_text(value)) for value in outcomes[name]], dtype=float)
        levels = np.arange(len(words), dtype=float)
        panel.set_xticks(
            levels[:MOST_LABELS], labels=[word[:18] for word in words[:MOST_LABELS]], rotation=30, ha="right"
        )
    finite = np.isfinite(x) & np.isfinite(y)
    # the same shift for the same row in every panel
    shift = 0.0 if numbers else JITTER * np.linspace(-1, 1, len(x))
    drawn = (x + shift)[finite]
    panel.scatter(
        drawn, y[finite], c=np.array(colours, dtype=object)[finite].tolist(), s=22, alpha=0.85, zorder=3
    )
    medians = [
        np.median(y[finite & (x == level)]) if (finite & (x == level)).any() else np.nan for level in levels
    ]
    panel.plot(
        levels,
        medians,
        linestyle="-" if numbers else "none",
        marker="_",
        markersize=18,
        color=style.INK,
        linewidth=1.6,
        label="_median",
    )
