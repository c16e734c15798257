"""The activation φ and its slope φ′ where this network uses them, E φ′²(q), and its product over depth."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.typing import LineStyleType

from gradlab.analysis.selection import defined_backward, minibatch_rows, pivot
from gradlab.figures import marks, style
from gradlab.figures.marks import Legend
from gradlab.recipe.errors import RecipeError
from gradlab.store.read import Run
from gradlab.theory.activations import NAMES, Activation, activation
from gradlab.theory.forward import weight_variance
from gradlab.theory.slopes import Slopes, hidden_slopes, mean_square_slope, plain_mlp

RUN_TABLES = ("layers",)
BY_DEFAULT = False
COLUMNS = ("log10_forward", "log10_backward")
POINTS = 401
SPREAD = 3.0  # standard deviations of the pre-activations that the panel of φ shows
Q = np.logspace(-3, 3, 61)
PHI, SLOPE = style.COLOURS[0], style.COLOURS[1]


def run_figure(run: Run, title: str) -> Figure:
    """φ and φ′; E φ′²(q) with the layers' own q; of a plain mlp the product over depth beside the backward signal.

    Raises:
        RecipeError: the run has no activation that is gradlab's own and has one slope per unit.
    """
    part = run.recipe.get("activation") or {"name": "unknown"}
    used = run.status.get("used")
    if (used is not None and "activation" not in used) or part["name"] not in NAMES - {"crelu"}:
        raise RecipeError(
            f"{run.folder} has no figure 'activation': its network has no activation φ: R → R of gradlab's"
        )
    act, legend = activation(part), Legend()
    known = not run.is_foreign and plain_mlp(run.recipe)
    forward = _profile(run, "log10_forward") if known else None
    slopes = None
    if forward is not None and np.isfinite(forward[1][:-2]).any() and weight_variance_known(run):
        slopes = hidden_slopes(run.recipe, run.status["data"], forward[1][:-2])
    backward = _profile(run, "log10_backward") if slopes else None
    figure, axes = style.panels(1, 3 if backward else 2, (15 if backward else 11, 4.9), title)
    _draw_function(axes[0], act, part["name"], slopes, legend)
    _draw_factor(axes[1], act, slopes, legend)
    if slopes and backward:
        _draw_product(axes[2], slopes, backward, legend)
    marks.separate_edges(figure)
    style.draw_legend(figure, legend.entries)
    return figure


def weight_variance_known(run: Run) -> bool:
    """Whether the kernels are random, of a variance that follows from the recipe."""
    width = run.recipe["width"]
    fixed = {"constant", "zeros", "identity", "lsuv", "looks_linear", "delta_orthogonal"}
    return (
        run.recipe["initializer"]["name"] not in fixed
        and weight_variance(run.recipe["initializer"], width, width) > 0
    )


def _profile(run: Run, column: str) -> tuple[np.ndarray, np.ndarray] | None:
    """The layers and the mean over seeds at the first step, (layers,); None where it was not measured."""
    rows = defined_backward(minibatch_rows(run.layers))
    rows = rows[(rows.step == 0).to_numpy() & rows[column].notna().to_numpy(dtype=bool)]
    if rows.empty:
        return None
    _, layers, values = pivot(rows, column)
    if not np.array_equal(layers, np.arange(run.recipe["depth"] + 2)):
        return None
    return layers, np.mean(values, axis=0)


def _draw_function(panel: Axes, act: Activation, name: str, slopes: Slopes | None, legend: Legend) -> None:
    """Draw φ and φ′ over the pre-activations that occur, whose density is shaded."""
    finite = slopes.q[np.isfinite(slopes.q)] if slopes else np.empty(0)
    deviation = float(np.sqrt(np.median(finite))) if finite.size else 1.0
    reach = float(np.clip(SPREAD * deviation, 2.0, 20.0))
    x = np.linspace(-reach, reach, POINTS)
    looks: tuple[tuple[np.ndarray, str, str, LineStyleType], ...] = (
        (act.phi(x), PHI, "φ", "-"),
        (act.slope(x), SLOPE, "φ′", "--"),
    )
    for values, colour, label, dashes in looks:
        panel.plot(x, values, linestyle=dashes, color=colour, linewidth=2.2, label=f"_{label}")
        legend.entries[label] = Line2D([], [], color=colour, linewidth=2.2, linestyle=dashes)
    if finite.size:
        low, high = panel.get_ylim()
        density = np.exp(-0.5 * (x / deviation) ** 2)
        panel.fill_between(
            x, low, low + 0.25 * (high - low) * density, color=style.FAINT, alpha=0.3, linewidth=0
        )
        panel.set_ylim(low, high)
        legend.entries["density of the pre-activations z, step 0"] = Patch(color=style.FAINT, alpha=0.3)
    style.panel_labels(panel, f"{name}: φ and its slope φ′", "pre-activation z", "φ(z), φ′(z)")


def _draw_factor(panel: Axes, act: Activation, slopes: Slopes | None, legend: Legend) -> None:
    """Draw E φ′² against q, and the layers of the network on it."""
    panel.plot(Q, mean_square_slope(act, Q), color=style.INK, linewidth=2, label="_factor")
    panel.set_xscale("log")
    if slopes:
        finite = np.flatnonzero(np.isfinite(slopes.q))
        q = slopes.q[finite]
        panel.scatter(
            q, mean_square_slope(act, q), c=finite + 1, cmap="viridis", s=34, zorder=4, label="_layers"
        )
        words = "hidden layers at step 0, from dark (first) to light (last)"
        legend.entries[words] = Line2D([], [], marker="o", color=style.FAINT, linestyle="")
    low, high = panel.get_ylim()
    panel.set_ylim(min(0.0, low), 1.05 * high)
    style.panel_labels(
        panel, "Mean squared slope", "variance q of the pre-activation", "E φ′(z)², z ~ N(0, q)"
    )


def _draw_product(
    panel: Axes, slopes: Slopes, backward: tuple[np.ndarray, np.ndarray], legend: Legend
) -> None:
    """Draw ∏ √(σ_w²·E φ′²) from the last hidden layer back, beside the measured backward signal."""
    layers, measured = backward
    with np.errstate(divide="ignore", invalid="ignore"):
        steps = 0.5 * np.log10(slopes.factor)  # of hidden layers 1…L
        product = np.append(np.cumsum(steps[:0:-1])[::-1], 0.0)  # relative to layer L, of layers 1…L
        relative = (measured - measured[-2])[1:-1]
    marks.line(panel, layers[1:-1], relative, style.FIRST, legend)
    panel.plot(layers[1:-1], product, "--", color=style.LAST, linewidth=2, label="_product")
    legend.entries["backward signal, measured at step 0"] = Line2D([], [], color=style.FIRST, linewidth=2.5)
    legend.entries["product of √(σ_w²·E φ′²)"] = Line2D([], [], color=style.LAST, linestyle="--", linewidth=2)
    (limits,) = style.shared_limits([marks.finite_range([product, relative])])
    style.power_axis(panel, *limits)
    style.count_axis(panel, 1, max(len(layers) - 2, 1))
    style.panel_labels(panel, "Product over depth", "hidden layer", "relative to the last hidden layer")
