"""How long the gradients were and what any threshold would have done to them."""

import math
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter

from gradlab.analysis.clip_advice import threshold_effects
from gradlab.figures import marks, style
from gradlab.figures.marks import Legend

NORM, SPIKE, CLIPPED, SCALE = style.COLOURS[2], style.COLOURS[1], style.COLOURS[0], style.COLOURS[3]
POINTS = 200  # of the curves against the threshold
LINES = {"advised threshold": "--", "this run's own threshold": ":"}
ROOM = 0.15  # decades beyond the least and the largest norm


def clip_advice(frame: pd.DataFrame, advice: dict[str, Any], title: str = "") -> Figure:
    """Left the norm against step, right share clipped and mean scale against threshold; dashed what is advised."""
    figure, (left, right) = style.panels(1, 2, (12, 4.6), title)
    legend = Legend()
    finite = frame[frame.log10_norm < np.inf]
    low, high = np.log10([advice["least"], advice["largest"]])
    _norms(left, frame, legend)
    _effects(right, finite, float(low), float(high), legend)
    levels = _levels(advice)
    for name, level in levels.items():
        look: dict[str, Any] = {"color": style.INK, "linewidth": 1.4, "linestyle": LINES[name]}
        left.axhline(level, **look)
        right.axvline(level, **look)
        legend.entries[name] = Line2D([], [], **look)
    shown = [low, high, *levels.values()]
    middle, half = (min(shown) + max(shown)) / 2, max(1.0, 0.6 * (max(shown) - min(shown)))
    style.powers(left, middle - half, middle + half)
    _thresholds(right, min(shown) - ROOM, max(shown) + ROOM)
    style.legend(figure, legend.entries)
    return figure


def _levels(advice: dict[str, Any]) -> dict[str, float]:
    """log10 of the advised threshold, and of the run's own where it has one."""
    found = dict(zip(LINES, (advice["advice"], advice["own"] or {"threshold": None}), strict=True))
    return {name: float(np.log10(one["threshold"])) for name, one in found.items() if one["threshold"]}


def _norms(panel: Axes, frame: pd.DataFrame, legend: Legend) -> None:
    style.head(panel, "How long the gradients were", "training step", "‖gradient‖ before the clip")
    curves = marks.curves(frame, "step", "log10_norm")
    marks.many(panel, curves, NORM, legend, width=0.9 if len(frame) > 150 else 2.0)
    seeds = len(curves)
    name = f"norm: median and range of {seeds} seeds" if seeds >= marks.SEEDS else "norm"
    legend.entries[name] = Line2D([], [], color=NORM, linewidth=2.5)
    spikes = frame[frame.spike & np.isfinite(frame.log10_norm)]
    if len(spikes):
        panel.plot(spikes.step, spikes.log10_norm, "o", color=SPIKE, markersize=4, label="_spikes")
        legend.entries["spike"] = Line2D([], [], marker="o", color=SPIKE, linestyle="", markersize=5)
    style.whole(panel, int(frame.step.min()), int(frame.step.max()))


def _effects(panel: Axes, finite: pd.DataFrame, low: float, high: float, legend: Legend) -> None:
    style.head(panel, "What a threshold would have done", "threshold", "share of the steps, mean scale")
    x = np.linspace(low - 0.5, high + 0.5, POINTS)
    drawn = threshold_effects(finite, (10.0**x).tolist())
    for column, colour, name in (
        ("clipped", CLIPPED, "share of the steps clipped"),
        ("scale", SCALE, "mean of min(1, threshold/norm)"),
    ):
        panel.plot(x, drawn[column], color=colour, linewidth=2.0)
        legend.entries[name] = Line2D([], [], color=colour, linewidth=2.5)
    panel.set_ylim(-0.03, 1.03)


def _thresholds(panel: Axes, low: float, high: float) -> None:
    """The x axis of log10 values in numbers that one would type: 0.2, 0.5, 1; in powers of ten where many."""
    steps = (1, 2, 5) if high - low < 2.5 else (1, 3) if high - low < 4 else (1,)
    each = math.ceil((high - low) / 9)
    ticks = [
        d + math.log10(k) for d in range(math.floor(low), math.ceil(high) + 1) if d % each == 0 for k in steps
    ]
    panel.set_xlim(low, high)
    panel.xaxis.set_major_locator(FixedLocator([tick for tick in ticks if low <= tick <= high]))
    plain = low > -4 and high < 5
    panel.xaxis.set_major_formatter(
        FuncFormatter(lambda x, at: f"{10**x:.3g}" if plain else style.power(x, at))
    )
