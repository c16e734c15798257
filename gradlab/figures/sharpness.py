"""The curvature of the loss over training: extreme eigenvalues beside the stability limit, and the trace."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gradlab.analysis.selection import rows_with
from gradlab.figures import marks, style
from gradlab.figures.marks import Curve, Legend
from gradlab.store.read import Run

RUN_TABLES = ("steps",)
BY_DEFAULT = False
PROBE = "sharpness"
MEASURES = ("sharpness",)
EIGENVALUES = {
    "sharpness": "λ_max",
    "preconditioned_sharpness": "λ_max, preconditioned",
    "smallest_eigenvalue": "λ_min",
}


def run_figure(run: Run, title: str) -> Figure:
    """λ_max, λ_min and the stability limit over steps; beside them the trace with one standard error.

    The limit is that of a quadratic model around the parameters, not a bound on the rate.
    """
    figure, panels = style.panels(1, 2, (11, 4.9), title)
    legend = Legend()
    _draw_eigenvalues(panels[0], run, legend)
    _draw_trace(panels[1], run, legend)
    style.draw_legend(figure, legend.entries)
    return figure


def _draw_eigenvalues(panel: Axes, run: Run, legend: Legend) -> None:
    style.panel_labels(panel, "Curvature and the local stability limit", "training step", "eigenvalue")
    for colour, (column, word) in zip(
        (style.FIRST, style.MIDDLE, style.LAST), EIGENVALUES.items(), strict=True
    ):
        if _draw(panel, _finite(run, column), colour, legend):
            legend.entries[word] = Line2D([], [], color=colour, linewidth=2.5)
    limits = _finite(run, "stability_limit")
    for x, y in limits:
        panel.plot(x, y, color=style.INK, linestyle="--", linewidth=1.2)
    if limits:
        legend.entries["stability limit"] = Line2D([], [], color=style.INK, linestyle="--")
    panel.set_yscale("symlog", linthresh=1.0)
    style.count_axis(panel, int(run.steps.step.min()), int(run.steps.step.max()))


def _draw_trace(panel: Axes, run: Run, legend: Legend) -> None:
    style.panel_labels(panel, "Trace of the Hessian ± its standard error", "training step", "trace")
    curves = _finite(run, "hessian_trace")
    if not _draw(panel, curves, style.FIRST, legend):
        style.empty_note(panel, "no finite trace")
        return
    for (x, y), (_, error) in zip(curves, _finite(run, "hessian_trace_error"), strict=False):
        if len(error) == len(x):
            panel.fill_between(x, y - error, y + error, color=style.FIRST, alpha=0.15, linewidth=0)
    style.count_axis(panel, int(run.steps.step.min()), int(run.steps.step.max()))


def _draw(panel: Axes, curves: list[Curve], colour: str, legend: Legend) -> bool:
    marks.seed_lines(panel, curves, colour, legend)
    return bool(curves)


def _finite(run: Run, column: str) -> list[Curve]:
    """The curve of each seed, without values that are not finite."""
    if column not in run.steps:
        return []
    curves = marks.curves(rows_with(run.steps, column), "step", column)
    return [(x[kept], y[kept]) for x, y in curves if (kept := np.isfinite(y)).any()]
