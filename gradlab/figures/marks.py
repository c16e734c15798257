"""Lines over what is finite, marks at the panel's edge for what is not: nothing measured is dropped."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from gradlab.analysis.selection import rows_with, to_float64
from gradlab.figures.style import INK

Curve = tuple[np.ndarray, np.ndarray]
DOTTED_POINTS = 45  # points up to which each is dotted
BAND_SEEDS = 5  # seeds from which on a band tells more than lines
EDGE_ROWS = 8  # rows of marks at an edge, so that those of one line do not hide those of another
# kind: (marker, the edge of the panel, what it is)
EDGE_MARKS = {
    "zero": ("v", "bottom", "exactly zero"),
    "inf": ("^", "top", "infinite"),
    "nan": ("x", "top", "NaN"),
    "above": (r"$\uparrow$", "top", "above the panel"),
}


@dataclass
class Legend:
    """What has been drawn so far: an entry for each kind, and who has which row at a panel's edge."""

    entries: dict[str, Line2D | Patch] = field(default_factory=dict)
    rows: dict[tuple[Axes, str], list[tuple[str, str]]] = field(default_factory=dict)

    def height(self, axes: Axes, kind: str, colour: str) -> float:
        """Where marks of this kind and colour stand in the panel, 0 its bottom and 1 its top."""
        side = EDGE_MARKS[kind][1]
        taken = self.rows.setdefault((axes, side), [])
        if (kind, colour) not in taken:
            taken.append((kind, colour))
        room = 0.025 + 0.035 * (taken.index((kind, colour)) % EDGE_ROWS)
        return room if side == "bottom" else 1 - room


def nonfinite_kinds(y: np.ndarray) -> dict[str, np.ndarray]:
    """Where a log10 is −inf (a true zero), inf or NaN."""
    return {"zero": y == -np.inf, "inf": y == np.inf, "nan": np.isnan(y)}


def line(
    axes: Axes,
    x: np.ndarray,
    y: np.ndarray,
    colour: str,
    legend: Legend,
    width: float = 2.0,
    style: str = "-",
) -> None:
    """The measured values in order of x: a line where they are finite, marks at the edge elsewhere."""
    finite = np.isfinite(y)
    axes.plot(x, np.where(finite, y, np.nan), style, color=colour, linewidth=width, solid_capstyle="round")
    alone = (
        finite & ~np.r_[False, finite[:-1]] & ~np.r_[finite[1:], False]
    )  # a line of one point is invisible
    dots = finite if len(x) <= DOTTED_POINTS and width >= 1.5 and style == "-" else alone
    if dots.any():
        size = 3.4 if width >= 1.5 else 2.4
        axes.plot(x[dots], y[dots], "o", color=colour, markersize=size, label="_dots")
    for kind, where in nonfinite_kinds(y).items():
        if where.any():
            edge_marks(axes, x[where], kind, colour, legend)


def edge_marks(axes: Axes, x: np.ndarray, kind: str, colour: str, legend: Legend) -> None:
    """Marks at the panel's edge, and their meaning in the legend."""
    marker, _, meaning = EDGE_MARKS[kind]
    height = legend.height(axes, kind, str(colour))
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


def seed_lines(
    axes: Axes,
    curves: list[Curve],
    colour: str,
    legend: Legend,
    style: str = "-",
    width: float = 2.0,
    band_from: int = BAND_SEEDS,
) -> None:
    """The (x, y) of each seed: a line each, or from `apart` seeds on their median in a band from least to most.

    Values that are not finite are marked and no part of the median.
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
    """x, median, least and largest of the finite values at each x that has some."""
    xs = np.unique(np.concatenate([x for x, _ in curves]))
    table = np.full((len(curves), len(xs)), np.nan)
    for row, (x, y) in zip(table, curves, strict=True):
        row[np.searchsorted(xs, x)] = np.where(np.isfinite(y), y, np.nan)
    there = ~np.isnan(table).all(axis=0)
    xs, table = xs[there], table[:, there]
    return xs, np.nanmedian(table, axis=0), np.nanmin(table, axis=0), np.nanmax(table, axis=0)


def optimizer_switches(axes: Axes, steps: np.ndarray, legend: Legend) -> None:
    """A line where another optimizer took over."""
    for step in steps:
        axes.axvline(step, color=INK, linewidth=1.1, linestyle="-.", label="_switch")
    if len(steps):
        legend.entries["the next optimizer takes over"] = Line2D(
            [], [], color=INK, linewidth=1.1, linestyle="-."
        )


def finite_range(arrays: list[np.ndarray]) -> tuple[float, float] | None:
    """The least and the largest finite value, None where there is none."""
    finite = np.concatenate([array[np.isfinite(array)] for array in arrays]) if arrays else np.array([])
    return (float(finite.min()), float(finite.max())) if finite.size else None


def curves(frame: pd.DataFrame, x: str, y: str, by: tuple[str, ...] = ("seed",)) -> list[Curve]:
    """The measured (x, y) of each seed (or run and seed), in order of x; what was not measured is absent."""
    rows = rows_with(frame, y).sort_values(x, kind="stable")
    keys = [key for key in by if key in rows.columns]
    return [
        (each[x].to_numpy(dtype=float), to_float64(each[y]))
        for _, each in rows.groupby(keys, observed=True, sort=True)
    ]
