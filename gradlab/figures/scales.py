"""The y axis of amounts (a loss, a rate): from zero where that shows all, else in powers of ten."""

import math

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from gradlab.figures import marks
from gradlab.figures.style import INK, power_text

WIDE = 25.0  # largest ÷ smallest from which on a linear axis hides the small


def amount_axis(axes: Axes, drawn: list[marks.Curve], legend: marks.Legend) -> None:
    """Choose the scale from what was drawn; on a logarithmic one a zero becomes a mark at the edge."""
    found = marks.finite_range([y[y > 0] for _, y in drawn])
    if found is None:
        axes.set_ylim(0, 1)
        return
    low, high = found
    if high / low < WIDE:
        axes.set_ylim(0, 1.12 * high)
        return
    axes.set_yscale("log", nonpositive="mask")
    for x, y in drawn:
        if (y == 0).any():
            marks.edge_marks(axes, x[y == 0], "zero", INK, legend)
    axes.set_ylim(low / 1.4, high * 1.4)
    few = high / low < 1e4
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 200 else (1,), numticks=8))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}" if few else power_text(math.log10(y))))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_formatter(NullFormatter())
