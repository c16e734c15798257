"""Several runs in one picture: backward signal at the start and the end, training loss, score on the test set."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.typing import LineStyleType

from gradlab.analysis.score import Score
from gradlab.analysis.selection import defined_backward, is_measured, minibatch_rows, rows_with, to_float64
from gradlab.analysis.training import switch_steps
from gradlab.figures import marks, scales, style
from gradlab.figures.marks import Curve, Legend

DASHES: tuple[LineStyleType, ...] = ("-", "--", ":", "-.")  # of runs that share a colour
SEED_KEYS = ["run", "seed"]  # the columns that identify a seed
MAX_LINE_GROUPS = 4  # groups beyond which the lines of single seeds would be a tangle
LOSS_RANGE = 1000.0  # times the lowest loss at the start: a diverged run must not flatten the others


def comparison(
    layers: pd.DataFrame, steps: pd.DataFrame, by: str, title: str = "", score: Score | None = None
) -> Figure:
    """Backward profiles at the first and the last step, training loss and the score on the test set, coloured by `by`.

    `layers` and `steps` are tables as `gradlab.load` returns them, with a column `by`. `score` is that of all runs; if
    they have none in common, the test loss is drawn. A line is one seed of one run; a run of five seeds or more (of two
    if more than four groups are compared) is its median in a band from the lowest to the highest. The legend counts
    the seeds, and those that became non-finite. Where no run has more than one layer, there are no profiles.
    """
    layers, steps = defined_backward(minibatch_rows(layers)), minibatch_rows(steps)
    has_depth = int(layers.layer.max()) > 0
    figure, panels = style.panels(1 + has_depth, 2, (12, 8.2 if has_depth else 4.6), title)
    *profile_panels, loss_panel, score_panel = panels
    legend, groups = Legend(), _groups(layers, by)
    if has_depth:
        _draw_profiles(profile_panels, layers, groups, by, legend)
    x, xlabel = _cost_axis(steps)
    costs = to_float64(steps.groupby("run", observed=True)[x].max())
    column = "train_loss" if is_measured(steps.train_loss).any() else "loss"
    style.panel_labels(loss_panel, "Training loss", xlabel, "mean data loss")
    _draw_losses(loss_panel, steps, x, column, groups, by, legend)
    style.panel_labels(
        score_panel,
        f"Test {score.label if score else 'loss'}",
        xlabel,
        score.axis_label if score else "mean data loss",
    )
    scored = steps.assign(test_score=score.series(steps, "test") if score else steps.test_loss)
    if score and score.is_fraction:
        scores = _draw_groups(score_panel, scored, x, "test_score", groups, by, legend)
        style.fraction_axis(score_panel, [y for _, y in scores])
    else:
        _draw_losses(score_panel, scored, x, "test_score", groups, by, legend)
    for panel in (loss_panel, score_panel):
        marks.optimizer_switches(panel, _switches(steps, x), legend)
        style.count_axis(panel, int(steps[x].min()), int(steps[x].max()))
        if x == "evaluations" and costs.max() > 5 * costs.min():
            panel.set_xscale("symlog", linthresh=100)
    counts = set(steps.groupby("run", observed=True).seed.nunique())
    common = max(counts) if len(counts) == 1 else 0
    entries = _entries(groups, layers, steps, by, common)
    style.draw_legend(figure, entries | legend.entries, f"{by}  ({common} seeds each)" if common > 1 else by)
    return figure


def _draw_profiles(
    panels: list[Axes], layers: pd.DataFrame, groups: dict[Any, Any], by: str, legend: Legend
) -> None:
    """Backward profiles at the first step in the first panel, at the last one in the second, on equal axes."""
    start, end = panels
    rows = {start: layers[layers.step == layers.step.min()], end: _last_rows(layers)}
    profiles: dict[Axes, list[Curve]] = {
        panel: _draw_groups(panel, frame, "layer", "log10_backward", groups, by, legend)
        for panel, frame in rows.items()
    }
    limits = style.shared_limits([marks.finite_range([y for _, y in profiles[start] + profiles[end]])])[0]
    for panel, when in ((start, "at the start"), (end, "after the last step")):
        style.panel_labels(
            panel, f"Backward signal {when}", "layer  (0 = input)", "‖∂loss/∂h‖ at a layer's output"
        )
        style.count_axis(panel, 0, int(layers.layer.max()))
        style.power_axis(panel, *limits)


def _draw_losses(
    panel: Axes, steps: pd.DataFrame, x: str, y: str, groups: dict[Any, Any], by: str, legend: Legend
) -> None:
    """Draw the losses in the column `y`; a run far above the others is marked and does not flatten them."""
    top = _largest_shown_loss(rows_with(steps, y), y)
    losses = _draw_groups(panel, steps, x, y, groups, by, legend, top)
    scales.amount_axis(panel, [(at[~(y > top)], y[~(y > top)]) for at, y in losses], legend)


def _cost_axis(steps: pd.DataFrame) -> tuple[str, str]:
    """The column and the label of the x axis: steps, or loss evaluations if the runs need unlike numbers per step."""
    rows = rows_with(steps, "evaluations")
    rows = rows[(rows.step > 0).to_numpy()]
    if len(np.unique(np.round(to_float64(rows.evaluations) / rows.step.to_numpy(), 3))) < 2:
        return "step", "training step"
    return "evaluations", "loss evaluations on a minibatch (a gradient counts as one)"


def _largest_shown_loss(steps: pd.DataFrame, column: str) -> float:
    first = to_float64(steps[column][(steps.step == steps.step.min()).to_numpy()])
    return LOSS_RANGE * float(min(first[np.isfinite(first) & (first > 0)], default=np.inf))


def _switches(steps: pd.DataFrame, x: str) -> np.ndarray:
    """The values of `x` at which the next optimizer begins in any run, shape (switches,)."""
    runs = [rows for _, rows in steps.groupby("run", observed=True)]
    switches = [rows[x][rows.step.isin(switch_steps(rows)).to_numpy()] for rows in runs]
    return np.unique(np.concatenate(switches))


def _groups(frame: pd.DataFrame, by: str) -> dict[Any, Any]:
    """Each value of `by` and its colour: numbers from dark to light, words in contrasting colours, null grey."""
    numbers = pd.api.types.is_numeric_dtype(frame[by]) and not pd.api.types.is_bool_dtype(frame[by])
    values = [value for value in frame[by].unique() if not pd.isna(value)]
    if numbers:
        values.sort()
    colours = style.group_colours(len(values), bool(numbers))
    groups = dict(zip(values, colours, strict=True))
    return groups | ({None: style.FAINT} if frame[by].isna().any() else {})


def _band_from(groups: dict[Any, Any]) -> int:
    """The number of seeds of a run from which on they are drawn as a band."""
    return marks.BAND_SEEDS if len(groups) <= MAX_LINE_GROUPS else 2


def _dash(groups: dict[Any, Any], value: Any, run: int) -> LineStyleType:
    """The dashes of the N-th run of a group: unlike for groups of one colour, and for every second word.

    Lines of two words that lie on each other are thus both visible.
    """
    same_colour = [other for other, colour in groups.items() if colour == groups[value]]
    repeats = same_colour.index(value)
    first = list(groups).index(value) % 2 + 2 * repeats if isinstance(value, str) else repeats
    return DASHES[(first + run) % len(DASHES)]


def _rows_of(frame: pd.DataFrame, by: str, value: Any) -> pd.DataFrame:
    return frame[(frame[by].isna() if value is None else frame[by] == value).to_numpy(dtype=bool)]


def _draw_groups(
    panel: Axes,
    frame: pd.DataFrame,
    x: str,
    y: str,
    groups: dict[Any, Any],
    by: str,
    legend: Legend,
    top: float = np.inf,
) -> list[Curve]:
    """Draw each run in its group's colour, values above `top` as marks; returns the curves, for the axis."""
    drawn = []
    for value, colour in groups.items():
        for i, (_, rows) in enumerate(_rows_of(frame, by, value).groupby("run", observed=True, sort=False)):
            curves = marks.curves(rows, x, y)
            if curves:
                marks.seed_lines(
                    panel, curves, colour, legend, _dash(groups, value, i), band_from=_band_from(groups)
                )
            above = [at[np.isfinite(values) & (values > top)] for at, values in curves]
            if any(map(len, above)):
                marks.edge_marks(panel, np.unique(np.concatenate(above)), "above", colour, legend)
            drawn += curves
    if not drawn:
        style.empty_note(panel, "not measured")
    return drawn


