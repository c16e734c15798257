"""Depth, gain and score of a study in one picture: how deep a network still learns, and with which gain."""

import numpy as np
import pandas as pd
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter

from gradlab.analysis.score import Score
from gradlab.figures import style
from gradlab.recipe.errors import RecipeError

LEAST_LIMIT = 0.05  # of |log10 gain| at the ends of the colours: less would make noise look like a result
SPREAD = 0.25  # layers between runs of the same depth, so that they do not hide each other


def depths(outcomes: pd.DataFrame, score: Score, title: str = "") -> Figure:
    """The score against depth; the colour is the gain per layer at the start: blue vanishing, red exploding.

    `outcomes` has a row per run and seed with `depth`, `gain` (log10) and `score`. A run without a finite gain is a
    cross. The dotted line is chance level.

    Raises:
        RecipeError: the runs do not differ in depth, or none has a finite score.
    """
    depth, values = outcomes.depth.to_numpy(dtype=float), outcomes.score.to_numpy(dtype=float)
    gain = outcomes.gain.to_numpy(dtype=float)
    scored = np.isfinite(values)
    if len(np.unique(depth[scored])) < 2:
        raise RecipeError("this picture is of depth: give runs of at least two depths that have a score")
    figure, (panel,) = style.panels(1, 1, (8.5, 5.4), title)
    x = depth + SPREAD * np.linspace(-1, 1, len(depth))
    finite = scored & np.isfinite(gain)
    entries: dict[str, Line2D | Patch] = {}
    if finite.any():
        limit = max(float(np.abs(gain[finite]).max()), LEAST_LIMIT)
        norm = TwoSlopeNorm(0.0, -limit, limit)
        points = panel.scatter(
            x[finite],
            values[finite],
            c=gain[finite],
            cmap="RdBu_r",
            norm=norm,
            s=48,
            edgecolors=style.INK,
            linewidths=0.6,
        )
        bar = figure.colorbar(
            points, ax=panel, pad=0.015, aspect=28, format=FuncFormatter(lambda y, _: f"{10**y:.3g}")
        )
        bar.set_label("gain per layer at the start", fontsize=10.5, color=style.INK)
        bar.outline.set_visible(False)
    if (lost := scored & ~np.isfinite(gain)).any():
        panel.plot(x[lost], values[lost], "x", color=style.INK, label="_lost")
        entries["no finite gain"] = Line2D([], [], marker="x", color=style.INK, linestyle="")
    if score.chance_level is not None:
        panel.axhline(score.chance_level, color=style.INK, linewidth=1.3, linestyle=":", label="_chance")
        entries["chance level"] = Line2D([], [], color=style.INK, linewidth=1.3, linestyle=":")
    style.panel_labels(panel, f"Test {score.label} against depth", "depth", score.axis_label)
    style.count_axis(panel, float(depth.min()) - SPREAD, float(depth.max()) + SPREAD)
    if score.is_fraction:
        style.fraction_axis(panel, [values])
    style.draw_legend(figure, entries)
    return figure
