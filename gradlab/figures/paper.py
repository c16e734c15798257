"""A figure made over for a page: as wide as a column of text or two, with letters that can be read at that width."""

import math
import textwrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text

from gradlab.figures import style

WIDTHS = {"single": 3.5, "double": 7.2}  # inches: one column of a journal, and two
LETTERS = 0.72  # of the sizes on a screen: the labels have 7.6 points, the title of a panel 8.6
LEAST_PANEL = 2.2  # inches, the least width of a panel: of more panels some stand below
ASPECT = 0.78  # height ÷ width of a panel; of one that fills two columns half of that
LEAST_HEIGHT, MOST_HEIGHT = 1.9, 3.0  # inches, of a row
LEGEND_FONTS = (7.6, 6.8, 6.0)


def fit(figure: Figure, width: str) -> None:
    """Make a figure `single` or `double` columns wide, in place: its panels in more rows, its letters smaller.

    Colour bars stay beside their panels. The legend is set anew.
    """
    inches = WIDTHS[width]
    panels = [
        axes
        for axes in figure.axes
        if axes.get_subplotspec() is not None and axes.get_label() != "<colorbar>"
    ]
    _scale(figure)
    rows = _arrange(figure, panels, inches)
    height = min(max(ASPECT * inches / max(map(len, rows)), LEAST_HEIGHT), MOST_HEIGHT)
    entries = _removed_legend(figure)
    lines = _wrap_titles(figure, panels, inches)
    figure.set_size_inches(inches, len(rows) * (height + 0.35) + 0.16 * lines + 0.35)
    for panel in panels:
        panel.set_title(
            style.wrapped(panel, panel.get_title("left").replace("\n", " ")),
            **style.TITLE | {"fontsize": 12 * LETTERS},
        )
        for label in (panel.xaxis.label, panel.yaxis.label):
            label.set_text(
                "\n".join(textwrap.wrap(label.get_text(), int(height * 72 / (10.5 * LETTERS * 0.5))))
            )
    style.draw_legend(figure, entries, fonts=LEGEND_FONTS)


def _scale(figure: Figure) -> None:
    """Make letters, lines and marks smaller."""
    for text in figure.findobj(Text):
        text.set_fontsize(float(text.get_fontsize()) * LETTERS)
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            size = axis.get_tick_params().get("labelsize", 10)
            axis.set_tick_params(labelsize=(size if isinstance(size, float | int) else 10) * LETTERS)
    for line in figure.findobj(Line2D):
        line.set_linewidth(line.get_linewidth() * LETTERS)
        line.set_markersize(line.get_markersize() * LETTERS)
    for lines in figure.findobj(LineCollection):
        lines.set_linewidth(float(np.mean(lines.get_linewidth())) * LETTERS)


def _arrange(figure: Figure, panels: list[Axes], inches: float) -> list[list[Axes]]:
    """Put the panels, in their order, into rows in which each is wide enough; returns the rows.

    Panels that stood in different rows do so again.
    """
    before: dict[int, list[Axes]] = {}
    for panel in panels:
        spec = panel.get_subplotspec()
        before.setdefault(spec.rowspan.start if spec else 0, []).append(panel)
    rows = [
        row for together in before.values() for row in _split(together, max(1, int(inches / LEAST_PANEL)))
    ]
    common = math.lcm(*map(len, rows))
    grid = GridSpec(len(rows), common, figure=figure)
    for i, row in enumerate(rows):
        span = common // len(row)
        for j, panel in enumerate(row):
            panel.set_subplotspec(grid[i, j * span : (j + 1) * span])
    return rows


def _split(panels: list[Axes], most: int) -> list[list[Axes]]:
    """Rows of at most so many panels, of nearly the same number: of four at most three make two and two."""
    count = -(-len(panels) // -(-len(panels) // most))
    return [panels[i : i + count] for i in range(0, len(panels), count)]


def _wrap_titles(figure: Figure, panels: list[Axes], inches: float) -> int:
    """Wrap the title of the figure to its new width; returns the number of its lines."""
    title = figure.get_suptitle()
    if not title:
        return 0
    lines = [textwrap.fill(line, int(inches * 72 / (11.5 * LETTERS * 0.58))) for line in title.splitlines()]
    figure.suptitle("\n".join(lines), fontsize=11.5 * LETTERS, color=style.INK)
    return len("\n".join(lines).splitlines())


def _removed_legend(figure: Figure) -> dict[str, Line2D | Patch]:
    """The entries of the figure's legend, which is taken away."""
    entries: dict[str, Line2D | Patch] = {}
    for legend in list(figure.legends):
        for handle, text in zip(legend.legend_handles, legend.get_texts(), strict=True):
            if isinstance(handle, Line2D | Patch):
                entries[text.get_text()] = handle
        legend.remove()
    return entries
