"""Spectra of the kernels over depth: σ_max and spectral radius, and in how many directions weights and updates lie."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from gradlab.analysis.selection import rows_with
from gradlab.figures import marks, style
from gradlab.figures.marks import Legend
from gradlab.figures.profile import drawn_steps
from gradlab.figures.times import DASHES
from gradlab.store.read import Run

RUN_TABLES = ("layers", "parameters")
PROBE = "weight_spectrum"
MEASURES = ("stable_rank",)
PANELS = {
    "kernel_sigma_max": ("Largest singular value", "σ_max of W"),
    "kernel_radius": ("Spectral radius of square kernels", "max |λ| of W"),
    "kernel_stable_rank": ("Stable rank of the weights", "Σσ²/σ_max² of W"),
    "kernel_effective_rank": ("Effective rank of the weights", "(Σσ²)²/Σσ⁴ of W"),
    "update_stable_rank": ("Stable rank of the updates", "Σσ²/σ_max² of ΔW"),
    "stable_rank": ("Stable rank of the signals", "Σσ²/σ_max² of h − mean"),
}
WITH_ONE = ("kernel_sigma_max", "kernel_radius")  # below 1 a kernel shrinks each signal, or in the end any


def run_figure(run: Run, title: str) -> Figure:
    """A panel for each measure against layer, a colour for the first, middle and last step that has it.

    A dash pattern stands for each of a layer's kernels. A line is one seed, or from five on their median in a band.
    """
    tables = {name: run.layers if name == "stable_rank" else run.parameters for name in PANELS}
    rows = {name: rows_with(table, name) for name, table in tables.items() if name in table}
    rows = {name: measured for name, measured in rows.items() if len(measured)}
    figure, panels = style.panels(
        -(-len(rows) // 3), min(3, len(rows)), (14, 4.4 * -(-len(rows) // 3)), title
    )
    last, legend = int(run.layers.layer.max()), Legend()
    parameters = run.parameters
    kernels = sorted(set(rows_with(parameters, "kernel_sigma_max").parameter.astype(str)))
    for panel, (name, measured) in zip(panels, rows.items(), strict=False):
        style.panel_labels(panel, PANELS[name][0], style.layer_label(last), PANELS[name][1])
        _draw(panel, measured, name, kernels, legend)
        style.count_axis(panel, 0, last)
        if name in WITH_ONE:
            panel.axhline(1, color=style.FAINT, linewidth=1.0, linestyle=":", zorder=1)
        else:
            panel.set_ylim(bottom=0)
        panel.yaxis.set_major_locator(MaxNLocator(nbins=7))
    for panel in panels[len(rows) :]:
        panel.set_visible(False)
    style.draw_legend(figure, legend.entries)
    return figure


def _consecutive(rows: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """The rows of each run of layers without a gap: no line crosses layers that have no such kernel."""
    layers = np.unique(rows.layer)
    for part in np.split(layers, np.flatnonzero(np.diff(layers) > 1) + 1):
        yield rows[rows.layer.isin(part).to_numpy()]


def _draw(panel: Axes, rows: pd.DataFrame, name: str, kernels: list[str], legend: Legend) -> None:
    steps = drawn_steps(rows)
    words = dict(zip(style.step_colours(len(steps)), ("first", "middle", "last"), strict=False))
    words |= {style.LAST: "last"} if len(steps) > 1 else {}
    for colour, step in zip(style.step_colours(len(steps)), steps, strict=True):
        at = rows[(rows.step == step).to_numpy()]
        legend.entries[f"{words[colour]} measured step"] = Line2D([], [], color=colour, linewidth=2.5)
        for index, kernel in enumerate(kernels if "parameter" in at else [""]):
            of_kernel = at[(at.parameter == kernel).to_numpy(dtype=bool)] if kernel else at
            dashes = DASHES[index % len(DASHES)]
            for piece in _consecutive(of_kernel):
                marks.seed_lines(panel, marks.curves(piece, "layer", name), colour, legend, dashes)
            if kernel and len(kernels) > 1:  # of more kernels than patterns some share one
                label = ", ".join(kernels[index % len(DASHES) :: len(DASHES)])
                legend.entries[label] = Line2D([], [], color=style.INK, linestyle=dashes)
    finite = [np.asarray(line.get_ydata(), float) for line in panel.get_lines()]
    limits = marks.finite_range(finite)
    if limits is not None:
        panel.set_ylim(0, 1.08 * max(limits[1], 1.0))