def _last_rows(layers: pd.DataFrame) -> pd.DataFrame:
    """The rows of the last step of each seed of each run: of a diverged one, the step at which it diverged."""
    last = layers.groupby(SEED_KEYS, observed=True).step.transform("max")
    return layers[(layers.step == last).to_numpy()]


def _entries(
    groups: dict[Any, Any], layers: pd.DataFrame, steps: pd.DataFrame, by: str, common: int
) -> dict[str, Line2D | Patch]:
    """One entry per group with its numbers of runs, seeds (unless all runs have `common` ones) and non-finite seeds."""
    entries: dict[str, Line2D | Patch] = {}
    for value, colour in groups.items():
        rows = _rows_of(steps, by, value)
        runs, seeds = rows.run.nunique(), rows.groupby(SEED_KEYS, observed=True).ngroups
        nonfinite = _nonfinite_seeds(rows, _rows_of(layers, by, value))
        name = "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
        counts = [f"{runs} runs"] if runs > 1 else []
        counts += [f"{seeds} seeds"] if seeds > runs and not common else []
        counts += [f"{nonfinite} of {seeds} non-finite" if seeds > 1 else "non-finite"] if nonfinite else []
        label = name + (f" ({', '.join(counts)})" if counts else "")
        entries[label] = Line2D([], [], color=colour, linewidth=3, linestyle=_dash(groups, value, 0))
    if max(steps.groupby("run", observed=True).seed.nunique(), default=0) >= _band_from(groups):
        entries["median and range over the seeds of a run"] = Patch(color=style.FAINT, alpha=0.3)
    return entries


def _nonfinite_seeds(steps: pd.DataFrame, layers: pd.DataFrame) -> int:
    """The number of seeds with a measured loss or backward signal that is not finite (an exact zero is finite)."""
    losses = steps[is_measured(steps.loss) & ~np.isfinite(to_float64(steps.loss))]
    signal = to_float64(layers.log10_backward)
    signals = layers[is_measured(layers.log10_backward) & (np.isnan(signal) | (signal == np.inf))]
    return len({*zip(losses.run, losses.seed, strict=True)} | {*zip(signals.run, signals.seed, strict=True)})
