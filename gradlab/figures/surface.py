"""The path of θ over the surface that it descends (model=point): loss over one coordinate, or contours over two."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from gradlab.analysis.selection import minibatch_rows
from gradlab.figures import style
from gradlab.recipe.errors import RecipeError
from gradlab.store.read import Run
from gradlab.theory import surfaces

RUN_TABLES = ("notes",)
BY_DEFAULT = False
MODELS = ("point",)
ANY_OF = ("theta_1", "theta_2")
MARGIN = 0.25  # of the path's extent, drawn around it
POINTS, LEVELS = 241, 22  # of the grid in each direction; contours
MOST_TICKS = 7  # at the colour bar
FAR = 1e6  # θ beyond it has diverged, and is left out of the limits


def run_figure(run: Run, title: str) -> Figure:
    """The paths of all seeds.

    Raises:
        RecipeError: the loss is none of gradlab's surfaces, or θ has more coordinates than can be drawn.
    """
    part = run.recipe["loss"]
    if part["name"] not in surfaces.NAMES:
        raise RecipeError(
            f"the surface of loss={part['name']} is not known; choose one of {', '.join(sorted(surfaces.NAMES))}"
        )
    paths = _paths(run)
    count = next(iter(paths.values())).shape[1]
    if count > 2:
        raise RecipeError(f"a surface is drawn over one or two coordinates of θ; this run has {count}")
    figure, (panel,) = style.panels(1, 1, (8, 6.2), title)
    draw = _over_a_line if count == 1 else _contours
    inside = {
        seed: path[np.isfinite(path).all(axis=1) & (np.abs(path) < FAR).all(axis=1)]
        for seed, path in paths.items()
    }
    known = [path for path in inside.values() if len(path)]
    if not known:
        style.empty_note(panel, "θ was never finite")
        return figure
    draw(figure, panel, surfaces.surface(part), known)
    style.draw_legend(figure, _entries(paths, inside))
    return figure


def _paths(run: Run) -> dict[int, np.ndarray]:
    """By seed θ at each measured step, (steps, coordinates)."""
    rows = minibatch_rows(run.notes)
    rows = rows[rows.measure.astype(str).str.startswith("theta_").to_numpy(dtype=bool)]
    paths = {}
    for _, of_seed in rows.groupby("seed"):
        table = of_seed.assign(measure=of_seed.measure.astype(str)).pivot(
            index="step", columns="measure", values="value"
        )
        paths[int(of_seed.seed.iloc[0])] = table.to_numpy(dtype=float, na_value=np.nan)
    return paths


def _extent(paths: list[np.ndarray], coordinate: int) -> np.ndarray:
    values = np.concatenate([path[:, coordinate] for path in paths])
    margin = max(MARGIN * float(np.ptp(values)), 0.1 * float(np.abs(values).max()), 0.1)
    return np.linspace(values.min() - margin, values.max() + margin, POINTS)


def _over_a_line(figure: Figure, panel: Axes, surface: surfaces.Surface, paths: list[np.ndarray]) -> None:
    x = _extent(paths, 0)
    panel.plot(x, surface(x[:, None]), color=style.FAINT, linewidth=1.6, label="_surface")
    for path in paths:
        _draw_path(panel, path[:, 0], surface(path))
    style.panel_labels(panel, "The path of θ over the loss", "θ", "loss")


def _contours(figure: Figure, panel: Axes, surface: surfaces.Surface, paths: list[np.ndarray]) -> None:
    x, y = _extent(paths, 0), _extent(paths, 1)
    loss = surface(np.stack(np.meshgrid(x, y), axis=-1))
    if loss.min() >= 0:  # losses of many decades: even steps of the logarithm
        low = max(float(np.quantile(loss[loss > 0], 0.002)), 1e-12) if (loss > 0).any() else 1e-12
        levels = np.geomspace(low, max(float(loss.max()), 10 * low), LEVELS)
        drawn = panel.contourf(
            x, y, np.maximum(loss, low), levels, norm=LogNorm(), cmap="Greys_r", alpha=0.75
        )
        bar = figure.colorbar(drawn, ax=panel, pad=0.015, aspect=28)
        powers = np.arange(np.ceil(np.log10(levels[0])), np.floor(np.log10(levels[-1])) + 1)
        powers = powers[:: -(-len(powers) // MOST_TICKS) or 1]
        bar.set_ticks(list(10.0**powers), labels=[style.power_text(float(power)) for power in powers])
        bar.minorticks_off()
    else:
        drawn = panel.contourf(x, y, loss, LEVELS, cmap="Greys_r", alpha=0.75)
        bar = figure.colorbar(drawn, ax=panel, pad=0.015, aspect=28)
    bar.set_label("loss", fontsize=10.5, color=style.INK)
    bar.outline.set_visible(False)
    for path in paths:
        _draw_path(panel, path[:, 0], path[:, 1])
    panel.grid(visible=False)
    style.panel_labels(panel, "The path of θ over the contours of the loss", "θ₁", "θ₂")


def _draw_path(panel: Axes, x: np.ndarray, y: np.ndarray) -> None:
    panel.plot(x, y, "-", color=style.COLOURS[0], linewidth=1.4, marker=".", markersize=4, label="_path")
    panel.plot(x[:1], y[:1], "o", color=style.FIRST, markersize=9, markeredgecolor="white", label="_first")
    panel.plot(x[-1:], y[-1:], "s", color=style.LAST, markersize=9, markeredgecolor="white", label="_last")


def _entries(paths: dict[int, np.ndarray], inside: dict[int, np.ndarray]) -> dict[str, Line2D | Patch]:
    entries: dict[str, Line2D | Patch] = {
        "start": Line2D([], [], marker="o", color=style.FIRST, linestyle=""),
        "end": Line2D([], [], marker="s", color=style.LAST, linestyle=""),
        "θ at a step": Line2D([], [], marker=".", color=style.COLOURS[0], linewidth=1.4),
    }
    left = sum(len(inside[seed]) < len(path) for seed, path in paths.items())
    if left:
        entries[f"{left} of {len(paths)} seeds left the figure (beyond 10⁶, or not finite)"] = Line2D(
            [], [], linestyle=""
        )
    return entries
