"""Each layer's attention over training: the largest logit, how even the weights are, and what the first token has."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gradlab.analysis.selection import to_float64
from gradlab.figures import marks, style
from gradlab.figures.marks import Legend
from gradlab.figures.profile import drawn_steps
from gradlab.store.read import Run

RUN_TABLES = ("notes",)
PROBE = "attention"
MEASURES = ("attention_largest_logit_head1",)
PANELS = {
    "attention_largest_logit": ("Largest logit", "max |q·k|/√d"),
    "attention_head_entropy": ("Entropy of the weights", "mean entropy (nats)"),
    "attention_first_share": ("Share of the first token", "mean weight"),
}


def run_figure(run: Run, title: str) -> Figure:
    """Above, each measure against layer at the first, middle and last step; below, each layer's mean over the steps.

    Above a dot is one head of the first seed, and the line is the mean over the heads; below it is that of all seeds.
    """
    notes = run.notes.assign(measure=run.notes.measure.astype(str))
    figure, panels = style.panels(2, len(PANELS), (14, 8.4), title)
    legend = Legend()
    for column, (measure, (heading, ylabel)) in enumerate(PANELS.items()):
        rows = notes[notes.measure.str.startswith(f"{measure}_head").to_numpy()]
        rows = rows.assign(
            value=to_float64(rows.value), head=rows.measure.str.rpartition("_head")[2].astype(int)
        )
        above, below = panels[column], panels[column + len(PANELS)]
        style.panel_labels(above, heading, "layer", ylabel)
        style.panel_labels(below, heading, "training step", ylabel)
        _over_layers(above, rows[(rows.seed == rows.seed.min()).to_numpy()], legend)
        _over_steps(below, rows, legend)
        for panel in (above, below):
            _limits(panel, measure, rows.value.to_numpy())
    style.draw_legend(figure, legend.entries)
    return figure


def _over_layers(panel: Axes, rows: pd.DataFrame, legend: Legend) -> None:
    steps = drawn_steps(rows)
    for colour, step in zip(style.step_colours(len(steps)), steps, strict=True):
        at = rows[(rows.step == step).to_numpy()]
        panel.plot(at.layer, at.value, "o", color=colour, markersize=3.5, alpha=0.55, label="_heads")
        means = at.groupby("layer").value.mean()
        marks.line(panel, means.index.to_numpy(float), means.to_numpy(float), colour, legend)
        legend.entries[f"step {step}"] = Line2D([], [], color=colour, linewidth=2.5)
    legend.entries["one head"] = Line2D([], [], color=style.INK, marker="o", markersize=3.5, linestyle="")
    style.count_axis(panel, int(rows.layer.min()), int(rows.layer.max()))


def _over_steps(panel: Axes, rows: pd.DataFrame, legend: Legend) -> None:
    layers = np.unique(rows.layer)
    for colour, layer in zip(style.group_colours(len(layers), ordered=True), layers, strict=True):
        means = rows[(rows.layer == layer).to_numpy()].groupby(["seed", "step"]).value.mean()
        curves = [
            (of_seed.index.get_level_values("step").to_numpy(float), of_seed.to_numpy(float))
            for _, of_seed in means.groupby(level="seed")
        ]
        marks.seed_lines(panel, curves, colour, legend)
        legend.entries[f"layer {layer}"] = Line2D([], [], color=colour, linewidth=2.5)
    style.count_axis(panel, int(rows.step.min()), int(rows.step.max()))


def _limits(panel: Axes, measure: str, values: np.ndarray) -> None:
    finite = values[np.isfinite(values)]
    highest = float(finite.max()) if finite.size else 1.0
    panel.set_ylim(0, 1.0 if measure.endswith("share") else 1.08 * highest or 1.0)
