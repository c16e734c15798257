"""The noise of gradients over training: its scale beside the batch size, single examples, signal to noise by layer."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gradlab.analysis.noise import reasons
from gradlab.analysis.selection import rows_with, to_float64
from gradlab.figures import marks, style
from gradlab.figures.marks import Curve, Legend
from gradlab.figures.profile import drawn_steps
from gradlab.store.read import Run

RUN_TABLES = ("steps",)
BY_DEFAULT = False
PROBE = "noise"
MEASURES = ("noise_undefined",)
QUANTILES = {"min": "smallest", "median": "median", "max": "largest"}


def run_figure(run: Run, title: str) -> Figure:
    """Noise scale with one standard error and the batch size; norms of examples' gradients; GSNR against layer.

    Where there is no noise scale nothing is drawn, and the reason stands below the title.
    """
    why = "; ".join(reasons(run.steps))
    figure, panels = style.panels(1, 3, (15, 4.9), f"{title}\nno noise scale: {why}" if why else title)
    legend = Legend()
    _draw_scale(panels[0], run, legend)
    _draw_examples(panels[1], run, legend)
    _draw_layers(panels[2], run, legend)
    style.draw_legend(figure, legend.entries)
    return figure


def _draw_scale(panel: Axes, run: Run, legend: Legend) -> None:
    style.panel_labels(panel, "Noise scale tr Σ/|G|²", "training step", "examples")
    rows = rows_with(run.steps, "noise_scale")
    if rows.empty:
        style.empty_note(panel, "no noise scale")
        return
    curves = [_log10(curve) for curve in marks.curves(rows, "step", "noise_scale")]
    errors = marks.curves(rows, "step", "noise_scale_error")
    for (x, y), (_, error) in zip(curves, errors, strict=False):
        if len(error) == len(x):
            high, low = np.log10(10**y + error), np.log10(np.maximum(10**y - error, 10**y / 10))
            panel.fill_between(x, low, high, color=style.FIRST, alpha=0.15, linewidth=0)
    marks.seed_lines(panel, curves, style.FIRST, legend)
    legend.entries["noise scale ± its standard error"] = Line2D([], [], color=style.FIRST, linewidth=2.5)
    batch = np.log10(run.recipe["batch_size"] or run.status["data"]["train"])
    panel.axhline(batch, color=style.INK, linestyle="--", linewidth=1.2, label="_batch")
    legend.entries["batch size"] = Line2D([], [], color=style.INK, linestyle="--")
    drawn = np.concatenate([y for _, y in curves] + [np.array([batch])])
    style.power_axis(panel, float(drawn.min()) - 0.5, float(drawn.max()) + 0.5)
    style.count_axis(panel, int(run.steps.step.min()), int(run.steps.step.max()))


def _draw_examples(panel: Axes, run: Run, legend: Legend) -> None:
    style.panel_labels(
        panel, "Gradient norms of single examples", "training step", "‖gradient of one example‖"
    )
    colours = style.group_colours(len(QUANTILES), ordered=True)
    drawn: list[np.ndarray] = []
    for colour, (name, word) in zip(colours, QUANTILES.items(), strict=True):
        curves = marks.curves(
            rows_with(run.steps, f"log10_example_gradient_{name}"), "step", f"log10_example_gradient_{name}"
        )
        marks.seed_lines(panel, curves, colour, legend)
        drawn += [y for _, y in curves]
        if curves:
            legend.entries[f"{word} of the examples"] = Line2D([], [], color=colour, linewidth=2.5)
    limits = marks.finite_range(drawn)
    if limits is None:
        style.empty_note(panel, "no gradients of single examples")
        return
    style.power_axis(panel, limits[0] - 0.5, limits[1] + 0.5)
    style.count_axis(panel, int(run.steps.step.min()), int(run.steps.step.max()))


def _draw_layers(panel: Axes, run: Run, legend: Legend) -> None:
    style.panel_labels(
        panel, "Signal to noise (GSNR)", style.layer_label(int(run.layers.layer.max())), "(E g)²/Var g"
    )
    rows = rows_with(run.layers, "gsnr") if "gsnr" in run.layers else run.layers[:0]
    if rows.empty:
        style.empty_note(panel, "not measured")
        return
    steps = drawn_steps(rows)
    for colour, step in zip(style.step_colours(len(steps)), steps, strict=True):
        at = rows[(rows.step == step).to_numpy()]
        marks.seed_lines(panel, marks.curves(at, "layer", "gsnr"), colour, legend)
        legend.entries[f"step {step}"] = Line2D([], [], color=colour, linewidth=2.5)
    panel.axhline(0, color=style.FAINT, linewidth=1)
    style.count_axis(panel, int(rows.layer.min()), int(rows.layer.max()))
    values = to_float64(rows.gsnr)
    if (finite := values[np.isfinite(values)]).size and finite.max() > 30 * np.median(np.abs(finite)):
        panel.set_yscale("symlog", linthresh=float(np.median(np.abs(finite))) or 1.0)


def _log10(curve: Curve) -> Curve:
    x, y = curve
    return x, np.log10(y)
