"""Forward signal, backward signal and weight gradient against layer: where a signal is lost, and whether theory agrees.

The weight gradient alone hides vanishing (it is flat where forward and backward trends cancel), so all three
stand side by side on the same number of decades: slopes in the three panels can be compared by eye. A panel that would
be empty on it has fewer decades and says how many.
"""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from gradlab.analysis.selection import defined_backward, is_measured, minibatch_rows
from gradlab.analysis.verdicts import predicted
from gradlab.figures import marks, style
from gradlab.figures.marks import Curve, Legend
from gradlab.store.read import Run
from gradlab.theory.coverage import DEVIATIONS

if TYPE_CHECKING:
    from gradlab.theory.mlp import Prediction

RUN_TABLES = ("layers",)
ANY_OF = ("log10_forward", "log10_backward", "log10_gradient")  # the run has one of these columns
LEAST = {"layer": 2}
PANELS = {
    "log10_forward": ("Forward signal →", "RMS per unit of a layer's output h"),
    "log10_backward": ("← Backward signal", "‖∂loss/∂h‖ at a layer's output"),
    "log10_gradient": ("Weight gradient", "‖∂loss/∂W‖ of a layer's weights"),
}


def run_figure(run: Run, title: str) -> Figure:
    """The profile of a stored run, with the theory's line where there is a prediction."""
    return profile(run.layers, predicted(run), title, run.is_foreign)


def profile(
    layers: pd.DataFrame, prediction: "Prediction | None" = None, title: str = "", is_foreign: bool = False
) -> Figure:
    """Three panels against layer at the first, middle and last step, and the theory of the first step as a dashed line.

    `layers` is the table of one run, of which the rows of minibatches are drawn; its values are log10. A line is one
    seed; from five seeds on it is their median in a band from the lowest to the highest. `prediction` is a
    `gradlab.theory.mlp.Prediction`; its band holds 95 % of random networks of this width at each layer by itself, where
    that was measured. Only what was measured is drawn.
    """
    rows = defined_backward(minibatch_rows(layers))
    names = [column for column in PANELS if is_measured(rows[column]).any()] or ["log10_backward"]
    figure, axes = style.panels(1, len(names), (max(8, 13 * len(names) // 3), 4.9), title)
    measured = np.logical_or.reduce([is_measured(rows[column]) for column in PANELS])
    steps = drawn_steps(rows[measured] if measured.any() else rows)
    legend, layer_names = Legend(), marks.layer_names(layers)
    start = rows[rows.step == 0]
    drawn = {
        column: [marks.curves(rows[rows.step == step], "layer", column) for step in steps] for column in names
    }
    theory = {column: _theory(prediction, start, column) for column in names}
    limits = style.shared_limits([_range(drawn[column], theory[column]) for column in names])
    for panel, column, (low, high) in zip(axes, names, limits, strict=True):
        name, ylabel = PANELS[column]
        style.panel_labels(panel, name + _decades(high - low, limits), "", ylabel)
        style.layer_axis(panel, layer_names, is_foreign)
        style.power_axis(panel, low, high)
        _draw_steps(panel, steps, drawn[column], legend)
        if (expected := theory[column]) is not None:
            _draw_theory(panel, *expected, legend)
    marks.separate_edges(figure)
    counts = [len(curves) for curves in drawn["log10_backward" if "log10_backward" in drawn else names[0]]]
    style.draw_legend(figure, _step_entries(steps, counts, int(rows.seed.nunique())) | legend.entries)
    return figure


def _decades(span: float, limits: list[tuple[float, float]]) -> str:
    """What the title says of a panel that shows fewer decades than the others."""
    widest = max(high - low for low, high in limits)
    return f" ({span:.2g} decades shown)" if span < 0.99 * widest else ""


def drawn_steps(rows: pd.DataFrame) -> list[int]:
    """The first, the middle and the last step in the table; fewer if it has fewer."""
    steps = np.unique(rows.step.to_numpy())
    middle = steps[np.abs(steps - (steps[0] + steps[-1]) / 2).argmin()]
    return [int(step) for step in dict.fromkeys((steps[0], middle, steps[-1]))]


def _draw_steps(panel: Axes, steps: list[int], drawn: list[list[Curve]], legend: Legend) -> None:
    """Draw each step in its colour, or a note in an empty panel."""
    for colour, curves in zip(style.step_colours(len(steps)), drawn, strict=True):
        marks.seed_lines(panel, curves, colour, legend)
    if not any(drawn):
        style.empty_note(panel, "not measured")


def _theory(
    prediction: "Prediction | None", start: pd.DataFrame, column: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Layers, line and half-width of the theory's band, of shape (layers,); None where it says nothing of the column.

    The half-width is 0 where no band is known.

    The backward signal of the theory is shifted to the measured one at the last hidden layer.
    """
    if prediction is None or not len(start) or column == "log10_gradient":
        return None
    if column == "log10_forward":
        line = np.asarray(prediction.log10_forward, dtype=float)
        return np.asarray(prediction.layer), line, np.zeros_like(line)
    last = int(start.layer.max()) - 1
    measured = np.concatenate([np.empty(0), *(y[x == last] for x, y in marks.curves(start, "layer", column))])
    finite = measured[np.isfinite(measured)]
    if not finite.size:
        return None
    line = np.asarray(prediction.log10_backward, dtype=float) + np.median(finite)
    half_width = DEVIATIONS * np.asarray(prediction.sd, dtype=float) * prediction.has_band
    return np.asarray(prediction.layer), line, half_width


def _draw_theory(panel: Axes, x: np.ndarray, y: np.ndarray, half: np.ndarray, legend: Legend) -> None:
    """Draw a thin dashed line, and its band in grey behind the data."""
    if np.nan_to_num(half).any():
        panel.fill_between(x, y - half, y + half, color=style.FAINT, alpha=0.18, linewidth=0, zorder=1)
        legend.entries["theory at this width, 95 % of networks at each layer"] = Patch(
            color=style.FAINT, alpha=0.3
        )
    panel.plot(x, y, "--", color=style.THEORY, linewidth=1.4, zorder=4)
    legend.entries["theory, step 0"] = Line2D([], [], linestyle="--", color=style.THEORY, linewidth=1.4)


def _range(drawn: list[list[Curve]], theory: tuple[np.ndarray, ...] | None) -> tuple[float, float] | None:
    """The lowest and the highest value of the panel, the theory's line included."""
    values = [y for curves in drawn for _, y in curves]
    return marks.finite_range(values + ([theory[1]] if theory is not None else []))


def _step_entries(steps: list[int], counts: list[int], seeds: int) -> dict[str, Line2D | Patch]:
    """One legend entry per step, with the number of seeds that reached it if not all did, and one for the band."""
    entries: dict[str, Line2D | Patch] = {}
    for step, colour, count in zip(steps, style.step_colours(len(steps)), counts, strict=True):
        reached = f" ({count} of {seeds} seeds)" if count < seeds else ""
        entries[f"step {step}{reached}"] = Line2D([], [], color=colour, linewidth=2.5)
    if seeds >= marks.BAND_SEEDS:
        entries[f"median and range of {seeds} seeds"] = Patch(color=style.FAINT, alpha=0.3)
    return entries
