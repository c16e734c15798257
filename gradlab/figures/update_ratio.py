"""How large the update of each layer is beside its weights, over the layers and over training."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gradlab.analysis.selection import minibatch_rows, rows_with
from gradlab.figures import marks, style
from gradlab.figures.marks import Legend
from gradlab.figures.profile import drawn_steps
from gradlab.store.read import Run

RUN_TABLES = ("layers",)
BY_DEFAULT = False
PROBE = "update_ratio"
MEASURES = ("log10_update_ratio",)
USUAL = -3.0  # log10 of the ratio at which networks usually train
MOST_LAYERS = 6  # in the panel over training, evenly spread


def run_figure(run: Run, title: str) -> Figure:
    """‖ΔW‖/‖W‖ of each layer at the first, middle and last measured step, and of some layers over the steps.

    A line is one seed, or from five on their median in a band. The dashed line is the usual 10⁻³.
    """
    rows, legend = minibatch_rows(rows_with(run.layers, MEASURES[0])), Legend()
    figure, (by_depth, by_step) = style.panels(1, 2, (13, 4.9), title, sharey=True)
    last = int(run.layers.layer.max())
    style.panel_labels(by_depth, "Update beside weights", style.layer_label(last), "‖ΔW‖/‖W‖ of the kernels")
    style.panel_labels(by_step, "The same over training", "training step", "")
    legend.entries["usual: 10⁻³"] = Line2D([], [], color=style.FAINT, linestyle="--")
    _draw(by_depth, rows, "layer", {f"step {step}": rows.step == step for step in drawn_steps(rows)}, legend)
    _draw(by_step, rows, "step", {f"layer {n}": rows.layer == n for n in _some_layers(rows)}, legend)
    limits = marks.finite_range([rows[MEASURES[0]].to_numpy(dtype=float), np.array([USUAL])])
    style.power_axis(by_depth, *style.shared_limits([limits])[0])
    style.count_axis(by_depth, 0, last)
    style.count_axis(by_step, rows.step.min(), rows.step.max())
    style.draw_legend(figure, legend.entries)
    return figure


def _some_layers(rows: pd.DataFrame) -> list[int]:
    layers = np.unique(rows.layer)
    places = np.unique(np.linspace(0, len(layers) - 1, MOST_LAYERS).round().astype(int))
    return [int(layer) for layer in layers[places]]


def _draw(panel: Axes, rows: pd.DataFrame, x: str, lines: dict[str, pd.Series], legend: Legend) -> None:
    """Draw the rows of each line against x, and the usual ratio."""
    by_step = x == "layer"
    colours = style.step_colours(len(lines)) if by_step else style.group_colours(len(lines), ordered=True)
    panel.axhline(USUAL, color=style.FAINT, linestyle="--", linewidth=1.1, zorder=1)
    for (label, where), colour in zip(lines.items(), colours, strict=True):
        curves = marks.curves(rows[where.to_numpy()], x, MEASURES[0])
        marks.seed_lines(panel, curves, colour, legend, width=1.6)
        legend.entries[label] = Line2D([], [], color=colour, linewidth=2.5)
