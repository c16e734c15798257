"""The backward signal of a recurrent network through time: how far back a loss changes the hidden state."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from gradlab.analysis.selection import minibatch_rows, rows_with
from gradlab.figures import marks, style
from gradlab.figures.heatmap import draw_cells
from gradlab.figures.marks import Legend
from gradlab.figures.profile import drawn_steps
from gradlab.store.read import Run

RUN_TABLES = ("times",)
LEAST = {"time": 2}
COLUMNS = ("log10_backward", "log10_backward_c")
DASHES: tuple[Any, ...] = ("-", "--", ":", "-.")  # one per layer
PANELS = {
    "log10_backward": "‖∂loss/∂h‖ of the hidden state",
    "log10_backward_c": "‖∂loss/∂c‖ of the cell state",
}


def run_figure(run: Run, title: str) -> Figure:
    """The backward signal through time of a stored run of a recurrent network."""
    return times(run.times, title)


def times(table: pd.DataFrame, title: str = "") -> Figure:
    """The norm against time lag at the first, middle and last step; beside it time step × training step.

    `table` is the table `times` of one run. Falling to the right is vanishing, rising is exploding. A cell state has
    its own panel. Of more than four layers the first and the last are drawn; the last panel shows the last layer and
    the first seed.
    """
    rows = minibatch_rows(table)
    columns = [column for column in PANELS if len(rows_with(rows, column))]
    figure, panels = style.panels(1, len(columns) + 1, (6 * len(columns) + 6.5, 4.9), title)
    legend, steps = Legend(), drawn_steps(rows)
    layers = _drawn_layers(rows)
    ranges = []
    for panel, column in zip(panels, columns, strict=False):
        style.panel_labels(panel, "Backward signal through time →", "time lag, T − t", PANELS[column])
        ranges.append(marks.finite_range(_draw_lines(panel, rows, column, steps, layers, legend)))
    for panel, limits in zip(panels, style.shared_limits(ranges), strict=False):
        style.power_axis(panel, *limits)
        style.count_axis(panel, 0, int(rows.time.max()) - 1)
    marks.separate_edges(figure)
    entries = _entries(steps, layers, rows) | legend.entries
    entries |= _draw_map(figure, panels[-1], rows)
    style.draw_legend(figure, entries)
    return figure


def _drawn_layers(rows: pd.DataFrame) -> dict[int, str]:
    """The layers and their names, in order; of more than four the first and the last."""
    names = dict(zip(rows.layer.tolist(), rows.name.astype(str).tolist(), strict=True))
    layers = sorted(names)
    drawn = layers if len(layers) <= len(DASHES) else [layers[0], layers[-1]]
    return {layer: names[layer] for layer in drawn}


def _draw_lines(
    panel: Axes, rows: pd.DataFrame, column: str, steps: list[int], layers: dict[int, str], legend: Legend
) -> list[np.ndarray]:
    """Draw one colour per step and one dash pattern per layer; returns the values, of shape (times,) per seed."""
    drawn = []
    for step, colour in zip(steps, style.step_colours(len(steps)), strict=True):
        for layer, dash in zip(layers, DASHES, strict=False):
            signal = rows[((rows.step == step) & (rows.layer == layer)).to_numpy()]
            lagged = signal.assign(lag=signal.groupby("seed").time.transform("max") - signal.time)
            curves = marks.curves(lagged, "lag", column)
            marks.seed_lines(panel, curves, colour, legend, dash, width=1.6)
            drawn += [y for _, y in curves]
    return drawn


def _draw_map(figure: Figure, panel: Axes, rows: pd.DataFrame) -> dict[str, Line2D | Patch]:
    """Draw time step × training step of the last layer, in decades relative to the last time step."""
    seed, layer, last = rows.seed.min(), rows.layer.max(), int(rows.time.max())
    signal = rows[((rows.seed == seed) & (rows.layer == layer)).to_numpy()]
    heading = f"{signal.name.iloc[0]}: hidden state, relative to time step {last}"
    style.panel_labels(panel, heading, "training step", "time step")
    # cells are drawn against `layer`: here the time steps take its place
    return draw_cells(figure, panel, rows_with(signal, "log10_backward").assign(layer=signal.time), last)


def _entries(steps: list[int], layers: dict[int, str], rows: pd.DataFrame) -> dict[str, Line2D | Patch]:
    colours = zip(steps, style.step_colours(len(steps)), strict=True)
    entries: dict[str, Line2D | Patch] = {
        f"step {step}": Line2D([], [], color=colour, linewidth=2.5) for step, colour in colours
    }
    if rows.layer.nunique() > 1:
        for name, dash in zip(layers.values(), DASHES, strict=False):
            entries[name] = Line2D([], [], color=style.INK, linestyle=dash, linewidth=1.5)
    return entries
