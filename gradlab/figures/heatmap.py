"""The backward signal over training: step × layer, in decades relative to the last hidden layer.

White is flow, blue vanishing, red exploding on the way back; a cliff between two layers is a layer that cuts.
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
from gradlab.analysis.selection import minibatch_rows, pivot, rows_with, to_float64
from gradlab.analysis.training import switch_steps
from gradlab.figures import marks, style

# What is no number of decades has a colour of its own, none of them on the scale from blue to red.
ODD = {
    "exactly zero": "#111111",
    "NaN": "#F0E442",
    "infinite": "#009E73",
    "finite, but where it is compared with is not": "#B8B8B8",
}


def heatmap(layers: pd.DataFrame, steps: pd.DataFrame, title: str = "") -> Figure:
    """Colour is log10_backward(layer) − log10_backward(last hidden), centred at 0; of the first seed.

    The strip above marks the steps on which the clip acted, the cross the first value that is not finite.
    """
    seeds, last = np.unique(minibatch_rows(layers).seed), int(layers.layer.max())
    rows, steps = (
        table[(table.seed == seeds[0]).to_numpy()]
        for table in (minibatch_rows(layers), minibatch_rows(steps))
    )
    rows, acted = rows_with(rows, "log10_backward"), _acted(steps)
    figure, (panel,) = style.panels(1, 1, (11, 5.6), title)
    shown = f", seed {seeds[0]} of {len(seeds)} seeds" if len(seeds) > 1 else ""
    name = f"Backward signal relative to the last hidden layer ({last - 1}){shown}"
    panel.set_title(style.literal_text(name), pad=24 if acted.size else None, **style.TITLE)
    panel.set(xlabel="training step", ylabel=f"layer  (0 input, {last} output)")
    entries: dict[str, Line2D | Patch] = {}
    if rows.empty:
        style.empty_note(panel, "the backward signal was not measured")
    else:
        entries |= cells(figure, panel, rows, max(last - 1, 0))
        entries |= _first_bad(panel, rows)
        taken = marks.Legend(entries)
        marks.optimizer_switches(panel, switch_steps(steps), taken)
    if acted.size:
        entries |= _strip(panel, acted)
    style.draw_legend(figure, entries)
    return figure


def cells(figure: Figure, panel: Axes, rows: pd.DataFrame, reference: int) -> dict[str, Line2D | Patch]:
    """The picture itself: decades from the reference layer, blue to red, and what has none in colours of their own."""
    steps, depths, table = pivot(rows, "log10_backward", "step")
    there = np.isfinite(pivot(rows.assign(there=1.0), "there", "step")[2])
    with np.errstate(invalid="ignore"):  # inf − inf: such cells are coloured by what they are
        relative = table - table[:, depths == reference]
    finite = np.isfinite(table) & np.isfinite(relative)
    codes = np.select(
        [table == -np.inf, np.isnan(table), table == np.inf, ~finite], [0.0, 1.0, 2.0, 3.0], np.nan
    )
    codes[~there] = np.nan
    limit = max(1.0, float(np.quantile(np.abs(relative[finite]), 0.995)) if finite.any() else 0.0)
    beyond = finite.any() and bool(np.abs(relative[finite]).max() > 1.001 * limit)
    edges = np.clip(_edges(steps), *_ends(steps)), _edges(depths)
    drawn = np.ma.masked_invalid(np.where(finite, relative, np.nan)).T
    image = panel.pcolormesh(*edges, drawn, cmap="RdBu_r", vmin=-limit, vmax=limit, rasterized=True)
    marks = np.ma.masked_invalid(codes).T
    panel.pcolormesh(
        *edges, marks, cmap=ListedColormap(list(ODD.values())), vmin=-0.5, vmax=3.5, rasterized=True
    )
    panel.grid(visible=False)
    for axis in (panel.xaxis, panel.yaxis):
        axis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1, steps=[1, 2, 2.5, 5, 10]))
    bar = figure.colorbar(image, ax=panel, extend="both" if beyond else "neither", pad=0.015, aspect=28)
    _ticks(bar, limit)
    return {name: Patch(color=colour) for i, (name, colour) in enumerate(ODD.items()) if (codes == i).any()}


def _ticks(bar: Colorbar, limit: float) -> None:
    """Powers of ten, or where the scale is short the factors between."""
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


def _edges(centres: np.ndarray) -> np.ndarray:
    """Cell borders half-way between the steps (or layers) that were logged."""
    middles = (centres[1:] + centres[:-1]) / 2
    first = centres[0] - (middles[0] - centres[0] if len(middles) else 0.5)
    last = centres[-1] + (centres[-1] - middles[-1] if len(middles) else 0.5)
    return np.r_[first, middles, last]


def _ends(steps: np.ndarray) -> tuple[float, float]:
    """The picture begins at the first step and ends at the last, if there are two."""
    return (steps[0], steps[-1]) if len(steps) > 1 else (-np.inf, np.inf)


def _first_bad(panel: Axes, rows: pd.DataFrame) -> dict[str, Line2D | Patch]:
    """A line at the first step whose signal is not finite, and a cross at its layer."""
    found = to_float64(rows.log10_backward)
    bad = rows[np.isnan(found) | (found == np.inf)]
    if bad.empty:
        return {}
    step = int(bad.step.min())
    layer = next(each.layer for each in first_defects(rows[rows.step == step]) if each.kind == "non-finite")
    panel.axvline(step, color=style.INK, linewidth=1.2, linestyle=":")
    panel.plot([step], [layer], "X", color="white", markeredgecolor=style.INK, markersize=11, clip_on=False)
    mark = Line2D([], [], marker="X", color="white", markeredgecolor=style.INK, markersize=10, linestyle="")
    return {f"first non-finite: step {step}, layer {layer}": mark}


def _acted(steps: pd.DataFrame) -> np.ndarray:
    """The steps on which the clip changed the gradient."""
    rows = rows_with(steps, "clipped")
    return rows.step.to_numpy()[to_float64(rows.clipped) > 0]


def _strip(panel: Axes, acted: np.ndarray) -> dict[str, Line2D | Patch]:
    """A strip above the picture with a line for each step that was clipped."""
    strip = panel.inset_axes((0, 1.012, 1, 0.04), sharex=panel)
    strip.vlines(acted, 0, 1, color=style.LAST, linewidth=max(0.6, min(3.0, 300 / len(acted))))
    strip.set_ylim(0, 1)
    strip.set_yticks([])
    strip.tick_params(axis="x", length=0, labelbottom=False)
    strip.spines[:].set_visible(False)
    return {"the clip acted": Patch(color=style.LAST)}
