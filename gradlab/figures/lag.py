"""The norm of the backward signal against time lag, its exponent, and the bound of Pascanu et al. (2013).

‖∂loss/∂h_{T−k}‖ ≤ (σ_max·max φ′)^k·‖∂loss/∂h_T‖ for h_t = φ(W h_{t−1} + …) and a loss at the last time step.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from gradlab.analysis.selection import minibatch_rows, to_float64
from gradlab.figures import marks, style
from gradlab.figures.marks import Curve, Legend
from gradlab.figures.profile import drawn_steps
from gradlab.store.read import Run
from gradlab.theory import activations

RUN_TABLES = ("times",)
BY_DEFAULT = False
COLUMNS = ("log10_backward",)
REACH = 50.0  # max |φ′| is looked for over |x| up to it
SINGULAR = "largest_singular_value"  # of the one matrix of a plain recurrent layer


class Exponent(NamedTuple):
    """The straight line through log10 of a norm against lag: decades at lag 0, and decades per time step."""

    start: float
    slope: float


def run_figure(run: Run, title: str) -> Figure:
    """The last recurrent layer at the first and the last step that was measured."""
    rows = minibatch_rows(run.times)
    layer = int(rows.layer.max())
    rows = rows[(rows.layer == layer).to_numpy()]
    rows = rows.assign(lag=rows.groupby("seed").time.transform("max") - rows.time)
    steps = drawn_steps(rows)
    steps = [steps[0], steps[-1]] if len(steps) > 1 else steps
    figure, axes = style.panels(1, len(steps), (max(8, 6.3 * len(steps)), 4.9), title)
    legend = Legend()
    bounds = {step: _bound(run, layer, step) for step in steps}
    ranges = [
        _draw(axis, rows[(rows.step == step).to_numpy()], step, bounds[step], colour, legend)
        for axis, step, colour in zip(axes, steps, style.step_colours(len(steps)), strict=True)
    ]
    both = marks.finite_range([np.array(limits) for limits in ranges if limits])
    (limits,) = style.shared_limits([both])
    for axis in axes:
        style.power_axis(axis, *limits)
        style.count_axis(axis, 0, max(int(rows.lag.max()), 1))
    marks.separate_edges(figure)
    style.draw_legend(figure, _entries(bounds) | legend.entries)
    return figure


def exponent(curves: list[Curve]) -> Exponent | None:
    """The least-squares line through all finite points of some curves; None of fewer than two lags."""
    x, y = (np.concatenate([curve[i] for curve in curves] or [np.empty(0)]) for i in (0, 1))
    x, y = x[np.isfinite(y)], y[np.isfinite(y)]
    if len(np.unique(x)) < 2:
        return None
    slope, start = np.polyfit(x, y, 1)
    return Exponent(float(start), float(slope))


def _draw(
    axis: Axes, rows: pd.DataFrame, step: int, bound: float | None, colour: str, legend: Legend
) -> tuple[float, float] | None:
    """Draw the norms of a step, their line and their bound; returns the range of the norms and of the line."""
    curves = marks.curves(rows, "lag", "log10_backward")
    marks.seed_lines(axis, curves, colour, legend)
    heading = f"Step {step}"
    drawn = [y for _, y in curves]
    lags = np.array([0.0, float(rows.lag.max())])
    if line := exponent(curves):
        axis.plot(
            lags, line.start + line.slope * lags, ":", color=style.INK, linewidth=1.6, label="_exponent"
        )
        heading += f": × {10**line.slope:.3g} per time step"
        drawn.append(line.start + line.slope * lags)
    starts = [y[x == 0] for x, y in curves]
    first = np.concatenate([y[np.isfinite(y)] for y in starts] or [np.empty(0)])
    if bound is not None and bound > 0 and first.size:
        heading += f", at most × {bound:.3g}"
        limit = first.max() + np.log10(bound) * lags
        axis.plot(lags, limit, "--", color=style.THEORY, linewidth=1.6, label="_bound")
    style.panel_labels(axis, heading, "time lag, T − t", "‖∂loss/∂h‖ of the hidden state")
    return marks.finite_range(drawn)


def _bound(run: Run, layer: int, step: int) -> float | None:
    """σ_max·max |φ′| of a plain recurrent layer at a step, the largest of all seeds; None where it is not known."""
    recipe = run.recipe
    if (recipe.get("model") or {}).get("name") != "rnn" or recipe["activation"][
        "name"
    ] not in activations.NAMES:
        return None
    if recipe["normalization"]["name"] != "none" or recipe["residual"]["name"] != "none":
        return None
    notes = run.notes
    notes = notes[
        ((notes.measure == SINGULAR) & (notes.layer == layer) & (notes.step == step)).to_numpy(dtype=bool)
    ]
    values = to_float64(notes.value)
    values = values[np.isfinite(values)]
    if not values.size:
        return None
    x = np.linspace(-REACH, REACH, 20001)
    slope = np.abs(activations.activation(recipe["activation"]).slope(x))
    return float(values.max() * slope.max())


def _entries(bounds: dict[int, float | None]) -> dict[str, Line2D | Patch]:
    entries: dict[str, Line2D | Patch] = {
        "straight line through the norms": Line2D([], [], color=style.INK, linestyle=":", linewidth=1.6)
    }
    if any(bound is not None for bound in bounds.values()):
        words = "bound (σ_max·max φ′)^lag of Pascanu et al., for a loss at the last time step"
        entries[words] = Line2D([], [], color=style.THEORY, linestyle="--", linewidth=1.6)
    return entries
