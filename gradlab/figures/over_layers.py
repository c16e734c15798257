"""Measured columns against layer, one panel each, at the first, the middle and the last step.

What figures of one question share: they say which columns stand in which panel and on what axis.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from gradlab.analysis.selection import defined_backward, is_measured, minibatch_rows, to_float64
from gradlab.figures import marks, scales, style
from gradlab.figures.marks import Curve, Legend
from gradlab.figures.profile import drawn_steps
from gradlab.store.read import Run

PANEL_WIDTH, HEIGHT = 4.6, 4.9  # inches


class Panel(NamedTuple):
    """A panel of one column against layer; `axis` is "log10", "fraction", "amount" (positive) or "plain"."""

    title: str
    ylabel: str
    axis: str


def over_layers(
    run: Run, panels: Mapping[str, Panel], title: str, ratios: Mapping[str, str] | None = None
) -> Figure:
    """A figure with a panel for each column that was measured, a line for each seed and drawn step.

    `panels` are by column of the table of layers. `ratios` names a column by which another is divided, row by row.
    Panels of log10 share a number of decades, as in the profile.
    """
    rows = defined_backward(_measured_rows(run, panels))
    for column, divisor in (ratios or {}).items():
        rows = rows.assign(**{column: _ratio(rows, column, divisor)})
    names = [column for column in panels if is_measured(rows[column]).any()]
    figure, axes = style.panels(1, len(names), (max(8, PANEL_WIDTH * len(names)), HEIGHT), title)
    any_measured = np.logical_or.reduce([is_measured(rows[column]) for column in names])
    steps, legend = drawn_steps(rows[any_measured]), Legend()
    curves = {
        column: [marks.curves(rows[(rows.step == step).to_numpy()], "layer", column) for step in steps]
        for column in names
    }
    layer_names = marks.layer_names(run.layers)
    for axis, column in zip(axes, names, strict=True):
        style.panel_labels(axis, panels[column].title, "", panels[column].ylabel)
        style.layer_axis(axis, layer_names, run.is_foreign)
        for colour, drawn in zip(style.step_colours(len(steps)), curves[column], strict=True):
            kept = drawn if panels[column].axis == "log10" else [marks.upward(curve) for curve in drawn]
            marks.seed_lines(axis, kept, colour, legend)
    _set_axes(dict(zip(names, axes, strict=True)), panels, curves, legend)
    marks.separate_edges(figure)
    style.draw_legend(figure, _entries(steps, int(rows.seed.nunique())) | legend.entries)
    return figure


def _measured_rows(run: Run, columns: Mapping[str, Panel]) -> pd.DataFrame:
    """The rows of minibatches, with null for a column that the run does not have; of the fixed batch if it has none."""
    absent = {
        column: pd.array([pd.NA] * len(run.layers), "Float64")
        for column in columns
        if column not in run.layers
    }
    layers = run.layers.assign(**absent)
    rows = minibatch_rows(layers)
    measured = any(is_measured(rows[column]).any() for column in columns)
    return rows if measured else layers


def _ratio(rows: pd.DataFrame, column: str, divisor: str) -> pd.Series:
    shares = to_float64(rows[column]) / to_float64(rows[divisor])
    return pd.Series(pd.array(shares, "Float64"), rows.index).where(is_measured(rows[column]))


def _set_axes(
    axes: Mapping[str, Axes],
    panels: Mapping[str, Panel],
    curves: Mapping[str, list[list[Curve]]],
    legend: Legend,
) -> None:
    """Set the y axes: of log10 the shared decades, of fractions 0 to 1, of amounts linear or logarithmic."""
    values = {column: [y for drawn in of for _, y in drawn] for column, of in curves.items()}
    logs = [column for column in axes if panels[column].axis == "log10"]
    limits = style.shared_limits([marks.finite_range(values[column]) for column in logs])
    for column, (low, high) in zip(logs, limits, strict=True):
        style.power_axis(axes[column], low, high)
    for column, axis in axes.items():
        if panels[column].axis == "fraction":
            style.fraction_axis(axis, values[column])
        elif panels[column].axis == "plain":
            style.plain_axis(axis, marks.finite_range(values[column]))
        else:
            scales.amount_axis(axis, [curve for drawn in curves[column] for curve in drawn], legend)


def _entries(steps: list[int], seeds: int) -> dict[str, Line2D | Patch]:
    colours = zip(steps, style.step_colours(len(steps)), strict=True)
    entries: dict[str, Line2D | Patch] = {
        f"step {step}": Line2D([], [], color=colour, linewidth=2.5) for step, colour in colours
    }
    if seeds >= marks.BAND_SEEDS:
        entries[f"median and range of {seeds} seeds"] = Patch(color=style.FAINT, alpha=0.3)
    return entries
