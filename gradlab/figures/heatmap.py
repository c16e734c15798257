"""The backward signal over training: step × layer, in decades relative to the last hidden layer.

White is flowing, blue vanishing, red exploding on the way back; a jump of the colour between two layers is a layer
that stops the signal.
"""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colorbar import Colorbar
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from gradlab.analysis.gain import first_defects
from gradlab.analysis.selection import defined_backward, minibatch_rows, pivot, rows_with, to_float64
from gradlab.analysis.training import switch_steps
from gradlab.figures import marks, style
from gradlab.measurements.log10 import is_not_finite
from gradlab.store.read import Run

RUN_TABLES = ("layers", "steps")
ANY_OF = ("log10_backward",)
LEAST = {"step": 2, "layer": 2}  # of one step, the profile says it
# a cell that is no finite number of decades has one of these colours, which are not on the scale from blue to red
NONFINITE_COLOURS = {
    "exactly zero": "#111111",
    "NaN": "#F0E442",
    "infinite": "#009E73",
    "finite, but the reference layer is not": "#B8B8B8",
}


def run_figure(run: Run, title: str) -> Figure:
    """The heatmap of a stored run."""
    return heatmap(run.layers, run.steps, title, run.is_foreign)


def heatmap(layers: pd.DataFrame, steps: pd.DataFrame, title: str = "", is_foreign: bool = False) -> Figure:
    """The colour is log10_backward(layer) − log10_backward(last hidden layer), centred at 0, of the first seed.

    `layers` and `steps` are the tables of one run. The strip above marks the steps on which the clip acted, the cross
    the first non-finite value.
    """
    seeds, last = np.unique(minibatch_rows(layers).seed), int(layers.layer.max())
    rows, steps = (
        table[(table.seed == seeds[0]).to_numpy()]
        for table in (minibatch_rows(layers), minibatch_rows(steps))
    )
    rows, clipped = rows_with(defined_backward(rows), "log10_backward"), _clipped_steps(steps)
    figure, (panel,) = style.panels(1, 1, (11, 5.6), title)
    seed = f", seed {seeds[0]} of {len(seeds)} seeds" if len(seeds) > 1 else ""
    reference = _reference(rows) if is_foreign else max(last - 1, 0)
    which = "last layer but one" if is_foreign else "last hidden layer"
    heading = f"Backward signal relative to the {which} ({reference}){seed}"
    panel.set_title(style.literal_text(heading), pad=24 if clipped.size else None, **style.TITLE)
    panel.set(xlabel="training step", ylabel=style.layer_label(last, is_foreign))
    layer_names = marks.layer_names(layers)
    entries: dict[str, Line2D | Patch] = {}
    if rows.empty:
        style.empty_note(panel, "the backward signal was not measured")
    else:
        entries |= draw_cells(figure, panel, rows, reference)
        _name_layers(panel, layer_names)
        entries |= _mark_first_nonfinite(panel, rows)
        marks.optimizer_switches(panel, switch_steps(steps), marks.Legend(entries))
    if clipped.size:
        entries |= _draw_strip(panel, clipped)
    style.draw_legend(figure, entries)
    return figure


def _name_layers(panel: Axes, names: dict[int, str]) -> None:
    """Write the names of layers at the y axis, where they say more than numbers."""
    shown = style.named_layers(names)
    if shown:
        panel.set_yticks(list(shown), labels=list(shown.values()))
        panel.tick_params(axis="y", labelsize=8.5)
        panel.set_ylabel("")


def _reference(rows: pd.DataFrame) -> int:
    """The last but one of the layers whose backward signal a log has, or the only one."""
    return int(np.unique(rows.layer)[-2:][0]) if len(rows) else 0


