"""Lines through finite values and marks at the panel's edge for the others: nothing measured is left out."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.typing import LineStyleType

from gradlab.analysis.selection import rows_with, to_float64
from gradlab.figures.style import INK

Curve = tuple[np.ndarray, np.ndarray]  # x and y of one seed, both of shape (points,)
DOTTED_POINTS = 45  # points up to which each gets a dot
DENSE = 150  # points from which on a thick line hides its own shape
BAND_SEEDS = 5  # seeds from which on their lines are replaced by a band
EDGE_ROWS = 8  # rows of marks at an edge, so that those of one line do not hide those of another
EDGE_MARGIN = 0.03  # beyond the outermost row, a share of the panel's height
# kind: (marker, edge of the panel, label in the legend)
EDGE_MARKS = {
    "zero": ("v", "bottom", "exactly zero"),
    "inf": ("^", "top", "infinite"),
    "nan": ("x", "top", "NaN"),
    "above": (r"$\uparrow$", "top", "above the axis range"),
}


@dataclass
class Legend:
    """What has been drawn so far: the entries of the legend, and the rows of marks in use at a panel's edges."""

    entries: dict[str, Line2D | Patch] = field(default_factory=dict)
    rows: dict[tuple[Axes, str], list[tuple[str, str]]] = field(default_factory=dict)

    def edge_height(self, axes: Axes, kind: str, colour: str) -> float:
        """The height of marks of this kind and colour in the panel: 0 is its bottom, 1 its top."""
        side = EDGE_MARKS[kind][1]
        taken = self.rows.setdefault((axes, side), [])
        if (kind, colour) not in taken:
            taken.append((kind, colour))
        distance = 0.025 + 0.035 * (taken.index((kind, colour)) % EDGE_ROWS)
        return distance if side == "bottom" else 1 - distance


def nonfinite_kinds(y: np.ndarray) -> dict[str, np.ndarray]:
    """Whether each log10 value is −inf (an exact zero), inf or NaN; shapes (points,)."""
    return {"zero": y == -np.inf, "inf": y == np.inf, "nan": np.isnan(y)}


def line(
    axes: Axes,
    x: np.ndarray,
    y: np.ndarray,
    colour: str,
    legend: Legend,
    width: float = 2.0,
    style: LineStyleType = "-",
) -> None:
    """Draw values of shape (points,) in order of x: a line through the finite ones, edge marks for the others."""
    finite = np.isfinite(y)
    axes.plot(
        x, np.where(finite, y, np.nan), linestyle=style, color=colour, linewidth=width, solid_capstyle="round"
    )
    # a line through a single point is invisible
    isolated = finite & ~np.r_[False, finite[:-1]] & ~np.r_[finite[1:], False]
    dots = finite if len(x) <= DOTTED_POINTS and width >= 1.5 and style == "-" else isolated
    if dots.any():
        size = 3.4 if width >= 1.5 else 2.4
        axes.plot(x[dots], y[dots], "o", color=colour, markersize=size, label="_dots")
    for kind, where in nonfinite_kinds(y).items():
        if where.any():
            edge_marks(axes, x[where], kind, colour, legend)


def edge_marks(axes: Axes, x: np.ndarray, kind: str, colour: str, legend: Legend) -> None:
    """Draw marks of one kind at the panel's edge, at x of shape (points,), and add their meaning to the legend."""
    marker, _, meaning = EDGE_MARKS[kind]
    height = legend.edge_height(axes, kind, str(colour))
    axes.plot(
        x,
        np.full(len(x), height),
        marker=marker,
        linestyle="",
        color=colour,
        markersize=7 if len(x) <= DOTTED_POINTS / 2 else 4.5,
        markeredgewidth=1.5,
        transform=axes.get_xaxis_transform(),
        clip_on=False,
        zorder=5,
        label=f"_{kind}",
    )
    legend.entries[meaning] = Line2D([], [], marker=marker, color=INK, linestyle="", markeredgewidth=1.6)


def separate_edges(figure: Figure) -> None:
    """Make room for the marks at the edges of each panel, behind a grey band, so that they do not stand among data.

    It is called when the limits of the axes are set.
    """
    kinds = {f"_{kind}": side for kind, (_, side, _) in EDGE_MARKS.items()}
    for axes in figure.axes:
        room = {"bottom": 0.0, "top": 0.0}
        for mark in axes.get_lines():
            if side := kinds.get(str(mark.get_label())):
                height = float(np.asarray(mark.get_ydata(), dtype=float)[0])
                room[side] = max(room[side], (height if side == "bottom" else 1 - height) + EDGE_MARGIN)
        if any(room.values()):
            _make_room(axes, room["bottom"], room["top"])


