"""The y axis of positive amounts (a loss, a learning rate): linear from zero, or logarithmic for a wide range."""

import math

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from gradlab.figures import marks
from gradlab.figures.style import INK, power_text

MAX_LINEAR_RATIO = 25.0  # largest ÷ smallest amount from which on a linear axis hides the small ones


def amount_axis(axes: Axes, drawn: list[marks.Curve], legend: marks.Legend) -> None:
    """Choose the scale from the drawn curves; on a logarithmic one a zero becomes a mark at the edge.

    Below zero, where a surface may have its loss, the axis stays linear and shows everything.
    """
    if any((y < 0).any() for _, y in drawn):
        return
    limits = marks.finite_range([y[y > 0] for _, y in drawn])
    if limits is None:
        axes.set_ylim(0, 1)
        return
    low, high = limits
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
