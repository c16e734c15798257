"""What the optimizer remembers of each layer's gradients, and how large a step it makes of it."""

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gradlab.analysis.selection import minibatch_rows, rows_with, to_float64
from gradlab.figures import marks, style
from gradlab.figures.marks import Legend
from gradlab.figures.profile import drawn_steps
from gradlab.store.read import Run

RUN_TABLES = ("layers",)
BY_DEFAULT = False
PROBE = "optimizer_state"
MEASURES = ("log10_effective_step",)
PANELS = {
    "log10_first_moment": ("Average of gradients", "‖m‖ of the kernels"),
    "log10_second_moment": ("Average of squared gradients", "‖v‖ of the kernels"),
    "log10_effective_step": ("Effective step", "root mean square of ΔW/learning rate"),
}


def run_figure(run: Run, title: str) -> Figure:
    """Each measure of the kernels against layer, at the first, middle and last measured step.

    A measure that the optimizer does not have has no panel. The dashed line is an effective step of 1, to which Adam's
    is near however small the gradient is.
    """
    found = {name: minibatch_rows(rows_with(run.layers, name)) for name in PANELS if name in run.layers}
    found = {name: rows for name, rows in found.items() if len(rows)}
    last, legend = int(run.layers.layer.max()), Legend()
    figure, panels = style.panels(1, len(found), (5.4 * len(found) + 1, 4.9), title)
    for panel, (name, rows) in zip(panels, found.items(), strict=True):
        style.panel_labels(panel, PANELS[name][0], style.layer_label(last), PANELS[name][1])
        steps = drawn_steps(rows)
        for step, colour in zip(steps, style.step_colours(len(steps)), strict=True):
            at = rows[(rows.step == step).to_numpy()]
            marks.seed_lines(panel, marks.curves(at, "layer", name), colour, legend)
            legend.entries[f"step {step}"] = Line2D([], [], color=colour, linewidth=2.5)
        style.power_axis(panel, *style.shared_limits([marks.finite_range([to_float64(rows[name])])])[0])
        style.count_axis(panel, 0, last)
    if "log10_effective_step" in found:
        panels[-1].axhline(0, color=style.FAINT, linestyle="--", linewidth=1.1, zorder=1)
        legend.entries["a step of 1"] = Line2D([], [], color=style.FAINT, linestyle="--")
    style.draw_legend(figure, legend.entries)
    return figure
