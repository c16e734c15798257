"""How many weights are exactly zero during training: those that an l1 penalty has put there."""

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from gradlab.analysis.selection import minibatch_rows
from gradlab.figures import marks, style
from gradlab.figures.marks import Legend
from gradlab.store.read import Run

RUN_TABLES = ("steps",)
BY_DEFAULT = False
MEASURES = ("weight_zeros",)
RECORD = "penalty=l1"
LEAST = {"step": 2}


def run_figure(run: Run, title: str) -> Figure:
    """The fraction of the penalized parameters against step, and the penalty that made it."""
    rows = minibatch_rows(run.steps)
    figure, panels = style.panels(1, 2, (12, 4.6), title)
    legend, seeds = Legend(), int(rows.seed.nunique())
    headings = {
        "weight_zeros": ("Exact zeros", "fraction of the penalized parameters"),
        "penalty": ("Penalty", "penalty added to the loss"),
    }
    for panel, (column, (heading, ylabel)) in zip(panels, headings.items(), strict=True):
        style.panel_labels(panel, heading, "training step", ylabel)
        curves = [marks.upward(curve) for curve in marks.curves(rows, "step", column)]
        marks.seed_lines(panel, curves, style.FIRST, legend)
        style.count_axis(panel, int(rows.step.min()), int(rows.step.max()))
        if column == "weight_zeros":
            style.fraction_axis(panel, [y for _, y in curves])
        else:
            style.plain_axis(panel, marks.finite_range([y for _, y in curves]))
    marks.separate_edges(figure)
    entries: dict[str, Line2D | Patch] = {}
    if seeds >= marks.BAND_SEEDS:
        entries[f"median and range of {seeds} seeds"] = Patch(color=style.FAINT, alpha=0.3)
    style.draw_legend(figure, entries | legend.entries)
    return figure
