"""What training did: loss and score against chance, the gradient before and after the clip, the rate."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from gradlab.analysis.score import Score
from gradlab.analysis.selection import minibatch_rows, rows_with, to_float64
from gradlab.analysis.training import clipped_fraction, switch_steps
from gradlab.analysis.wording import percent
from gradlab.figures import marks, scales, style
from gradlab.figures.marks import Curve, Legend

BATCH, TRAIN, TEST = style.FAINT, style.COLOURS[0], style.COLOURS[1]
NOISY = (
    "loss",
    "log10_gradient",
    "log10_unclipped",
    "log10_clipped",
)  # they jump from one minibatch to the next
DENSE = 150  # points from which on a thick line becomes a blot
BEFORE, AFTER, GIVEN = style.COLOURS[2], style.COLOURS[3], style.COLOURS[4]


def training(
    steps: pd.DataFrame,
    chance_loss: float | None,
    score: Score,
    threshold: float | None = None,
    title: str = "",
) -> Figure:
    """Four panels against step; `threshold` is that of a clip that bounds the gradient's norm."""
    rows = minibatch_rows(steps)
    figure, (loss, judged, gradient, rate) = style.panels(2, 2, (12, 7.6), title)
    legend = Legend()
    seeds = int(rows.seed.nunique())
    _loss(loss, rows, chance_loss, legend)
    _score(judged, rows, score, legend)
    _gradient(gradient, rows, threshold, legend)
    style.panel_labels(rate, "Learning rate", "training step", "rate")
    scales.amount_axis(rate, _draw(rate, rows, {"learning_rate": (style.INK, "")}, legend), legend)
    for panel in (loss, judged, gradient, rate):
        style.count_axis(panel, int(rows.step.min()), int(rows.step.max()))
        marks.optimizer_switches(panel, switch_steps(rows), legend)
    lost = sum(not np.isfinite(y).all() for _, y in marks.curves(rows, "step", "loss"))
    if lost and seeds > 1:
        legend.entries[f"{lost} of {seeds} seeds diverged"] = Line2D([], [], linestyle="")
    if seeds >= marks.BAND_SEEDS:
        legend.entries[f"median and range of {seeds} seeds"] = Patch(color=style.FAINT, alpha=0.3)
    style.draw_legend(figure, legend.entries)
    return figure


def _loss(panel: Axes, rows: pd.DataFrame, chance: float | None, legend: Legend) -> None:
    style.panel_labels(panel, "Loss", "training step", "mean data loss")
    drawn = {
        "loss": (BATCH, "minibatch"),
        "train_loss": (TRAIN, "training part"),
        "test_loss": (TEST, "test part"),
    }
    found = _draw(panel, rows, drawn, legend)
    _level(panel, chance, legend)
    level = np.array([chance] if chance else [])
    scales.amount_axis(panel, [*found, (np.zeros_like(level), level)], legend)


def _score(panel: Axes, rows: pd.DataFrame, score: Score, legend: Legend) -> None:
    style.panel_labels(panel, score.label[:1].upper() + score.label[1:], "training step", score.axis_label)
    told = {f"{part}_score": score.series(rows, part) for part in ("train", "test")}
    rows = rows.assign(**told)
    found = _draw(
        panel, rows, {"train_score": (TRAIN, "training part"), "test_score": (TEST, "test part")}, legend
    )
    _level(panel, score.chance_level, legend)
    if score.is_fraction:
        style.fraction_axis(panel, [y for _, y in found])
    else:
        scales.amount_axis(panel, found, legend)


def _gradient(panel: Axes, rows: pd.DataFrame, threshold: float | None, legend: Legend) -> None:
    """Norms that differ only, since equal lines would hide each other: before and after a clip that acted, and
    the gradient itself where the clip is given another thing, an update or a search's estimate.
    """
    part = clipped_fraction(rows)
    told = f": the clip acted on {percent(part)} of the steps" if part else ""
    style.panel_labels(panel, f"Gradient norm{told}", "training step", "‖gradient‖ of all parameters")
    given = rows_with(rows, "log10_unclipped")
    other = not np.array_equal(
        to_float64(given.log10_unclipped), to_float64(given.log10_gradient), equal_nan=True
    )
    drawn = {"log10_gradient": (BEFORE, "gradient before the clip" if part and not other else "gradient")}
    if other:
        drawn["log10_unclipped"] = (GIVEN, "update or estimate that the clip is given")
    if part:
        drawn["log10_clipped"] = (AFTER, "after the clip")
    found = _draw(panel, rows, drawn, legend)
    if threshold is not None:
        level = float(np.log10(threshold))
        panel.axhline(level, color=style.INK, linewidth=1.2, linestyle="--")
        legend.entries["clip threshold"] = Line2D([], [], color=style.INK, linewidth=1.2, linestyle="--")
        found.append((np.zeros(1), np.array([level])))
    limits = marks.finite_range([y for _, y in found])
    low, high = limits or (0.0, 0.0)
    room = max(2.0, 1.15 * (high - low)) / 2
    style.power_axis(panel, (low + high) / 2 - room, (low + high) / 2 + room)


def _draw(panel: Axes, rows: pd.DataFrame, drawn: dict[str, tuple[str, str]], legend: Legend) -> list[Curve]:
    """Each column in its colour and under its name; what was drawn, for the axis."""
    found = []
    for column, (colour, name) in drawn.items():
        curves = marks.curves(rows, "step", column)
        if not curves:
            continue
        dense = column in NOISY and max(len(x) for x, _ in curves) > DENSE
        marks.seed_lines(panel, curves, colour, legend, width=0.9 if dense else 2.0)
        found += curves
        if name:
            legend.entries[name] = Line2D([], [], color=colour, linewidth=2.5)
    if not found:
        style.empty_note(panel, "no step was taken" if "learning_rate" in drawn else "not measured")
    return found


def _level(panel: Axes, chance: float | None, legend: Legend) -> None:
    if chance is not None:
        panel.axhline(chance, color=style.INK, linewidth=1.3, linestyle=":")
        legend.entries["chance"] = Line2D([], [], color=style.INK, linewidth=1.3, linestyle=":")
