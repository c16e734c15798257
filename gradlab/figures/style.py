"""How every figure looks: panels, colours that the colour-blind can tell apart, powers of ten on the axes."""

import math
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

# Okabe and Ito (2008), in an order in which neighbours differ most on a projector
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7A5195", "#222222")
FIRST, MIDDLE, LAST = "#0072B2", "#E69F00", "#D55E00"  # the steps of a run
INK, FAINT, THEORY = "#222222", "#8A8A8A", "#444444"
DECADES = 4.0  # the fewest that an axis shows: less would make noise look like a slope
TITLE: dict[str, Any] = {"loc": "left", "fontsize": 12, "fontweight": "bold", "color": INK}
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def panels(
    rows: int, columns: int, size: tuple[float, float], title: str, **grid: Any
) -> tuple[Figure, list[Axes]]:
    """A figure with empty panels in reading order."""
    layout = ConstrainedLayoutEngine(w_pad=0.09, h_pad=0.09, wspace=0.03, hspace=0.04)
    figure = Figure(figsize=size, layout=layout, facecolor="white")
    cells = figure.subplots(rows, columns, squeeze=False, **grid)
    if title:
        figure.suptitle(literal_text(textwrap.fill(title, int(size[0] * 11))), fontsize=11.5, color=INK)
    return figure, [tidy(axes) for axes in cells.flat]


def tidy(axes: Axes) -> Axes:
    """Light grid, two spines: ink is for what was measured."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT)
    axes.grid(color="#E6E6E6", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK, labelsize=10, length=3)
    return axes


def panel_labels(axes: Axes, title: str, xlabel: str, ylabel: str) -> None:
    """A panel's title (to the left, as one reads) and the names of its axes."""
    axes.set_title(literal_text(title), **TITLE)
    axes.set_xlabel(literal_text(xlabel), fontsize=10.5, color=INK)
    axes.set_ylabel(literal_text(ylabel), fontsize=10.5, color=INK)


def empty_note(axes: Axes, text: str) -> None:
    """Words in the middle of a panel that has nothing to draw."""
    axes.text(
        0.5, 0.5, literal_text(text), transform=axes.transAxes, ha="center", va="center", color=FAINT, fontsize=12
    )


def literal_text(text: Any) -> str:
    """Text that is shown as it is: a `$` begins no formula, a leading `_` hides no legend entry."""
    text = str(text).replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text


def power_text(exponent: float, _position: int | None = None) -> str:
    """10⁻³ for −3, 10⁻⁰·⁵ for −0.5."""
    number = f"{exponent:.2f}".rstrip("0").rstrip(".")
    return "10" + ("0" if number == "-0" else number).translate(_SUPERSCRIPT).replace(".", "·")


def power_axis(axes: Axes, low: float, high: float) -> None:
    """The y axis in powers of ten of its log10 values."""
    axes.set_ylim(low, high)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=7, integer=True, min_n_ticks=2, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(power_text))


def fraction_axis(axes: Axes, drawn: Sequence[np.ndarray]) -> None:
    """A score whose best is 1: from 0 on, or from below where one was worse than nothing."""
    there = [float(y[np.isfinite(y)].min()) for y in drawn if np.isfinite(y).any()]
    low = min([0.0, *there])
    if low < -1:
        axes.set_yscale("symlog", linthresh=1)
    axes.set_ylim(1.5 * low if low < -1 else low - 0.03, 1.03)


def count_axis(axes: Axes, low: float, high: float) -> None:
    """The x axis counts layers or steps, with a little room at its ends."""
    room = 0.03 * (high - low) or 0.5
    axes.set_xlim(low - room, high + room)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1, steps=[1, 2, 2.5, 5, 10]))


def shared_limits(ranges: Sequence[tuple[float, float] | None]) -> list[tuple[float, float]]:
    """Limits for panels that share a number of decades, each around its own middle; never fewer than four."""
    there = [high - low for low, high in filter(None, ranges)]
    half = max(1.12 * max(there, default=0.0), DECADES) / 2
    middles = [0.0 if each is None else (each[0] + each[1]) / 2 for each in ranges]
    return [(middle - half, middle + half) for middle in middles]


def step_colours(count: int) -> list[str]:
    """The colours of the first, the middle and the last step; of fewer where there are fewer."""
    return [FIRST, LAST] if count == 2 else [FIRST, MIDDLE, LAST][:count]


def group_colours(count: int, ordered: bool) -> list[Any]:
    """One colour each: an order from dark to light for numbers, contrasts for names."""
    if ordered and count > 2:
        return [colormaps["viridis"](0.02 + 0.80 * i / (count - 1)) for i in range(count)]
    return [COLOURS[i % len(COLOURS)] for i in range(count)]


def draw_legend(figure: Figure, entries: dict[str, Line2D | Patch], title: str = "") -> None:
    """One legend for all panels, below them, where it covers no data; as few rows as the width allows."""
    if not entries:
        return
    labels = [literal_text(label) for label in entries]
    room = figure.get_figwidth() * 12.5  # letters of this size, of which a sample of the line takes six
    fits = [n for n in range(1, len(labels) + 1) if _letters(labels, n) <= room]
    rows = math.ceil(len(labels) / max(fits, default=1))
    box = figure.legend(
        list(entries.values()),
        labels,
        loc="outside lower center",
        ncols=math.ceil(len(labels) / rows),
        frameon=False,
        fontsize=10,
        title=literal_text(title) if title else None,
        title_fontproperties={"weight": "bold", "size": 10},
    )
    box.get_title().set_color(INK)


def _letters(labels: list[str], columns: int) -> int:
    """How wide a legend of so many columns is; matplotlib fills them one after the other."""
    rows = math.ceil(len(labels) / columns)
    return sum(max(map(len, labels[i : i + rows])) + 6 for i in range(0, len(labels), rows))