def draw_cells(figure: Figure, panel: Axes, rows: pd.DataFrame, reference: int) -> dict[str, Line2D | Patch]:
    """Draw one cell per step and layer, its colour the decades from the `reference` layer; returns legend entries.

    The entries name the colours of the cells that are no finite number of decades.
    """
    steps, depths, table = pivot(rows, "log10_backward", "step")
    has_row = np.isfinite(pivot(rows.assign(row=1.0), "row", "step")[2])
    with np.errstate(invalid="ignore"):  # inf − inf: such cells have a colour of NONFINITE_COLOURS
        relative = table - table[:, depths == reference]
    finite = np.isfinite(table) & np.isfinite(relative)
    codes = np.select(
        [table == -np.inf, np.isnan(table), table == np.inf, ~finite], [0.0, 1.0, 2.0, 3.0], np.nan
    )
    codes[~has_row] = np.nan
    limit = max(1.0, float(np.quantile(np.abs(relative[finite]), 0.995)) if finite.any() else 0.0)
    beyond = finite.any() and bool(np.abs(relative[finite]).max() > 1.001 * limit)
    edges = np.clip(_cell_edges(steps), *_limits(steps)), _cell_edges(depths)
    decades = np.ma.masked_invalid(np.where(finite, relative, np.nan)).T
    image = panel.pcolormesh(*edges, decades, cmap="RdBu_r", vmin=-limit, vmax=limit, rasterized=True)
    colours = ListedColormap(list(NONFINITE_COLOURS.values()))
    panel.pcolormesh(
        *edges, np.ma.masked_invalid(codes).T, cmap=colours, vmin=-0.5, vmax=3.5, rasterized=True
    )
    panel.grid(visible=False)
    for axis in (panel.xaxis, panel.yaxis):
        axis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1, steps=[1, 2, 2.5, 5, 10]))
    bar = figure.colorbar(image, ax=panel, extend="both" if beyond else "neither", pad=0.015, aspect=28)
    _set_ticks(bar, limit)
    return {
        name: Patch(color=colour)
        for code, (name, colour) in enumerate(NONFINITE_COLOURS.items())
        if (codes == code).any()
    }


def _set_ticks(bar: Colorbar, limit: float) -> None:
    """Label the colour bar with powers of ten, or with factors if it spans few decades."""
    if limit < 2:
        factors = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100]
        ticks = [float(np.log10(factor)) for factor in factors if abs(np.log10(factor)) <= limit * 1.001]
        bar.set_ticks(ticks, labels=[f"× {10**tick:.3g}" for tick in ticks])
    else:
        bar.locator = MaxNLocator(nbins=8, integer=True)
        bar.formatter = FuncFormatter(style.power_text)
        bar.update_ticks()
    bar.set_label("←  vanishing            exploding  →", fontsize=10.5, color=style.INK)
    bar.outline.set_visible(False)


def _cell_edges(centres: np.ndarray) -> np.ndarray:
    """The N + 1 borders of the cells of N steps or layers, half-way between them."""
    middles = (centres[1:] + centres[:-1]) / 2
    first = centres[0] - (middles[0] - centres[0] if len(middles) else 0.5)
    last = centres[-1] + (centres[-1] - middles[-1] if len(middles) else 0.5)
    edges: np.ndarray = np.r_[first, middles, last]
    return edges


def _limits(steps: np.ndarray) -> tuple[float, float]:
    """The first and the last step, between which the picture lies if there are two or more."""
    return (float(steps[0]), float(steps[-1])) if len(steps) > 1 else (-np.inf, np.inf)


def _mark_first_nonfinite(panel: Axes, rows: pd.DataFrame) -> dict[str, Line2D | Patch]:
    """Draw a line at the first step whose signal is not finite, and a cross at the layer that made it so."""
    signal = to_float64(rows.log10_backward)
    nonfinite = rows[is_not_finite(signal)]
    if nonfinite.empty:
        return {}
    step = int(nonfinite.step.min())
    seed = int(nonfinite.seed[(nonfinite.step == step).to_numpy()].iloc[0])
    (defect,) = first_defects(rows[((rows.step == step) & (rows.seed == seed)).to_numpy()])
    layer = defect.layer
    panel.axvline(step, color=style.INK, linewidth=1.2, linestyle=":")
    panel.plot([step], [layer], "X", color="white", markeredgecolor=style.INK, markersize=11, clip_on=False)
    mark = Line2D([], [], marker="X", color="white", markeredgecolor=style.INK, markersize=10, linestyle="")
    return {f"first non-finite: step {step}, layer {layer}": mark}


def _clipped_steps(steps: pd.DataFrame) -> np.ndarray:
    """The steps on which the clip acted, shape (clipped steps,)."""
    rows = rows_with(steps, "clipped")
    clipped: np.ndarray = rows.step.to_numpy()[to_float64(rows.clipped) > 0]
    return clipped


def _draw_strip(panel: Axes, clipped: np.ndarray) -> dict[str, Line2D | Patch]:
    """Draw a strip above the picture with a line for each clipped step; returns its legend entry."""
    strip = panel.inset_axes((0, 1.012, 1, 0.04), sharex=panel)
    strip.vlines(clipped, 0, 1, color=style.LAST, linewidth=max(0.6, min(3.0, 300 / len(clipped))))
    strip.set_ylim(0, 1)
    strip.set_yticks([])
    strip.tick_params(axis="x", length=0, labelbottom=False)
    strip.spines[:].set_visible(False)
    return {"the clip acted": Patch(color=style.LAST)}
