"""How smoothly gradients vary from input to input: their autocorrelation along a line, for layers of several depths."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from gradlab.analysis.selection import rows_with, to_float64
from gradlab.figures import marks, style
from gradlab.figures.marks import Legend
from gradlab.figures.profile import drawn_steps
from gradlab.store.read import Run

RUN_TABLES = ("vectors",)
BY_DEFAULT = False
PROBE = "shattering"
MEASURES = ("gradient_autocorrelation",)
MOST_LAYERS = 5


def run_figure(run: Run, title: str) -> Figure:
    """Left, autocorrelation against lag at the first step measured, of some layers; right, that at lag 1 against layer.

    The grey band holds 95 % of the values of white noise; brown noise, the other extreme, falls slowly from 1.
    """
    rows = run.vectors[(run.vectors.measure == "gradient_autocorrelation").to_numpy()]
    points = int(run.recipe["snapshots"]["shattering"]["points"])
    figure, panels = style.panels(1, 2, (12, 4.9), title)
    legend = Legend()
    first = rows[(rows.step == rows.step.min()).to_numpy()]
    _draw_lags(panels[0], first, points, legend)
    _draw_layers(panels[1], run, points, legend)
    style.draw_legend(figure, legend.entries)
    return figure


def _draw_lags(panel: Axes, rows: pd.DataFrame, points: int, legend: Legend) -> None:
    step = int(rows.step.min())
    style.panel_labels(panel, f"Against lag, step {step}", "lag (points on the line)", "autocorrelation")
    layers = np.unique(rows.layer)
    some = layers[np.unique(np.linspace(0, len(layers) - 1, MOST_LAYERS).round().astype(int))]
    for colour, layer in zip(style.group_colours(len(some), ordered=True), some, strict=True):
        marks.seed_lines(
            panel, marks.curves(rows[(rows.layer == layer).to_numpy()], "index", "value"), colour, legend
        )
        legend.entries[f"layer {layer}"] = Line2D([], [], color=colour, linewidth=2.5)
    _white_noise(panel, points, legend)
    lags = np.arange(int(rows["index"].max()) + 1)
    panel.plot(lags, _brown(points)[: len(lags)], ":", color=style.INK, linewidth=1.4, label="_brown")
    legend.entries["brown noise"] = Line2D([], [], color=style.INK, linestyle=":")
    style.count_axis(panel, 0, int(lags.max()))
    panel.set_ylim(-0.55, 1.05)


def _draw_layers(panel: Axes, run: Run, points: int, legend: Legend) -> None:
    rows = rows_with(run.layers, "gradient_autocorrelation_1")
    style.panel_labels(panel, "At lag 1", style.layer_label(int(run.layers.layer.max())), "autocorrelation")
    steps = drawn_steps(rows)
    for colour, step in zip(style.step_colours(len(steps)), steps, strict=True):
        at = rows[(rows.step == step).to_numpy()]
        marks.seed_lines(panel, marks.curves(at, "layer", "gradient_autocorrelation_1"), colour, legend)
        legend.entries[f"step {step}"] = Line2D([], [], color=colour, linewidth=2.5)
    _white_noise(panel, points, legend)
    style.count_axis(panel, int(rows.layer.min()), int(rows.layer.max()))
    values = to_float64(rows.gradient_autocorrelation_1)
    panel.set_ylim(min(-0.3, float(np.nanmin(values)) - 0.05), 1.05)


def _white_noise(panel: Axes, points: int, legend: Legend) -> None:
    half = 1.96 / points**0.5
    panel.axhspan(-half, half, color=style.FAINT, alpha=0.25, linewidth=0)
    legend.entries["95 % of white noise"] = Patch(color=style.FAINT, alpha=0.25)


def _brown(points: int) -> np.ndarray:
    """The expected autocorrelation of a random walk of this many points, (points,), as the mean of many walks."""
    walks = np.random.default_rng(0).normal(size=(2000, points)).cumsum(1)
    centred = walks - walks.mean(1, keepdims=True)
    variance = (centred**2).sum(1)
    return np.array(
        [((centred[:, : points - k] * centred[:, k:]).sum(1) / variance).mean() for k in range(points // 2)]
    )
