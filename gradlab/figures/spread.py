"""Many curves of one group: their median in a band that holds most of them, and the single ones faint behind it."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.typing import LineStyleType

from gradlab.figures import marks
from gradlab.figures.marks import Curve, Legend

BAND = (0.1, 0.9)  # quantiles
FAINT_LINES = 300  # single curves in a panel, of all groups
FEW_GROUPS = 4  # of more the bands cover each other
MOST_POINTS = 600  # of a curve: more than a panel has pixels
MEANING = "median, and 10 % to 90 % of the runs; single runs faint"


def run_spread(
    axes: Axes, curves: list[Curve], colour: Any, legend: Legend, dashes: LineStyleType = "-", groups: int = 1
) -> None:
    """Draw the curves of one of N groups. Non-finite values are marked and left out of median and band."""
    x, table = on_common_x(curves)
    shown = np.unique(np.linspace(0, len(x) - 1, min(len(x), MOST_POINTS)).round().astype(int))
    x, table = x[shown], table[:, shown]
    singles = np.linspace(0, len(table) - 1, min(len(table), max(FAINT_LINES // groups, 1)))
    lines = [np.column_stack([x, table[row]]) for row in np.unique(singles.round().astype(int))]
    faintness = 1.0 if groups <= FEW_GROUPS else 0.5
    faint = LineCollection(lines, colors=[colour], alpha=0.25 * faintness, linewidths=0.6, label="_singles")
    axes.add_collection(faint, autolim=False)
    some = np.isfinite(table).any(axis=0)
    x, table = x[some], table[:, some]
    if x.size:
        low, middle, high = np.nanquantile(table, [BAND[0], 0.5, BAND[1]], axis=0)
        axes.fill_between(x, low, high, color=colour, alpha=0.18 * faintness, linewidth=0)
        marks.line(axes, x, middle, colour, legend, 2.4, dashes)
    for kind in marks.nonfinite_kinds(x):
        marked = np.unique(np.concatenate([at[marks.nonfinite_kinds(y)[kind]] for at, y in curves]))
        if marked.size:
            marks.edge_marks(axes, marked, kind, colour, legend)


def on_common_x(curves: list[Curve]) -> tuple[np.ndarray, np.ndarray]:
    """All x of the curves, (points,), and each curve there, (curves, points), linear between its own points.

    NaN beyond the ends of a curve and beside its values that are not finite.
    """
    xs = np.unique(np.concatenate([x for x, _ in curves]))
    table = np.empty((len(curves), len(xs)))
    for row, (x, y) in zip(table, curves, strict=True):
        finite = np.where(np.isfinite(y), y, np.nan)
        row[:] = finite if np.array_equal(x, xs) else np.interp(xs, x, finite, left=np.nan, right=np.nan)
    return xs, table
