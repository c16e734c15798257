"""The y axis of positive amounts (a loss, a learning rate): linear from zero, or logarithmic for a wide range."""

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from gradlab.figures import marks
from gradlab.figures.style import INK, power_text

MOST_GROWTH = 1e4  # of an amount over the largest at its start: what is higher is marked at the edge
MAX_LINEAR_RATIO = 25.0  # largest ÷ smallest amount from which on a linear axis hides the small ones


def amount_axis(axes: Axes, drawn: list[marks.Curve], legend: marks.Legend) -> None:
    """Choose the scale from the drawn curves; on a logarithmic one a zero becomes a mark at the edge.

    Amounts far above those at the start become marks at the edge too: a loss of 1e36 flattens all others. Below zero,
    where a surface may have its loss, the axis stays linear and shows everything.
    """
    if any((y < 0).any() for _, y in drawn):
        return
    top = _top(drawn)
    limits = marks.finite_range([y[(y > 0) & (y <= top)] for _, y in drawn])
    if limits is None:
        axes.set_ylim(0, 1)
        return
    low, high = limits
    for x, y in drawn:
        if (above := np.isfinite(y) & (y > top)).any():
            marks.edge_marks(axes, x[above], "above", INK, legend)
    if high / low < MAX_LINEAR_RATIO:
        axes.set_ylim(0, 1.12 * high)
        return
    axes.set_yscale("log", nonpositive="mask")
    for x, y in drawn:
        if (y == 0).any():
            marks.edge_marks(axes, x[y == 0], "zero", INK, legend)
    axes.set_ylim(low / 1.4, high * 1.4)
    in_digits = high / low < 1e4
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 200 else (1,), numticks=8))
    axes.yaxis.set_major_formatter(
        FuncFormatter(lambda y, _: f"{y:g}" if in_digits else power_text(math.log10(y)))
    )
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_formatter(NullFormatter())


def _top(drawn: list[marks.Curve]) -> float:
    """The largest amount that the axis shows."""
    first = np.array([y[0] for _, y in drawn if len(y)])
    first = first[np.isfinite(first) & (first > 0)]
    return MOST_GROWTH * float(first.max()) if first.size else np.inf
