"""Two crossed choices as maps: gain, decades and score of every combination of their values.

Blue is vanishing, white flowing, red exploding. A combination without a finite value has a colour of its own, one
without a run is hatched: neither is ever shown as a number.
"""

import math
from collections.abc import Hashable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from gradlab.analysis.score import Score
from gradlab.figures import style
from gradlab.figures.groups import is_numeric, value_text

OUTCOMES = ("gain", "decades", "score")
PANELS = tuple(f"map of {outcome}" for outcome in OUTCOMES)
# the verdict of a combination without a finite value: (colour, meaning)
WITHOUT_VALUE = {
    "cut": ("#111111", "cut by an exact zero"),
    "underflow": ("#7A5195", "underflow"),
    "overflow": ("#009E73", "overflow"),
    "undefined": ("#F0E442", "undefined (NaN)"),
    "": ("#B8B8B8", "no finite value"),
}
NO_RUN = "no run"
HATCHED: dict[str, Any] = {"facecolor": "white", "edgecolor": "#C4C4C4", "hatch": "////", "linewidth": 0}
MOST_TICKS = 24  # values named at an axis: of more some are
PANEL = (2.8, 2.7)  # inches of a map, without its labels and its bar
FONTS = (8.5, 6.5)  # of the numbers in the cells, where one has room
GAIN_TICKS: tuple[
    tuple[float, tuple[float, ...]], ...
] = (  # of the scale of gains, from this limit of |log10| on
    (3.0, (1e-9, 1e-6, 1e-3, 1.0, 1e3, 1e6, 1e9)),
    (1.0, (0.001, 0.01, 0.1, 1.0, 10.0, 100.0, 1000.0)),
    (0.4, (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)),
    (0.0, (0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.25, 1.4, 1.6, 2.0)),
)
MIN_GAIN, MIN_DECADES = (
    math.log10(1.1),
    1.0,
)  # the scale's least limit: less would make noise look like a result


class Maps(NamedTuple):
    """What the maps show: `outcomes` has one row per run and seed, with columns `row`, `column` and the outcomes.

    gain is log10 of the gain per layer; `signal_start` is the verdict where there is no finite value. `score` is that
    of all runs, None where they have none in common.
    """

    outcomes: pd.DataFrame
    row: str
    column: str
    score: Score | None


class Cells(NamedTuple):
    """Each combination's mean over its finite values, NaN without one; the shapes are (rows, columns)."""

    rows: list[Hashable]
    columns: list[Hashable]
    means: NDArray[np.float64]
    runs: NDArray[np.int64]
    finite: NDArray[np.int64]
    words: NDArray[np.str_]  # the most frequent verdict of the runs without a finite value


def draw_maps(figure: Figure, panels: list[Axes], maps: Maps) -> dict[str, Line2D | Patch]:
    """Draw gain, decades and score in three panels; returns the legend's entries of cells without a number."""
    entries: dict[str, Line2D | Patch] = {}
    score = f"Test {maps.score.label}, at the end" if maps.score else "Test score"
    titles = ("Gain per layer, at the start", "Decades over depth, at the start", score)
    for panel, outcome, title in zip(panels, OUTCOMES, titles, strict=True):
        style.panel_labels(panel, title, maps.column, maps.row)
        if outcome == "score" and maps.score is None:
            style.empty_note(panel, "not compared: the scores differ in kind")
            panel.set(xticks=[], yticks=[])
            continue
        cells = combinations(maps, outcome)
        _draw_values(figure, panel, cells, outcome, maps.score)
        entries |= _draw_cells_without_value(panel, cells)
        _name_values(panel, cells)
    return entries


def combinations(maps: Maps, outcome: str) -> Cells:
    """The mean of an outcome over the runs of each combination of the two choices."""
    rows, row = _levels(maps.outcomes[maps.row])
    columns, column = _levels(maps.outcomes[maps.column])
    values = maps.outcomes[outcome].to_numpy(dtype=float)
    is_finite = np.isfinite(values)
    shape, cell = (len(rows), len(columns)), row * len(columns) + column
    runs = np.bincount(cell, minlength=math.prod(shape))
    finite = np.bincount(cell[is_finite], minlength=math.prod(shape))
    sums = np.bincount(cell[is_finite], values[is_finite], minlength=math.prod(shape))
    with np.errstate(invalid="ignore"):
        means = np.where(finite > 0, sums / np.maximum(finite, 1), np.nan)
    words = np.full(math.prod(shape), "", dtype="U12")
    if outcome != "score":
        lost = pd.Series(maps.outcomes.signal_start.to_numpy()[~is_finite]).groupby(cell[~is_finite])
        for index, verdicts in lost:
            words[index] = str(verdicts.value_counts().index[0]) if len(verdicts.dropna()) else ""
    return Cells(
        rows=rows,
        columns=columns,
        means=means.reshape(shape),
        runs=runs.reshape(shape),
        finite=finite.reshape(shape),
        words=words.reshape(shape),
    )


def _levels(column: pd.Series) -> tuple[list[Hashable], NDArray[np.int64]]:
    """The values of a choice, numbers by size, words in the order of the runs, and the index of each row's value."""
    codes, values = pd.factorize(column, sort=is_numeric(column), use_na_sentinel=False)
    return [None if pd.isna(value) else value for value in values], codes.astype(np.int64)


