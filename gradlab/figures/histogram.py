"""Counts of gradients, weights and activations by magnitude over depth, at the start, in the middle and at the end.

A column of cells is a layer, its colours the share of its entries in each octave. Zeros, what is below float32's normal
numbers, infinities and NaN have rows of their own beside the axis. Lines mark where formats of fewer bits end.
"""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from gradlab.analysis.histograms import Histograms, histograms
from gradlab.analysis.precision import FORMATS
from gradlab.figures import style
from gradlab.measurements.magnitudes import BIAS, FIRST, INFINITE, NAN, SMALL, ZERO
from gradlab.store.read import Run

RUN_TABLES = ("vectors",)
PROBE = "histogram"
MEASURES = ("gradient_magnitudes", "weight_magnitudes", "activation_magnitudes")
TITLES = {"gradient": "Gradient ∂loss/∂W", "weight": "Weights W", "activation": "Activations h"}
# of these formats the limits are drawn; bfloat16 has the exponents of float32
DRAWN: dict[str, Any] = {"float16": "-", "float8_e4m3": "--", "float8_e5m2": ":"}
COLOURS = {"float16": "#D55E00", "float8_e4m3": "#CC79A7", "float8_e5m2": "#56B4E9"}
BANDS = {"NaN": NAN, "inf": INFINITE, "<2⁻¹²⁶": SMALL, "zero": ZERO}
MIN_OCTAVES = 12
SHARE = 1e-4  # the smallest that has a colour of its own


def run_figure(run: Run, title: str) -> Figure:
    """The histograms of the first seed of a stored run: a row of panels for each quantity, a column for each step."""
    drawn = {quantity: histograms(run, quantity) for quantity in TITLES}
    drawn = {quantity: _first_seed(of) for quantity, of in drawn.items() if len(of.step)}
    steps = _three(np.unique(np.concatenate([of.step for of in drawn.values()])))
    last = int(run.layers.layer.max())
    figure, panels = style.panels(
        len(drawn), len(steps), (4.6 * len(steps) + 1.2, 3.6 * len(drawn) + 1), title
    )
    grid = np.array(panels).reshape(len(drawn), len(steps))
    image = None
    for row, (quantity, of) in zip(grid, drawn.items(), strict=True):
        octaves = _octaves(of)
        for panel, step in zip(row, steps, strict=True):
            heading = f"{TITLES[quantity]}, step {step}"
            style.panel_labels(panel, heading, style.layer_label(last), "magnitude")
            image = _draw(panel, of.where(of.step == step), octaves, last) or image
            _limits(panel, octaves)
    if image is not None:
        bar = figure.colorbar(image, ax=panels, pad=0.01, aspect=40, extend="min")
        bar.set_label("share of the layer's entries", fontsize=10.5, color=style.INK)
        bar.outline.set_visible(False)
    style.draw_legend(figure, _entries())
    return figure


def _first_seed(of: Histograms) -> Histograms:
    return of.where(of.seed == of.seed.min())


def _three(steps: np.ndarray) -> list[int]:
    """The first, the middle and the last step."""
    middle = steps[np.abs(steps - (steps[0] + steps[-1]) / 2).argmin()]
    return [int(step) for step in dict.fromkeys((steps[0], middle, steps[-1]))]


def _octaves(of: Histograms) -> tuple[int, int]:
    """The exponents of the lowest and the highest octave with entries at any step, at least a few apart."""
    filled = np.flatnonzero(of.counts[:, FIRST:INFINITE].sum(axis=0)) + FIRST - BIAS
    low, high = (int(filled[0]), int(filled[-1])) if len(filled) else (-MIN_OCTAVES, 0)
    missing = max(MIN_OCTAVES - (high - low), 0)
    return max(low - missing, FIRST - BIAS), high


def _draw(panel: Axes, of: Histograms, octaves: tuple[int, int], last: int) -> QuadMesh | None:
    """Draw the cells of one step; the bands stand above and below the octaves that have entries."""
    if not len(of.step):
        style.empty_note(panel, "not measured")
        return None
    low, high = octaves
    shares = np.full((last + 1, high - low + 1), 0.0)
    bands = {name: np.zeros(last + 1) for name in BANDS}
    totals = of.counts.sum(axis=1)
    shares[of.layer] = of.counts[:, low + BIAS : high + BIAS + 1] / totals[:, None]
    for name, index in BANDS.items():
        bands[name][of.layer] = of.counts[:, index] / totals
    norm = LogNorm(SHARE, 1)
    x = np.arange(last + 2) - 0.5
    cells = np.ma.masked_equal(shares.T, 0)
    image = panel.pcolormesh(x, np.arange(low, high + 2), cells, norm=norm, cmap="viridis", rasterized=True)
    height = _band_height(octaves)
    for name, start in _places(octaves).items():
        band = np.ma.masked_equal(bands[name][None], 0)
        panel.pcolormesh(x, [start, start + height], band, norm=norm, cmap="viridis", rasterized=True)
        panel.axhspan(start, start + height, color=style.FAINT, alpha=0.12, linewidth=0, zorder=0)
    ticks = [tick for tick in range(-128, 129, _spacing(octaves)) if low + height <= tick <= high + 1]
    named = {start + height / 2: name for name, start in _places(octaves).items()}
    panel.set_yticks([*ticks, *named], labels=[*map(_power_of_two, ticks), *named.values()])
    panel.set_ylim(min(_places(octaves).values()), max(_places(octaves).values()) + height)
    panel.set_xlim(-0.5, last + 0.5)
    panel.grid(visible=False)
    return image


def _spacing(octaves: tuple[int, int]) -> int:
    return 4 if octaves[1] - octaves[0] < 30 else 8 if octaves[1] - octaves[0] < 60 else 32


def _band_height(octaves: tuple[int, int]) -> float:
    return 0.06 * (octaves[1] - octaves[0] + 1)


def _places(octaves: tuple[int, int]) -> dict[str, float]:
    """Where each band begins: NaN above infinity above the octaves, zeros below what is subnormal below them."""
    low, high = octaves
    height, gap = _band_height(octaves), 0.3 * _band_height(octaves)
    return {
        "NaN": high + 1 + 2 * gap + height,
        "inf": high + 1 + gap,
        "<2⁻¹²⁶": low - gap - height,
        "zero": low - 2 * gap - 2 * height,
    }


def _limits(panel: Axes, octaves: tuple[int, int]) -> None:
    """Draw where formats flush to zero and where they overflow, those limits that lie in the panel."""
    for name, dashes in DRAWN.items():
        form = FORMATS[name]
        for exponent in (form.flushed, form.top + 1):
            if octaves[0] <= exponent <= octaves[1] + 1:
                panel.axhline(
                    exponent, color=COLOURS[name], linewidth=1.4, linestyle=dashes, label=f"_{name}"
                )


def _entries() -> dict[str, Line2D | Patch]:
    words = "below the lower line flushed, above the upper overflowing"
    entries: dict[str, Line2D | Patch] = {
        (f"{name}: {words}" if index == 0 else name): Line2D([], [], color=COLOURS[name], linestyle=dashes)
        for index, (name, dashes) in enumerate(DRAWN.items())
    }
    return entries


def _power_of_two(exponent: int) -> str:
    return style.power_text(exponent).replace("10", "2", 1)
