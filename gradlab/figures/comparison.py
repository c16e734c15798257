"""Several runs in one picture: backward signal at the start and the end, training loss, score on the test set.

With two crossed choices three maps of their combinations stand below; recurrent networks have a panel over time.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gradlab.analysis.score import Score
from gradlab.analysis.selection import defined_backward, is_measured, minibatch_rows, rows_with, to_float64
from gradlab.analysis.training import switch_steps
from gradlab.figures import factors, group_legend, marks, scales, spread, style
from gradlab.figures.groups import ALL, SEED_KEYS, Groups, GroupStyle, group_runs, rows_of, too_many
from gradlab.figures.marks import Curve, Legend

LAYERS = ("run", "seed", "step", "layer", "log10_backward")  # the columns that are drawn
LOSS_RANGE = 1000.0  # times the lowest loss at the start: a diverged run must not flatten the others


class Extras(NamedTuple):
    """What else a comparison may draw, and what it may not.

    times: the table `times` of recurrent networks, with a column `by`; None without any.
    maps: the outcomes of each combination of two choices; None where there are no two.
    relative_depth: whether a layer's place is its share of the depth, as for networks whose layers are of unlike kinds.
    no_losses: why the losses are not compared, "" if they are.
    foreign: whether there are runs that gradlab has not trained, whose logs may have few columns.
    """

    times: pd.DataFrame | None = None
    maps: factors.Maps | None = None
    relative_depth: bool = False
    no_losses: str = ""
    foreign: bool = False


def comparison(
    layers: pd.DataFrame,
    steps: pd.DataFrame,
    by: str,
    title: str = "",
    score: Score | None = None,
    extras: Extras = Extras(),  # noqa: B008 it is immutable
) -> Figure:
    """Backward profiles at the first and the last step, training loss and the score on the test set, coloured by `by`.

    `layers` and `steps` are tables as `gradlab.load` returns them, with a column `by`. `score` is that of all runs; if
    they have none in common, the test loss is drawn. A line is one seed of one run; a run of five seeds or more (of two
    if more than four groups are compared) is its median in a band from the lowest to the highest. Of more than four
    runs, a group is its median in a band from 10 % to 90 %, and the single runs are faint. The legend counts the runs,
    the seeds, and those that became non-finite. More groups than there are looks are drawn as one. Where no run has
    more than one layer, there are no profiles.
    """
    layers = defined_backward(minibatch_rows(layers))[[*LAYERS, *({by} - {*LAYERS})]]
    steps, heading = minibatch_rows(steps), by
    if too_many(layers[by]):
        heading = f"{by}: {layers[by].nunique()} groups, too many to tell apart; give --by"
        by = "group"
        layers, steps = (table.assign(group=ALL) for table in (layers, steps))
        extras = extras._replace(times=None if extras.times is None else extras.times.assign(group=ALL))
    of_layers = not layers.empty and set(layers.run) == set(steps.run)
    # a log may have no layers
    groups, legend = group_runs(layers if of_layers else steps, by), Legend()
    rows = _panel_rows(layers, steps, score, extras)
    figure, panels = style.panel_rows(rows, title)
    if "start" in panels:
        _draw_profiles(panels["start"], panels["end"], layers, groups, legend, extras)
    if extras.times is not None:
        _draw_lags(panels["lags"], extras.times, groups, legend)
    _draw_training(panels, steps, groups, legend, score, extras)
    if extras.maps:
        legend.entries |= factors.draw_maps(figure, [panels[name] for name in factors.PANELS], extras.maps)
    marks.separate_edges(figure)
    counts = set(steps.groupby("run", observed=True).seed.nunique())
    common = max(counts) if len(counts) == 1 else 0
    entries = group_legend.entries(groups, layers, steps, common)
    heading += f"  ({common} seeds each)" if common > 1 else ""
    style.draw_legend(figure, entries, heading, legend.entries)
    return figure


def _panel_rows(
    layers: pd.DataFrame, steps: pd.DataFrame, score: Score | None, extras: Extras
) -> list[list[str]]:
    """The names of the panels, row by row; those of which foreign runs have recorded nothing are left out."""
    has_profiles = not layers.empty and int(layers.layer.max()) > 0
    if extras.foreign:
        has_profiles &= bool(is_measured(layers.log10_backward).any())
    profiles = ["start", "end"] if has_profiles else []
    lags = ["lags"] if extras.times is not None else []
    maps = list(factors.PANELS) if extras.maps else []
    has_score = not extras.foreign or score is not None or bool(is_measured(steps.test_loss).any())
    return [row for row in (profiles + lags, ["loss", "score"][: 1 + has_score], maps) if row]


def _draw_profiles(
    start: Axes, end: Axes, layers: pd.DataFrame, groups: Groups, legend: Legend, extras: Extras
) -> None:
    """Backward profiles at the first step in one panel, at the last one in the other, on equal axes."""
    depth = layers.groupby("run", observed=True).layer.transform("max")
    layers = layers[(depth > 0).to_numpy()]  # a surface has no profile
    depth = depth[depth > 0]
    depths = depth.groupby(layers[groups.by], observed=True, dropna=False).nunique()
    # a median needs the same place in each run
    relative = extras.relative_depth or (groups.many and bool((depths > 1).any()))
    if relative:
        layers = layers.assign(layer=layers.layer / depth)
    rows = {start: layers[layers.step == layers.step.min()], end: _last_rows(layers)}
    profiles: dict[Axes, list[Curve]] = {
        panel: _draw_groups(panel, frame, "layer", "log10_backward", groups, legend)
        for panel, frame in rows.items()
    }
    limits = style.shared_limits([marks.finite_range([y for _, y in profiles[start] + profiles[end]])])[0]
    first, last = ("first", "last") if extras.foreign else ("input", "output")
    xlabel = f"relative depth  (0 = {first}, 1 = {last})" if relative else f"layer  (0 = {first})"
    for panel, when in ((start, "at the start"), (end, "after the last step")):
        style.panel_labels(panel, f"Backward signal {when}", xlabel, "‖∂loss/∂h‖ at a layer's output")
        if relative:
            panel.set_xlim(-0.03, 1.03)
        else:
            style.count_axis(panel, 0, int(layers.layer.max()))
        style.power_axis(panel, *limits)


def _draw_lags(panel: Axes, times: pd.DataFrame, groups: Groups, legend: Legend) -> None:
    """The backward signal of the last recurrent layer against the time lag, after the last step."""
    rows = _last_rows(minibatch_rows(times))
    rows = rows[(rows.layer == rows.groupby("run", observed=True).layer.transform("max")).to_numpy()]
    lagged = rows.assign(lag=rows.groupby("run", observed=True).time.transform("max") - rows.time)
    drawn = _draw_groups(panel, lagged, "lag", "log10_backward", groups, legend)
    xlabel = "time lag, T − t, after the last step"
    style.panel_labels(panel, "Backward signal through time →", xlabel, "‖∂loss/∂h‖ of the hidden state")
    style.power_axis(panel, *style.shared_limits([marks.finite_range([y for _, y in drawn])])[0])
    style.count_axis(panel, 0, int(lagged.lag.max()))


def _draw_training(
    panels: dict[str, Axes],
    steps: pd.DataFrame,
    groups: Groups,
    legend: Legend,
    score: Score | None,
    extras: Extras,
) -> None:
    """Training loss, and the test score or, where the runs have none in common, the test loss.

    Of foreign runs only minibatch losses are known; so these are drawn of all runs.
    """
    x, xlabel = _cost_axis(steps)
    costs = to_float64(steps.groupby("run", observed=True)[x].max())
    column = "train_loss" if is_measured(steps.train_loss).any() and not extras.foreign else "loss"
    heading = "Minibatch loss" if extras.foreign else "Training loss"
    style.panel_labels(panels["loss"], heading, xlabel, "mean data loss")
    _draw_losses(panels["loss"], steps, x, column, groups, legend, extras.no_losses)
    if "score" in panels:
        _draw_score(panels["score"], steps, (x, xlabel), groups, legend, score, extras)
    for panel in (panels[name] for name in ("loss", "score") if name in panels):
        marks.optimizer_switches(panel, _switches(steps, x), legend)
        style.count_axis(panel, int(steps[x].min()), int(steps[x].max()))
        if x == "evaluations" and costs.max() > 5 * costs.min():
            panel.set_xscale("symlog", linthresh=100)


def _draw_score(
    panel: Axes,
    steps: pd.DataFrame,
    cost_axis: tuple[str, str],
    groups: Groups,
    legend: Legend,
    score: Score | None,
    extras: Extras,
) -> None:
    """The test score, or the test loss where the runs have no score in common."""
    x, xlabel = cost_axis
    heading, ylabel = (score.label, score.axis_label) if score else ("loss", "mean data loss")
    data_set = "Evaluation" if extras.foreign else "Test"
    style.panel_labels(panel, f"{data_set} {heading}", xlabel, ylabel)
    scored = steps.assign(test_score=score.series(steps, "test") if score else steps.test_loss)
    if score and score.is_fraction:
        scores = _draw_groups(panel, scored, x, "test_score", groups, legend)
        style.fraction_axis(panel, [y for _, y in scores])
    else:
        _draw_losses(panel, scored, x, "test_score", groups, legend, extras.no_losses)


def _draw_losses(
    panel: Axes, steps: pd.DataFrame, x: str, y: str, groups: Groups, legend: Legend, no_losses: str
) -> None:
    """Draw the losses in the column `y`; a run far above the others is marked and does not flatten them."""
    if no_losses:
        style.empty_note(panel, no_losses)
        panel.set_yticks([])
        return
    top = _largest_shown_loss(rows_with(steps, y), y)
    losses = _draw_groups(panel, steps, x, y, groups, legend, top)
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
    phase = to_float64(steps.phase)
    if not (phase > 0).any():
        return np.array([])
    runs = [rows for _, rows in steps.groupby("run", observed=True)]
    switches = [rows[x][rows.step.isin(switch_steps(rows)).to_numpy()] for rows in runs]
    return np.unique(np.concatenate(switches))


def _draw_groups(
    panel: Axes, frame: pd.DataFrame, x: str, y: str, groups: Groups, legend: Legend, top: float = np.inf
) -> list[Curve]:
    """Draw each group in its look, values above `top` as marks; returns the curves, for the axis."""
    drawn: list[Curve] = []
    for value, look in groups.styles.items():
        rows = rows_of(frame, groups.by, value)
        if groups.many:
            curves = marks.curves(rows, x, y, ("run", "seed"))
            if curves:
                spread.run_spread(panel, curves, look.colour, legend, look.dashes(), len(groups.styles))
        else:
            curves = _draw_runs(panel, rows, x, y, look, groups.band_from, legend)
        above = [at[np.isfinite(values) & (values > top)] for at, values in curves]
        if any(map(len, above)):
            marks.edge_marks(panel, np.unique(np.concatenate(above)), "above", look.colour, legend)
        drawn += curves
    if not drawn:
        style.empty_note(panel, "not measured")
    return drawn


def _draw_runs(
    panel: Axes, rows: pd.DataFrame, x: str, y: str, look: GroupStyle, band_from: int, legend: Legend
) -> list[Curve]:
    """Draw the seeds of each run of a group, as lines or as a band."""
    drawn: list[Curve] = []
    for i, (_, own) in enumerate(rows.groupby("run", observed=True, sort=False)):
        curves = marks.curves(own, x, y)
        if curves:
            marks.seed_lines(panel, curves, look.colour, legend, look.dashes(i), band_from=band_from)
        drawn += curves
    return drawn


def _last_rows(layers: pd.DataFrame) -> pd.DataFrame:
    """The rows of the last step of each seed of each run: of a diverged one, the step at which it diverged."""
    last = layers.groupby(SEED_KEYS, observed=True).step.transform("max")
    return layers[(layers.step == last).to_numpy()]
