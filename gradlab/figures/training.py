"""The course of training: loss and score against chance level, gradient norm around the clip, learning rate."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.typing import LineStyleType

from gradlab.analysis.clip_limits import UNKNOWN, norm_threshold
from gradlab.analysis.score import Score, score_of
from gradlab.analysis.selection import is_measured, minibatch_rows, rows_with, to_float64
from gradlab.analysis.training import clipped_fraction, switch_steps
from gradlab.analysis.wording import percent
from gradlab.figures import marks, scales, style
from gradlab.figures.marks import Curve, Legend
from gradlab.store.read import Run

RUN_TABLES = ("steps",)
PANELS = {  # the columns that each panel of a foreign run draws: one without any is left out
    "loss": ("loss", "train_loss", "test_loss"),
    "score": ("train_accuracy", "test_accuracy"),
    "gradient": ("log10_gradient",),
    "rate": ("learning_rate",),
}
# the run has one of these columns; the registry reads it from the file, as it stands
ANY_OF = (
    "loss",
    "train_loss",
    "test_loss",
    "train_accuracy",
    "test_accuracy",
    "log10_gradient",
    "learning_rate",
)
TEST_DASHES: LineStyleType = (0, (4, 1.5))  # so that a print in grey tells the two sets apart
LEAST = {"step": 2}  # of one step there is no course
BATCH, TRAIN, TEST = style.FAINT, style.COLOURS[0], style.COLOURS[1]
# columns that jump from one minibatch to the next
NOISY = ("loss", "log10_gradient", "log10_unclipped", "log10_clipped")
EVALUATION_SET = "evaluation set"  # of a foreign run: whether it is a test set is not known
BEFORE, AFTER, CLIP_INPUT = style.COLOURS[2], style.COLOURS[3], style.COLOURS[4]


def run_figure(run: Run, title: str) -> Figure:
    """The course of training of a stored run."""
    if run.is_foreign:
        return recorded(run.steps, norm_threshold(run.recipe.get("clip", UNKNOWN)), title)
    data, clip = run.status["data"], run.recipe["clip"]
    # the gradient's norm is drawn, which a clip of the update does not bound
    threshold = None if clip.get("where") == "update" else norm_threshold(clip)
    return training(run.steps, data["chance_loss"], score_of(data), threshold, title)


def training(
    steps: pd.DataFrame,
    chance_loss: float | None,
    score: Score,
    threshold: float | None = None,
    title: str = "",
) -> Figure:
    """Up to four panels against step: loss, score, gradient norm, learning rate; those that were measured.

    `steps` is the table of one run, `chance_loss` the loss at chance level where the data have one, `threshold` that of
    a clip that bounds the norm of the gradient.
    """
    rows = minibatch_rows(steps)
    legend = Legend()
    seeds = int(rows.seed.nunique())
    draw = {
        "loss": lambda panel: _draw_loss(panel, rows, chance_loss, legend),
        "score": lambda panel: _draw_score(panel, rows, score, legend),
        "gradient": lambda panel: _draw_gradient(panel, rows, threshold, legend),
        "rate": lambda panel: _draw_rate(panel, rows, legend),
    }
    columns = PANELS | {"score": (f"train_{score.column}", f"test_{score.column}")}
    figure = _drawn({name: draw[name] for name in _measured_panels(rows, columns)}, rows, title)
    for panel in figure.axes:
        marks.optimizer_switches(panel, switch_steps(rows), legend)
    marks.separate_edges(figure)
    diverged = sum(not np.isfinite(y).all() for _, y in marks.curves(rows, "step", "loss"))
    if diverged and seeds > 1:
        legend.entries[f"{diverged} of {seeds} seeds diverged"] = Line2D([], [], linestyle="")
    if seeds >= marks.BAND_SEEDS:
        legend.entries[f"median and range of {seeds} seeds"] = Patch(color=style.FAINT, alpha=0.3)
    style.draw_legend(figure, legend.entries)
    return figure


def recorded(steps: pd.DataFrame, threshold: float | None = None, title: str = "") -> Figure:
    """The same panels of a foreign run, those of which its log has a column; no chance level is known.

    `threshold` is that of a clip by norm that its user has stated.
    """
    rows = minibatch_rows(steps)
    legend = Legend()
    draw = {
        "loss": lambda panel: _draw_loss(panel, rows, None, legend, EVALUATION_SET),
        "score": lambda panel: _draw_score(panel, rows, score_of(None), legend, EVALUATION_SET),
        "gradient": lambda panel: _draw_gradient(panel, rows, threshold, legend),
        "rate": lambda panel: _draw_rate(panel, rows, legend),
    }
    figure = _drawn({name: draw[name] for name in _measured_panels(rows, PANELS)}, rows, title)
    marks.separate_edges(figure)
    style.draw_legend(figure, legend.entries)
    return figure


def _measured_panels(rows: pd.DataFrame, columns: dict[str, tuple[str, ...]]) -> list[str]:
    """The panels of which a column was measured."""
    return [
        name for name, of_panel in columns.items() if any(rows[column].notna().any() for column in of_panel)
    ]


def _drawn(draw: dict[str, Callable[[Axes], None]], rows: pd.DataFrame, title: str) -> Figure:
    """A figure with a panel for each of these, against step."""
    height, width = (2, 2) if len(draw) > 3 else (1, len(draw))
    figure, axes = style.panels(height, width, (max(8, 6 * width), 3.8 * height), title)
    for panel, draw_panel in zip(axes, draw.values(), strict=True):
        draw_panel(panel)
        style.count_axis(panel, int(rows.step.min()), int(rows.step.max()))
    return figure


def _draw_rate(panel: Axes, rows: pd.DataFrame, legend: Legend) -> None:
    style.panel_labels(panel, "Learning rate", "training step", "learning rate")
    rates = _draw_columns(panel, rows, {"learning_rate": (style.INK, "")}, legend)
    scales.amount_axis(panel, rates, legend)


def _draw_loss(
    panel: Axes, rows: pd.DataFrame, chance_loss: float | None, legend: Legend, test_set: str = "test set"
) -> None:
    style.panel_labels(panel, "Loss", "training step", "mean data loss")
    columns = {
        "loss": (BATCH, "minibatch"),
        "train_loss": (TRAIN, "training set"),
        "test_loss": (TEST, test_set),
    }
    drawn = _draw_columns(panel, rows, columns, legend)
    _draw_chance_level(panel, chance_loss, legend)
    level = np.array([chance_loss] if chance_loss else [])
    scales.amount_axis(panel, [*drawn, (np.zeros_like(level), level)], legend)


def _draw_score(
    panel: Axes, rows: pd.DataFrame, score: Score, legend: Legend, test_set: str = "test set"
) -> None:
    style.panel_labels(panel, score.label[:1].upper() + score.label[1:], "training step", score.axis_label)
    scores = {f"{dataset}_score": _defined_score(rows, score, dataset) for dataset in ("train", "test")}
    columns = {"train_score": (TRAIN, "training set"), "test_score": (TEST, test_set)}
    drawn = _draw_columns(panel, rows.assign(**scores), columns, legend)
    _draw_chance_level(panel, score.chance_level, legend)
    if score.is_fraction:
        style.fraction_axis(panel, [y for _, y in drawn])
    else:
        scales.amount_axis(panel, drawn, legend)


def _defined_score(rows: pd.DataFrame, score: Score, dataset: str) -> pd.Series:
    """The score where the loss of its evaluation is a number: outputs of NaN have a class, and no accuracy."""
    scores = score.series(rows, dataset)
    loss = rows[f"{dataset}_loss"]
    return scores.where(~(is_measured(loss) & np.isnan(to_float64(loss))))


def _draw_gradient(panel: Axes, rows: pd.DataFrame, threshold: float | None, legend: Legend) -> None:
    """Draw the norms that differ, since equal lines hide each other: before and after a clip that acted, and the
    gradient itself where the input of the clip is another vector, an update or an estimate of the gradient.
    """
    fraction = clipped_fraction(rows)
    acted = f": the clip acted on {percent(fraction)} of the steps" if fraction else ""
    style.panel_labels(panel, f"Gradient norm{acted}", "training step", "‖gradient‖ of all parameters")
    measured = rows_with(rows, "log10_unclipped")
    other_input = not np.array_equal(
        to_float64(measured.log10_unclipped), to_float64(measured.log10_gradient), equal_nan=True
    )
    label = "gradient before clipping" if fraction and not other_input else "gradient"
    columns = {"log10_gradient": (BEFORE, label)}
    if other_input:
        columns["log10_unclipped"] = (CLIP_INPUT, "update or gradient estimate before clipping")
    if fraction:
        columns["log10_clipped"] = (AFTER, "after clipping")
    drawn = _draw_columns(panel, rows, columns, legend)
    if threshold is not None:
        level = float(np.log10(threshold))
        panel.axhline(level, color=style.INK, linewidth=1.2, linestyle="--")
        legend.entries["clip threshold"] = Line2D([], [], color=style.INK, linewidth=1.2, linestyle="--")
        drawn.append((np.zeros(1), np.array([level])))
    low, high = marks.finite_range([y for _, y in drawn]) or (0.0, 0.0)
    half = max(2.0, 1.15 * (high - low)) / 2
    style.power_axis(panel, (low + high) / 2 - half, (low + high) / 2 + half)


def _draw_columns(
    panel: Axes, rows: pd.DataFrame, columns: dict[str, tuple[str, str]], legend: Legend
) -> list[Curve]:
    """Draw each measured column with its (colour, label); returns the curves, from which the axis is chosen."""
    drawn = []
    for column, (colour, label) in columns.items():
        curves = marks.curves(rows, "step", column)
        if not curves:
            continue
        points = max(len(x) for x, _ in curves) if column in NOISY else 0
        dashes: LineStyleType = TEST_DASHES if colour == TEST else "-"
        marks.seed_lines(panel, curves, colour, legend, dashes, marks.line_width(points))
        drawn += curves
        if label:
            legend.entries[label] = Line2D([], [], color=colour, linewidth=2.2, linestyle=dashes)
    if not drawn:
        style.empty_note(panel, "no training step" if "learning_rate" in columns else "not measured")
    return drawn


def _draw_chance_level(panel: Axes, level: float | None, legend: Legend) -> None:
    if level is not None:
        panel.axhline(level, color=style.INK, linewidth=1.3, linestyle=":")
        legend.entries["chance level"] = Line2D([], [], color=style.INK, linewidth=1.3, linestyle=":")
