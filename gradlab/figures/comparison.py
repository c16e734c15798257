"""Several runs in one picture: their backward profiles at the start and the end, and what they learned."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from gradlab.analysis.score import Score
from gradlab.analysis.selection import is_measured, minibatch_rows, rows_with, to_float64
from gradlab.analysis.training import switch_steps
from gradlab.figures import marks, scales, style
from gradlab.figures.marks import Curve, Legend

STYLES = ("-", "--", ":", "-.")  # runs that share a colour
WHO = ("run", "seed")
CROWD = 4  # groups beyond which the lines of single seeds would be a tangle
FAR = 1000.0  # times the least loss at the start: one that is lost must not flatten the others


def comparison(
    layers: pd.DataFrame, steps: pd.DataFrame, by: str, title: str = "", score: Score | None = None
) -> Figure:
    """Backward profiles at the first and the last step, training loss and the test part's score, coloured by `by`.

    `score` is that of all runs; where they have none in common, the test loss is drawn.

    Frames of `gradlab.load`, with a column `by`. A line is one seed of one run; a run of five seeds or more, of
    two where many are compared, is its median in a band from least to most. The legend counts seeds, and those
    that left the finite numbers.
    """
    layers, steps = minibatch_rows(layers), minibatch_rows(steps)
    figure, (start, end, loss, judged) = style.panels(2, 2, (12, 8.2), title)
    legend, groups = Legend(), _groups(layers, by)
    ends = _ends(layers)
    frames = {start: layers[layers.step == layers.step.min()], end: ends}
    found: dict[Axes, list[Curve]] = {
        panel: _draw(panel, frame, "layer", "log10_backward", groups, by, legend)
        for panel, frame in frames.items()
    }
    limits = style.shared_limits([marks.finite_range([y for _, y in found[start] + found[end]])])[0]
    for panel, when in ((start, "at the start"), (end, "after the last step")):
        style.panel_labels(
            panel, f"Backward signal {when}", "layer  (0 input)", "‖∂loss/∂h‖ at a layer's output"
        )
        style.count_axis(panel, 0, int(layers.layer.max()))
        style.power_axis(panel, *limits)
    x, what = _cost(steps)
    spent = to_float64(steps.groupby("run", observed=True)[x].max())
    column = "train_loss" if is_measured(steps.train_loss).any() else "loss"
    style.panel_labels(loss, "Training loss", what, "mean data loss")
    top = _top(rows_with(steps, column), column)
    losses = _draw(loss, steps, x, column, groups, by, legend, top)
    scales.amount_axis(loss, [(at[~(y > top)], y[~(y > top)]) for at, y in losses], legend)
    style.panel_labels(
        judged,
        f"Test {score.label if score else 'loss'}",
        what,
        score.axis_label if score else "mean data loss",
    )
    told = steps.assign(test_score=score.series(steps, "test") if score else steps.test_loss)
    tests = _draw(judged, told, x, "test_score", groups, by, legend)
    if score and score.is_fraction:
        style.fraction_axis(judged, [y for _, y in tests])
    for panel in (loss, judged):
        marks.optimizer_switches(panel, _switches(steps, x), legend)
        style.count_axis(panel, int(steps[x].min()), int(steps[x].max()))
        if x == "evaluations" and spent.max() > 5 * spent.min():
            panel.set_xscale("symlog", linthresh=100)
    each = set(steps.groupby("run", observed=True).seed.nunique())
    same = max(each) if len(each) == 1 else 0
    entries = _entries(groups, layers, steps, by, same)
    style.draw_legend(figure, entries | legend.entries, f"{by}  ({same} seeds each)" if same > 1 else by)
    return figure


def _cost(steps: pd.DataFrame) -> tuple[str, str]:
    """What training is counted in: steps, or losses evaluated where a step of one run takes more than of another."""
    rows = rows_with(steps, "evaluations")
    rows = rows[(rows.step > 0).to_numpy()]
    if len(np.unique(np.round(to_float64(rows.evaluations) / rows.step.to_numpy(), 3))) < 2:
        return "step", "training step"
    return "evaluations", "losses of a batch evaluated (a gradient counts as one)"


def _top(steps: pd.DataFrame, column: str) -> float:
    """The largest loss that is shown."""
    first = to_float64(steps[column][(steps.step == steps.step.min()).to_numpy()])
    return FAR * float(min(first[np.isfinite(first) & (first > 0)], default=np.inf))


def _switches(steps: pd.DataFrame, x: str) -> np.ndarray:
    """Where in any run another optimizer took over."""
    runs = [rows for _, rows in steps.groupby("run", observed=True)]
    return np.unique(
        np.concatenate([rows[x][rows.step.isin(switch_steps(rows)).to_numpy()] for rows in runs])
    )


def _groups(frame: pd.DataFrame, by: str) -> dict[Any, Any]:
    """Each value of `by` and its colour: numbers from dark to light, words in contrast."""
    numbers = pd.api.types.is_numeric_dtype(frame[by]) and not pd.api.types.is_bool_dtype(frame[by])
    found = [value for value in frame[by].unique() if not pd.isna(value)]
    if numbers:
        found.sort()
    colours = style.group_colours(len(found), bool(numbers))
    groups = dict(zip(found, colours, strict=True))
    return groups | ({None: style.FAINT} if frame[by].isna().any() else {})


def _apart(groups: dict[Any, Any]) -> int:
    """Seeds of a run from which on they are a band."""
    return marks.BAND_SEEDS if len(groups) <= CROWD else 2


def _dash(groups: dict[Any, Any], value: Any, run: int) -> Any:
    """Dashes tell apart lines of one colour; every second word is dashed, to be seen on the one before."""
    same = [other for other, colour in groups.items() if colour == groups[value]]
    again = same.index(value)
    first = list(groups).index(value) % 2 + 2 * again if isinstance(value, str) else again
    return STYLES[(first + run) % len(STYLES)]


def _of(frame: pd.DataFrame, by: str, value: Any) -> pd.DataFrame:
    return frame[(frame[by].isna() if value is None else frame[by] == value).to_numpy(dtype=bool)]


def _draw(
    panel: Axes,
    frame: pd.DataFrame,
    x: str,
    y: str,
    groups: dict[Any, Any],
    by: str,
    legend: Legend,
    top: float = np.inf,
) -> list[Curve]:
    """Each run in its group's colour, with marks for what is above `top`; what was drawn, for the axis."""
    found = []
    for value, colour in groups.items():
        for i, (_, rows) in enumerate(_of(frame, by, value).groupby("run", observed=True, sort=False)):
            curves = marks.curves(rows, x, y)
            if curves:
                marks.seed_lines(
                    panel, curves, colour, legend, _dash(groups, value, i), band_from=_apart(groups)
                )
            above = [at[np.isfinite(each) & (each > top)] for at, each in curves]
            if any(map(len, above)):
                marks.edge_marks(panel, np.unique(np.concatenate(above)), "above", colour, legend)
            found += curves
    if not found:
        style.empty_note(panel, "not measured")
    return found


