"""How the hidden layers stretch directions: singular values of ∂h_L/∂h_0, and how far they are from an isometry."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.typing import LineStyleType

from gradlab.analysis.selection import rows_with, to_float64
from gradlab.figures import marks, style
from gradlab.figures.marks import Curve, Legend
from gradlab.figures.profile import drawn_steps
from gradlab.store.read import Run

RUN_TABLES = ("steps",)
BY_DEFAULT = False
PROBE = "jacobian"
MEASURES = ("jacobian_mean_square", "isometry")
SPECTRUM = "log10_singular_value"
LEAST_DECADES = 2.0  # of an axis: fewer would make the spread of an isometry look large
CURVES: dict[str, tuple[str, LineStyleType, str]] = {  # column: colour, pattern and words
    "isometry": (style.COLOURS[2], "-", "isometry: Var s²/(mean s²)²"),
    "jacobian_condition": (style.COLOURS[3], "--", "condition: largest s ÷ smallest s"),
}


def run_figure(run: Run, title: str) -> Figure:
    """Left, singular values s against rank at first, middle and last step; right, isometry and condition over steps.

    Of a wide network only moments are measured: the right panel is the only one then.
    """
    spectrum = rows_with(run.vectors[(run.vectors.measure == SPECTRUM).to_numpy()], "value")
    columns = 1 if spectrum.empty else 2
    figure, panels = style.panels(1, columns, (6.5 * columns, 4.9), title)
    legend = Legend()
    if not spectrum.empty:
        _draw_spectrum(panels[0], spectrum, legend)
    _draw_steps(panels[-1], run.steps, legend)
    style.draw_legend(figure, legend.entries)
    return figure


def _draw_spectrum(panel: Axes, rows: pd.DataFrame, legend: Legend) -> None:
    style.panel_labels(panel, "Singular values s of ∂h_L/∂h_0", "rank (0 = largest)", "s")
    steps = drawn_steps(rows)
    for colour, step in zip(style.step_colours(len(steps)), steps, strict=True):
        at = rows[(rows.step == step).to_numpy()]
        marks.seed_lines(panel, marks.curves(at, "index", "value"), colour, legend)
        legend.entries[f"s at step {step}"] = Line2D([], [], color=colour, linewidth=2.5)
    panel.axhline(0, color=style.INK, linestyle=":", linewidth=1.2, label="_one")
    legend.entries["s = 1: length kept"] = Line2D([], [], color=style.INK, linestyle=":")
    _decades(panel, [to_float64(rows.value), np.zeros(1)])
    style.count_axis(panel, 0, int(rows["index"].max()))


def _draw_steps(panel: Axes, table: pd.DataFrame, legend: Legend) -> None:
    style.panel_labels(panel, "Distance from an isometry", "training step", "isometry, condition")
    drawn: list[np.ndarray] = []
    for column, (colour, pattern, words) in CURVES.items():
        curves = [_log10(curve) for curve in marks.curves(table, "step", column)] if column in table else []
        if curves:
            marks.seed_lines(panel, curves, colour, legend, pattern)
            legend.entries[words] = Line2D([], [], color=colour, linestyle=pattern, linewidth=2.5)
        drawn += [y for _, y in curves]
    if not drawn:
        style.empty_note(panel, "not measured")
        return
    _decades(panel, drawn)
    steps = rows_with(table, "jacobian_mean_square").step
    style.count_axis(panel, int(steps.min()), int(steps.max()))


def _log10(curve: Curve) -> Curve:
    """log10 of a positive measure; an isometry that rounding took below 0 is drawn as 0."""
    x, y = curve
    with np.errstate(divide="ignore"):
        return x, np.log10(np.where(y < 0, 0, y))


def _decades(panel: Axes, drawn: list[np.ndarray]) -> None:
    low, high = marks.finite_range(drawn) or (0.0, 0.0)
    margin = max(0.1, (LEAST_DECADES - (high - low)) / 2)
    style.power_axis(panel, low - margin, high + margin)
