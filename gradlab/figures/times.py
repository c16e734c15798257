"""The backward signal of a recurrent network through time: how far back does the loss reach?"""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gradlab.analysis.selection import minibatch_rows, rows_with
from gradlab.figures import marks, style
from gradlab.figures.heatmap import cells
from gradlab.figures.marks import Legend
from gradlab.figures.profile import drawn_steps

DASHES: tuple[Any, ...] = ("-", "--", ":", "-.")  # of layers that are drawn together
COLUMNS = {
    "log10_backward": "‖∂loss/∂h‖ of the hidden state",
    "log10_backward_c": "‖∂loss/∂c‖ of the cell state",
}


def times(frame: pd.DataFrame, title: str = "") -> Figure:
    """Norm against time lag at the first, middle and last step; beside it time × step, of the last layer and seed 0.

    `frame` is a run's `times`. Falling to the right is vanishing, rising is exploding. A network with a cell state
    has a panel of its own for it; of many layers the first and the last are drawn.
    """
    rows = minibatch_rows(frame)
    there = [column for column in COLUMNS if len(rows_with(rows, column))]
    figure, panels = style.panels(1, len(there) + 1, (6 * len(there) + 6.5, 4.9), title)
    legend, steps = Legend(), drawn_steps(rows)
    layers = _layers(rows)
    ranges = []
    for panel, column in zip(panels, there, strict=False):
        style.panel_labels(panel, "Backward through time →", "time lag, T − t", COLUMNS[column])
        ranges.append(marks.finite_range(_lines(panel, rows, column, steps, layers, legend)))
    for panel, limits in zip(panels, style.shared_limits(ranges), strict=False):
        style.power_axis(panel, *limits)
        style.count_axis(panel, 0, int(rows.time.max()) - 1)
    entries = _entries(steps, layers, rows) | legend.entries
    entries |= _map(figure, panels[-1], rows)
    style.draw_legend(figure, entries)
    return figure


def _layers(rows: pd.DataFrame) -> dict[int, str]:
    """Up to four layers, else the first and the last, with their names."""
    names = dict(zip(rows.layer.tolist(), rows.name.astype(str).tolist(), strict=True))
    found = sorted(names)
    return {layer: names[layer] for layer in (found if len(found) <= len(DASHES) else (found[0], found[-1]))}


def _lines(
    panel: Axes, rows: pd.DataFrame, column: str, steps: list[int], layers: dict[int, str], legend: Legend
) -> list[np.ndarray]:
    """A colour a step, dashes a layer; the drawn values."""
    drawn = []
    for step, colour in zip(steps, style.step_colours(len(steps)), strict=True):
        for layer, dash in zip(layers, DASHES, strict=False):
            own = rows[((rows.step == step) & (rows.layer == layer)).to_numpy()]
            lagged = own.assign(lag=own.groupby("seed").time.transform("max") - own.time)
            curves = marks.curves(lagged, "lag", column)
            marks.seed_lines(panel, curves, colour, legend, dash, width=1.6)
            drawn += [y for _, y in curves]
    return drawn


def _map(figure: Figure, panel: Axes, rows: pd.DataFrame) -> dict:
    """Time × step of the last layer, decades relative to the last time step."""
    seed, layer, last = rows.seed.min(), rows.layer.max(), int(rows.time.max())
    own = rows[((rows.seed == seed) & (rows.layer == layer)).to_numpy()]
    shown = f"{own.name.iloc[0]}: hidden state, relative to time {last}"
    style.panel_labels(panel, shown, "training step", "time")
    return cells(figure, panel, rows_with(own, "log10_backward").assign(layer=own.time), last)


def _entries(steps: list[int], layers: dict[int, str], rows: pd.DataFrame) -> dict[str, Line2D]:
    colours = zip(steps, style.step_colours(len(steps)), strict=True)
    entries = {f"step {step}": Line2D([], [], color=colour, linewidth=2.5) for step, colour in colours}
    if rows.layer.nunique() > 1:
        for name, dash in zip(layers.values(), DASHES, strict=False):
            entries[name] = Line2D([], [], color=style.INK, linestyle=dash, linewidth=1.5)
    return entries
