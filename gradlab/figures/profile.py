"""Forward, backward and weight-gradient signal against layer: where the signal is lost, and was it meant?

The weight gradient alone hides vanishing (it is flat where forward and backward trends cancel), so all three
stand side by side on the same number of decades: slopes in the three panels can be compared by eye.
"""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from gradlab.analysis.selection import minibatch_rows
from gradlab.figures import marks, style
from gradlab.figures.marks import Curve, Legend

PANELS = {
    "log10_forward": ("Forward signal →", "‖h‖ of a layer's output, RMS a unit"),
    "log10_backward": ("← Backward signal", "‖∂loss/∂h‖ at a layer's output"),
    "log10_gradient": ("Weight gradient", "‖∂loss/∂W‖ of a layer's weights"),
}


def profile(layers: pd.DataFrame, prediction: Any = None, title: str = "") -> Figure:
    """Three panels against layer, at the first, middle and last step; theory dashed on the first.

    `layers` holds one run (rows of source `batch` are drawn), y values are log10. A line is one seed; from
    five seeds on it is their median, and the band reaches from the least to the largest. Theory's band is one
    standard deviation over random networks of this width.
    """
    rows = minibatch_rows(layers)
    figure, axes = style.panels(1, 3, (13, 4.9), title)
    legend, steps, last = Legend(), drawn_steps(rows), int(rows.layer.max())
    start = rows[rows.step == 0]
    drawn = {
        column: [marks.curves(rows[rows.step == step], "layer", column) for step in steps]
        for column in PANELS
    }
    theory = {column: _theory(prediction, start, column) for column in PANELS}
    limits = style.shared_limits([_range(drawn[column], theory[column]) for column in PANELS])
    for panel, (column, (name, ylabel)), (low, high) in zip(axes, PANELS.items(), limits, strict=True):
        style.panel_labels(panel, name, f"layer  (0 input, {last} output)", ylabel)
        style.count_axis(panel, 0, last)
        style.power_axis(panel, low, high)
        _draw(panel, steps, drawn[column], legend)
        if (expected := theory[column]) is not None:
            _dashed(panel, *expected, legend)
    counts = [len(curves) for curves in drawn["log10_backward"]]
    style.draw_legend(figure, _steps(steps, counts, int(rows.seed.nunique())) | legend.entries)
    return figure


def drawn_steps(rows: pd.DataFrame) -> list[int]:
    """The first, the middle and the last step that was logged; fewer where there are fewer."""
    steps = np.unique(rows.step.to_numpy())
    middle = steps[np.abs(steps - (steps[0] + steps[-1]) / 2).argmin()]
    return [int(step) for step in dict.fromkeys((steps[0], middle, steps[-1]))]


def _draw(panel: Axes, steps: list[int], drawn: list[list[Curve]], legend: Legend) -> None:
    """One colour a step; or the words that nothing was measured, where an empty panel would puzzle."""
    for colour, curves in zip(style.step_colours(len(steps)), drawn, strict=True):
        marks.seed_lines(panel, curves, colour, legend)
    if not any(drawn):
        style.empty_note(panel, "not measured")


def _theory(
    prediction: Any, start: pd.DataFrame, column: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Theory's layers, line and half-band on this panel; backward is anchored at the last hidden layer."""
    if prediction is None or not len(start) or column == "log10_gradient":
        return None
    if column == "log10_forward":
        line = np.asarray(prediction.log10_forward, dtype=float)
        return np.asarray(prediction.layer), line, np.zeros_like(line)
    last = int(start.layer.max()) - 1
    at = [y[x == last] for x, y in marks.curves(start, "layer", column)]
    there = np.concatenate(at)[np.isfinite(np.concatenate(at))] if at else np.array([])
    if not there.size:
        return None
    line = np.asarray(prediction.log10_backward, dtype=float) + np.median(there)
    return np.asarray(prediction.layer), line, np.asarray(prediction.sd, dtype=float)


def _dashed(panel: Axes, x: np.ndarray, y: np.ndarray, sd: np.ndarray, legend: Legend) -> None:
    """Behind the data: thin, dashed, with its band in grey."""
    if np.nan_to_num(sd).any():
        panel.fill_between(x, y - sd, y + sd, color=style.FAINT, alpha=0.18, linewidth=0, zorder=1)
        legend.entries["theory at this width, ± 1 sd"] = Patch(color=style.FAINT, alpha=0.3)
    panel.plot(x, y, "--", color=style.THEORY, linewidth=1.4, zorder=4)
    legend.entries["theory, step 0"] = Line2D([], [], linestyle="--", color=style.THEORY, linewidth=1.4)


def _range(drawn: list[list[Curve]], theory: tuple[np.ndarray, ...] | None) -> tuple[float, float] | None:
    """What the panel must show: every line and theory's."""
    values = [y for curves in drawn for _, y in curves]
    return marks.finite_range(values + ([theory[1]] if theory is not None else []))


def _steps(steps: list[int], counts: list[int], seeds: int) -> dict[str, Line2D | Patch]:
    """A legend entry a step, with the seeds that still ran where some did not, and what the band is."""
    entries: dict[str, Line2D | Patch] = {}
    for step, colour, count in zip(steps, style.step_colours(len(steps)), counts, strict=True):
        gone = f" ({count} of {seeds} seeds)" if count < seeds else ""
        entries[f"step {step}{gone}"] = Line2D([], [], color=colour, linewidth=2.5)
    if seeds >= marks.BAND_SEEDS:
        entries[f"median and range of {seeds} seeds"] = Patch(color=style.FAINT, alpha=0.3)
    return entries
