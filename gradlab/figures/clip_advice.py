"""The gradient norms of a run, and what any threshold would have done to them."""

import math
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter

from gradlab.analysis.clip_advice import advise, recorded_norms, threshold_effects
from gradlab.analysis.results import ClipAdvice
from gradlab.figures import marks, style
from gradlab.figures.marks import Legend
from gradlab.store.read import Run

RUN_TABLES = ("steps",)
COLUMNS = ("log10_unclipped", "log10_clipped", "clipped")
BY_DEFAULT = False  # it answers a question of its own: `gradlab suggest-clip`
NORM, SPIKE, CLIPPED, SCALE = style.COLOURS[2], style.COLOURS[1], style.COLOURS[0], style.COLOURS[3]
POINTS = 200  # of the curves against the threshold
THRESHOLD_DASHES = {"recommended threshold": "--", "threshold of this run": ":"}
MARGIN = 0.15  # decades beyond the smallest and the largest norm


def run_figure(run: Run, title: str) -> Figure:
    """The recorded norms of a stored run and the recommended threshold."""
    return clip_advice(recorded_norms(run), advise(run), title)


def clip_advice(norms: pd.DataFrame, advice: ClipAdvice, title: str = "") -> Figure:
    """Left, the norm against step; right, fraction of steps clipped and mean scale against threshold.

    `norms` and `advice` are what `recorded_norms` and `advise` of `gradlab.analysis.clip_advice` return for a run.
    The dashed line is the recommended threshold, the dotted one that of the run.
    """
    figure, (left, right) = style.panels(1, 2, (12, 4.6), title)
    legend = Legend()
    finite = norms[norms.log10_norm < np.inf]
    low, high = np.log10([advice.least, advice.largest])
    _draw_norms(left, norms, legend)
    _draw_effects(right, finite, float(low), float(high), legend)
    levels = _threshold_levels(advice)
    for name, level in levels.items():
        look: dict[str, Any] = {"color": style.INK, "linewidth": 1.4, "linestyle": THRESHOLD_DASHES[name]}
        left.axhline(level, **look)
        right.axvline(level, **look)
        legend.entries[name] = Line2D([], [], **look)
    shown = [low, high, *levels.values()]
    middle, half = (min(shown) + max(shown)) / 2, max(1.0, 0.6 * (max(shown) - min(shown)))
    style.power_axis(left, middle - half, middle + half)
    _threshold_axis(right, min(shown) - MARGIN, max(shown) + MARGIN)
    style.draw_legend(figure, legend.entries)
    return figure


def _threshold_levels(advice: ClipAdvice) -> dict[str, float]:
    """log10 of the recommended threshold and of the run's, those of the two that exist."""
    thresholds = (advice.advice.threshold, advice.own.threshold if advice.own else None)
    named = zip(THRESHOLD_DASHES, thresholds, strict=True)
    return {name: float(np.log10(threshold)) for name, threshold in named if threshold}


def _draw_norms(panel: Axes, norms: pd.DataFrame, legend: Legend) -> None:
    style.panel_labels(panel, "Gradient norm", "training step", "‖gradient‖ before clipping")
    curves = marks.curves(norms, "step", "log10_norm")
    marks.seed_lines(panel, curves, NORM, legend, width=marks.line_width(len(norms)))
    seeds = len(curves)
    name = f"norm: median and range of {seeds} seeds" if seeds >= marks.BAND_SEEDS else "norm"
    legend.entries[name] = Line2D([], [], color=NORM, linewidth=2.5)
    spikes = norms[norms.spike & np.isfinite(norms.log10_norm)]
    if len(spikes):
        panel.plot(spikes.step, spikes.log10_norm, "o", color=SPIKE, markersize=4, label="_spikes")
        legend.entries["spike"] = Line2D([], [], marker="o", color=SPIKE, linestyle="", markersize=5)
    style.count_axis(panel, int(norms.step.min()), int(norms.step.max()))


def _draw_effects(panel: Axes, finite: pd.DataFrame, low: float, high: float, legend: Legend) -> None:
    style.panel_labels(
        panel, "Effect of a threshold on this run", "threshold", "fraction of steps; mean scale"
    )
    x = np.linspace(low - 0.5, high + 0.5, POINTS)
    effects = threshold_effects(finite, (10.0**x).tolist())
    for column, colour, name in (
        ("clipped", CLIPPED, "fraction of steps clipped"),
        ("scale", SCALE, "mean scale: min(1, threshold/norm)"),
    ):
        panel.plot(x, effects[column], color=colour, linewidth=2.0)
        legend.entries[name] = Line2D([], [], color=colour, linewidth=2.5)
    panel.set_ylim(-0.03, 1.03)


def _threshold_axis(panel: Axes, low: float, high: float) -> None:
    """The x axis of log10 values, labelled with round numbers (0.2, 0.5, 1), or powers of ten for a wide range."""
    digits = (1, 2, 5) if high - low < 2.5 else (1, 3) if high - low < 4 else (1,)
    decades = math.ceil((high - low) / 9)  # from one labelled decade to the next
    ticks = [
        exponent + math.log10(digit)
        for exponent in range(math.floor(low), math.ceil(high) + 1)
        if exponent % decades == 0
        for digit in digits
    ]
    panel.set_xlim(low, high)
    panel.xaxis.set_major_locator(FixedLocator([tick for tick in ticks if low <= tick <= high]))
    in_digits = low > -4 and high < 5
    panel.xaxis.set_major_formatter(
        FuncFormatter(lambda x, position: f"{10**x:.3g}" if in_digits else style.power_text(x, position))
    )
