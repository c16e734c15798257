"""Cost against score: which runs no other run beats on both, in seconds and in floating-point operations."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from gradlab.analysis.score import Score
from gradlab.figures import style
from gradlab.figures.groups import group_styles, value_text
from gradlab.recipe.errors import RecipeError

COSTS = {  # by column: title, label of the axis
    "seconds": ("Score against time", "seconds, without compiling"),
    "flops": ("Score against operations", "floating-point operations of the training"),
}


def pareto(results: pd.DataFrame, by: str, score: Score, title: str = "") -> Figure:
    """A panel for each cost that is known, a point per run, coloured by `by`, and the front as a line.

    `results` has a row per run with `seconds`, `flops` and `score`, NaN where not known.

    Raises:
        RecipeError: no run has a finite score and a cost.
    """
    known = [cost for cost in COSTS if _finite(results, cost).any()]
    if not known:
        raise RecipeError("no run has a finite score and a known cost; a Pareto front needs them")
    figure, axes = style.panels(1, len(known), (max(8, 6.3 * len(known)), 4.9), title)
    looks = group_styles(results[by])
    higher_is_better = score.is_fraction or score.name == "R²"
    for panel, cost in zip(axes, known, strict=True):
        rows = results[_finite(results, cost)]
        x, y = rows[cost].to_numpy(dtype=float), rows.score.to_numpy(dtype=float)
        colours = [looks[None if value is None or value != value else value].colour for value in rows[by]]
        panel.scatter(x, y, c=colours, s=34, zorder=3)
        _draw_front(panel, x, y, higher_is_better)
        if x.min() > 0 and x.max() / x.min() > 5:
            panel.set_xscale("log")
        heading, xlabel = COSTS[cost]
        style.panel_labels(panel, heading, xlabel, f"test {score.axis_label}")
        if score.is_fraction:
            style.fraction_axis(panel, [y])
    entries: dict[str, Line2D | Patch] = {
        f"{by} {value_text(value)}": Line2D([], [], marker="o", color=look.colour, linestyle="")
        for value, look in looks.items()
    }
    front = {"not beaten in both (Pareto front)": Line2D([], [], color=style.INK, linewidth=1.6)}
    style.draw_legend(figure, entries, marks=front)
    return figure


def front(
    cost: NDArray[np.float64], score: NDArray[np.float64], higher_is_better: bool = True
) -> NDArray[np.int64]:
    """The indices of the runs that no other beats, by rising cost: of those that cost no more, none scores better.

    Both have the shape (runs,) and are finite; of runs of the same cost and score the first is taken.
    """
    sign = 1.0 if higher_is_better else -1.0
    order = np.lexsort([-sign * score, cost])
    best = np.maximum.accumulate(sign * score[order])
    is_new = np.r_[True, best[1:] > best[:-1]]
    return order[is_new]


def _draw_front(panel: Axes, x: NDArray[np.float64], y: NDArray[np.float64], higher_is_better: bool) -> None:
    indices = front(x, y, higher_is_better)
    right = np.r_[x[indices], x.max()]
    height = np.r_[y[indices], y[indices][-1]]
    panel.step(right, height, where="post", color=style.INK, linewidth=1.6, label="_front")


def _finite(results: pd.DataFrame, cost: str) -> NDArray[np.bool_]:
    both = results[[cost, "score"]].to_numpy(dtype=float, na_value=np.nan)
    flags: NDArray[np.bool_] = np.isfinite(both).all(axis=1)
    return flags