def _draw_values(figure: Figure, panel: Axes, cells: Cells, outcome: str, score: Score | None) -> None:
    """Colour the finite cells, write their values where they fit, and mark those that are not of all their runs."""
    norm, cmap, write = _scale(cells.means, outcome, score)
    shown = np.ma.masked_invalid(cells.means)
    edges = np.arange(len(cells.columns) + 1) - 0.5, np.arange(len(cells.rows) + 1) - 0.5
    image = panel.pcolormesh(*edges, shown, cmap=cmap, norm=norm, edgecolors="white", linewidth=0.4)
    panel.grid(visible=False)
    bar = figure.colorbar(image, ax=panel, pad=0.02, aspect=22)
    if outcome == "gain":
        limit = norm.vmax or 0.0
        factors = next(factors for least, factors in GAIN_TICKS if limit >= least)
        ticks = [factor for factor in factors if abs(math.log10(factor)) <= limit]
        bar.set_ticks([math.log10(factor) for factor in ticks], labels=[f"{factor:g}" for factor in ticks])
    else:
        bar.locator = MaxNLocator(nbins=5)
        bar.formatter = FuncFormatter(lambda value, _: write(value))
        bar.update_ticks()
    bar.outline.set_visible(False)
    texts = {index: write(value) for index, value in np.ndenumerate(cells.means) if np.isfinite(value)}
    size = _font_size(cells, max(map(len, texts.values()), default=1))
    for (row, column), text in texts.items() if size else ():
        light = sum(image.to_rgba(cells.means[row, column])[:3]) > 1.5
        _write(panel, row, column, text, size, style.INK if light else "white")
    part = np.argwhere((cells.finite > 0) & (cells.finite < cells.runs))
    panel.plot(part[:, 1] + 0.36, part[:, 0] - 0.36, "o", color="black", markersize=3, label="_part")


def _write(panel: Axes, row: int, column: int, text: str, size: float, colour: str) -> None:
    panel.text(column, row, text, ha="center", va="center", fontsize=size, color=colour)


def _scale(means: NDArray[np.float64], outcome: str, score: Score | None) -> tuple[Normalize, Any, Any]:
    """The colours' limits, the map of colours, and how a value is written."""
    finite = means[np.isfinite(means)]
    if outcome == "score":
        low, high = (finite.min(), finite.max()) if finite.size else (0.0, 1.0)
        if score and score.is_fraction:
            low, high = min(0.0, low), 1.0
        colours = "viridis" if score is None or score.is_fraction else "viridis_r"
        return Normalize(low, max(high, low + 1e-6)), colormaps[colours], "{:.2f}".format
    least = MIN_GAIN if outcome == "gain" else MIN_DECADES
    limit = max(least, float(np.abs(finite).max())) if finite.size else least
    write = _gain_text if outcome == "gain" else _decades_text
    return Normalize(-limit, limit), colormaps["RdBu_r"], write


def _gain_text(log10: float) -> str:
    if -2 <= log10 < 3:
        return f"{10**log10:.2f}" if log10 < 1 else f"{10**log10:.0f}"
    return style.power_text(round(log10, 1))


def _decades_text(decades: float) -> str:
    text = f"{decades:+.1f}" if abs(decades) < 10 else f"{decades:+.0f}"
    return text.replace("-", "−") if float(text) else "0.0"


def _font_size(cells: Cells, letters: int) -> float:
    """The largest size at which numbers of this many letters fit into the cells; 0 where none does."""
    width, height = PANEL[0] / len(cells.columns), PANEL[1] / len(cells.rows)
    for size in FONTS:
        inch = size / 72
        if letters * 0.62 * inch <= width and 1.3 * inch <= height:
            return size
    return 0.0


def _draw_cells_without_value(panel: Axes, cells: Cells) -> dict[str, Line2D | Patch]:
    """Fill the cells without a finite value, hatch those without a run; returns the legend's entries."""
    entries: dict[str, Line2D | Patch] = {}
    for row, column in np.argwhere(cells.finite == 0):
        place = (column - 0.5, row - 0.5), 1, 1
        if cells.runs[row, column]:
            word = cells.words[row, column] if cells.words[row, column] in WITHOUT_VALUE else ""
            colour, meaning = WITHOUT_VALUE[word]
            panel.add_patch(Rectangle(*place, facecolor=colour, edgecolor="white", linewidth=0.4))
            entries[meaning] = Patch(color=colour)
        else:
            panel.add_patch(Rectangle(*place, **HATCHED))
            if size := _font_size(cells, len(NO_RUN)):
                _write(panel, row, column, NO_RUN, size, style.INK)
            else:
                entries[NO_RUN] = Patch(**HATCHED)
    if ((cells.finite > 0) & (cells.finite < cells.runs)).any():
        mark = Line2D([], [], marker="o", color="black", markersize=4, linestyle="")
        entries["mean of some of the runs: the others have no finite value"] = mark
    return entries


def _name_values(panel: Axes, cells: Cells) -> None:
    """Name the rows and the columns by their values, of many some, and long words slanted."""
    rows, columns = ([style.literal_text(value_text(value)) for value in values] for values in cells[:2])
    shown = _some(len(columns))
    slanted = sum(len(columns[i]) for i in shown) > 34
    panel.set_xticks(
        shown,
        [columns[i] for i in shown],
        rotation=35 if slanted else 0,
        ha="right" if slanted else "center",
        rotation_mode="anchor" if slanted else "default",
    )
    shown = _some(len(rows))
    panel.set_yticks(shown, [rows[i] for i in shown])
    panel.tick_params(labelsize=8.5, length=0)
    panel.set_xlim(-0.5, len(columns) - 0.5)
    panel.set_ylim(len(rows) - 0.5, -0.5)
    panel.spines[:].set_visible(False)


def _some(count: int) -> list[int]:
    indices = np.unique(np.linspace(0, count - 1, min(count, MOST_TICKS)).round().astype(int))
    return [int(index) for index in indices]