def _ends(layers: pd.DataFrame) -> pd.DataFrame:
    """The last step of each seed of each run: where one diverged, the step at which it did."""
    last = layers.groupby(list(WHO), observed=True).step.transform("max")
    return layers[(layers.step == last).to_numpy()]


def _entries(
    groups: dict, layers: pd.DataFrame, steps: pd.DataFrame, by: str, same: int
) -> dict[str, Line2D | Patch]:
    """A value's name, with its runs, its seeds where not all have the `same`, and how many were not finite."""
    entries: dict[str, Line2D | Patch] = {}
    for value, colour in groups.items():
        own = _of(steps, by, value)
        seeds, gone = own.groupby(list(WHO), observed=True).ngroups, _lost(own, _of(layers, by, value))
        runs = own.run.nunique()
        name = "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
        told = [f"{runs} runs"] if runs > 1 else []
        told += [f"{seeds} seeds"] if seeds > runs and not same else []
        told += [f"{gone} of {seeds} not finite" if seeds > 1 else "not finite"] if gone else []
        entries[name + (f" ({', '.join(told)})" if told else "")] = Line2D(
            [], [], color=colour, linewidth=3, linestyle=_dash(groups, value, 0)
        )
    if max(steps.groupby("run", observed=True).seed.nunique(), default=0) >= _apart(groups):
        entries["median and range of a run's seeds"] = Patch(color=style.FAINT, alpha=0.3)
    return entries


def _lost(steps: pd.DataFrame, layers: pd.DataFrame) -> int:
    """Seeds with a loss or a backward signal that was measured and is not finite (a true zero is)."""
    lost = steps[is_measured(steps.loss) & ~np.isfinite(to_float64(steps.loss))]
    signal = to_float64(layers.log10_backward)
    broken = layers[is_measured(layers.log10_backward) & (np.isnan(signal) | (signal == np.inf))]
    return len({*zip(lost.run, lost.seed, strict=True)} | {*zip(broken.run, broken.seed, strict=True)})