def _make_room(axes: Axes, bottom: float, top: float) -> None:
    """Widen the y axis by shares of its height below and above what it shows, and leave them without numbers."""
    transform = axes.yaxis.get_transform()
    limits = axes.get_ylim()
    low, high = (float(value) for value in transform.transform(np.asarray(limits)))
    span = (high - low) / (1 - bottom - top)
    wider = transform.inverted().transform(np.array([low - bottom * span, high + top * span]))
    write = axes.yaxis.get_major_formatter()
    ticks = [
        tick for tick in axes.yaxis.get_major_locator().tick_values(*limits) if limits[0] <= tick <= limits[1]
    ]
    axes.set_ylim(*(float(value) for value in wider))
    axes.set_yticks(ticks)
    axes.yaxis.set_major_formatter(write)
    for start, height in ((0.0, bottom), (1 - top, top)):
        if height:
            band = Rectangle((0, start), 1, height, transform=axes.transAxes, color="#F1F1F1", zorder=0.5)
            band.set_label("_edge")
            axes.add_patch(band)


def line_width(points: int) -> float:
    """The width of a line of this many points that may jump from each to the next."""
    return 0.9 if points > DENSE else 2.0


def seed_lines(
    axes: Axes,
    curves: list[Curve],
    colour: str,
    legend: Legend,
    style: LineStyleType = "-",
    width: float = 2.0,
    band_from: int = BAND_SEEDS,
) -> None:
    """Draw one line per seed, or from `band_from` seeds on their median in a band from the lowest to the highest.

    Non-finite values are marked and left out of the median.
    """
    if len(curves) < band_from:
        for x, y in curves:
            line(axes, x, y, colour, legend, min(width, 2.0 if len(curves) == 1 else 1.1), style)
        return
    x, middle, low, high = seed_band(curves)
    axes.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)
    if len(x) == 1:
        axes.vlines(x, low, high, color=colour, alpha=0.4, linewidth=3)
    line(axes, x, middle, colour, legend, width, style)
    for kind in nonfinite_kinds(x):
        marked = np.unique(np.concatenate([x[nonfinite_kinds(y)[kind]] for x, y in curves]))
        if marked.size:
            edge_marks(axes, marked, kind, colour, legend)


def seed_band(curves: list[Curve]) -> tuple[np.ndarray, ...]:
    """x, median, lowest and highest of the finite values at each x that has some; four arrays of shape (points,)."""
    xs = np.unique(np.concatenate([x for x, _ in curves]))
    table = np.full((len(curves), len(xs)), np.nan)
    for row, (x, y) in zip(table, curves, strict=True):
        row[np.searchsorted(xs, x)] = np.where(np.isfinite(y), y, np.nan)
    has_values = ~np.isnan(table).all(axis=0)
    xs, table = xs[has_values], table[:, has_values]
    return xs, np.nanmedian(table, axis=0), np.nanmin(table, axis=0), np.nanmax(table, axis=0)


def optimizer_switches(axes: Axes, steps: np.ndarray, legend: Legend) -> None:
    """Draw a line at each of `steps`, shape (switches,), where the next optimizer begins."""
    for step in steps:
        axes.axvline(step, color=INK, linewidth=1.1, linestyle="-.", label="_switch")
    if len(steps):
        legend.entries["switch to the next optimizer"] = Line2D(
            [], [], color=INK, linewidth=1.1, linestyle="-."
        )


def finite_range(arrays: list[np.ndarray]) -> tuple[float, float] | None:
    """The lowest and the highest finite value of arrays of any shape; None where there is none."""
    finite = np.concatenate([array[np.isfinite(array)] for array in arrays]) if arrays else np.array([])
    return (float(finite.min()), float(finite.max())) if finite.size else None


def curves(frame: pd.DataFrame, x: str, y: str, by: tuple[str, ...] = ("seed",)) -> list[Curve]:
    """The measured x and y of each group of rows with equal `by`, in order of x; unmeasured rows are left out."""
    rows = rows_with(frame, y)
    codes = [pd.factorize(rows[key], sort=True)[0] for key in by if key in rows.columns]
    at, values = rows[x].to_numpy(dtype=float), to_float64(rows[y])
    order = np.lexsort([at, *reversed(codes)])
    begins = np.any([np.diff(code[order]) != 0 for code in codes], axis=0)
    places = np.split(order, np.flatnonzero(begins) + 1) if len(order) else []
    return [(at[place], values[place]) for place in places]


def layer_names(layers: pd.DataFrame) -> dict[int, str]:
    """The names of the layers of a table of layers, by number and in their order."""
    first = layers.drop_duplicates("layer")
    return dict(sorted(zip(first.layer.tolist(), first.name.astype(str).tolist(), strict=True)))


def upward(curve: Curve) -> Curve:
    """The curve of a column that is no logarithm: its −inf is infinite, and no exact zero."""
    x, y = curve
    return x, np.where(y == -np.inf, np.inf, y)
