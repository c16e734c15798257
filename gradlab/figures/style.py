"""The look of every figure: panels, colours that the colour-blind can tell apart, powers of ten on the axes."""

import math
import re
import textwrap
from bisect import bisect
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from gradlab.recipe.printing import printable

# Okabe and Ito (2008), in an order in which neighbours differ most on a projector
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7A5195", "#222222")
# the first, middle and last step of a run: of unlike lightness, so that a print in grey tells them apart
FIRST, MIDDLE, LAST = "#0B3C68", "#E69F00", "#D55E00"
INK, FAINT, THEORY = "#222222", "#8A8A8A", "#444444"
MIN_DECADES = 4.0  # shown by an axis: fewer would make noise look like a slope
LEAST_SHARE = (
    0.2  # of the widest panel's decades: a panel with less has an axis of its own, or it would look empty
)
LETTER = 0.6  # the width of a letter of a bold title, in sizes of its font
MOST_NAMES, LONGEST_NAME = 12, 26  # of layers at an axis; letters of one
TITLE: dict[str, Any] = {"loc": "left", "fontsize": 12, "fontweight": "bold", "color": INK}
LEGEND_FONTS = (10.0, 8.5, 7.0)  # the largest with which it fits
LINE_HEIGHT = 1.6  # of a row of the legend, in sizes of its font
MOST_OF_HEIGHT = 0.25  # of a figure, that its legend takes
NO_ENTRIES: Mapping[str, Line2D | Patch] = MappingProxyType({})
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def panels(
    rows: int, columns: int, size: tuple[float, float], title: str, **grid: Any
) -> tuple[Figure, list[Axes]]:
    """A figure of `size` inches, and its empty panels in reading order; `grid` goes to `Figure.subplots`."""
    figure = _figure(size, title)
    axes_grid = figure.subplots(rows, columns, squeeze=False, **grid)
    return figure, [tidy(axes) for axes in axes_grid.flat]


def panel_rows(rows: Sequence[Sequence[str]], title: str) -> tuple[Figure, dict[str, Axes]]:
    """A figure with empty panels by name; the panels of a row share its width, so that rows may differ in number."""
    widest = max(map(len, rows))
    figure = _figure((12 if widest < 3 else 15, 4.6 if len(rows) == 1 else 4.1 * len(rows)), title)
    common = math.lcm(*map(len, rows))
    grid = figure.add_gridspec(len(rows), common)
    named: dict[str, Axes] = {}
    for i, row in enumerate(rows):
        span = common // len(row)
        named |= {
            name: tidy(figure.add_subplot(grid[i, j * span : (j + 1) * span])) for j, name in enumerate(row)
        }
    return figure, named


def _figure(size: tuple[float, float], title: str) -> Figure:
    layout = ConstrainedLayoutEngine(w_pad=0.09, h_pad=0.09, wspace=0.03, hspace=0.04)
    figure = Figure(figsize=size, layout=layout, facecolor="white")
    if title:
        lines = [textwrap.fill(line, int(size[0] * 11)) for line in title.splitlines()]
        figure.suptitle(literal_text("\n".join(lines)), fontsize=11.5, color=INK)
    return figure


def tidy(axes: Axes) -> Axes:
    """The same axes with a light grid and two spines, so that the data stand out."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT)
    axes.grid(color="#E6E6E6", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK, labelsize=10, length=3)
    return axes


def panel_labels(axes: Axes, title: str, xlabel: str, ylabel: str) -> None:
    """Set a panel's title, on the left, and the labels of its axes."""
    axes.set_title(literal_text(wrapped(axes, title)), **TITLE)
    axes.set_xlabel(literal_text(xlabel), fontsize=10.5, color=INK)
    axes.set_ylabel(literal_text(ylabel), fontsize=10.5, color=INK)


def wrapped(axes: Axes, title: str) -> str:
    """The title of a panel in lines that are not longer than the panel is wide."""
    spec = axes.get_subplotspec()
    figure = axes.get_figure()
    assert isinstance(figure, Figure)
    share = spec.colspan.__len__() / spec.get_gridspec().ncols if spec else 1.0
    letters = share * figure.get_figwidth() * 72 / (TITLE["fontsize"] * LETTER)
    return "\n".join(textwrap.wrap(title, max(int(letters), 12)))


def layer_axis(axes: Axes, names: Mapping[int, str], is_foreign: bool = False) -> None:
    """Set the x axis of layers: numbers, or their names where these say more, as `stage 2, block 3: attention`.

    `names` are those of all layers by number.
    """
    last = max(names)
    count_axis(axes, 0, last)
    shown = named_layers(names)
    if shown:
        axes.set_xticks(
            list(shown), labels=list(shown.values()), rotation=40, ha="right", rotation_mode="anchor"
        )
        axes.tick_params(axis="x", labelsize=8.5)
        axes.set_xlabel("")
    else:
        axes.set_xlabel(layer_label(last, is_foreign), fontsize=10.5, color=INK)


def named_layers(names: Mapping[int, str]) -> dict[int, str]:
    """Some layers evenly spread and what an axis calls them; empty where the names are their numbers."""
    numbers = {"input", "output", *(f"hidden {layer}" for layer in names)}
    if numbers.issuperset(names.values()):
        return {}
    texts = {layer: layer_text(name, names.values()) for layer, name in names.items()}
    layers = sorted(names)
    count = min(len(layers), MOST_NAMES)
    chosen = sorted({round(i * (len(layers) - 1) / max(count - 1, 1)) for i in range(count)})
    return {
        layers[i]: literal_text(textwrap.shorten(texts[layers[i]], LONGEST_NAME, placeholder=" …"))
        for i in chosen
    }


def layer_text(name: str, names: Iterable[str]) -> str:
    """What a figure calls a layer: `stage 2, block 3` for `stage2 2` behind `entry2`; `layer 2` for `upper 1`."""
    if match := re.fullmatch(r"entry(\d+)", name):
        return f"stage {match[1]}, block 1"
    if match := re.fullmatch(r"stage(\d+) (\d+)", name):
        return f"stage {match[1]}, block {int(match[2]) + (f'entry{match[1]}' in names)}"
    if match := re.fullmatch(r"upper (\d+)", name):
        return f"layer {int(match[1]) + 1}"
    return "layer 1" if name == "first" else name


def layer_label(last: int, is_foreign: bool = False) -> str:
    """The label of the axis of layers; what the ends of a log are is not known."""
    return f"layer  (0 = first, {last} = last)" if is_foreign else f"layer  (0 = input, {last} = output)"


def empty_note(axes: Axes, text: str) -> None:
    """Write a text in the middle of a panel that has nothing to draw."""
    axes.text(
        0.5,
        0.5,
        literal_text(text),
        transform=axes.transAxes,
        ha="center",
        va="center",
        color=FAINT,
        fontsize=12,
    )


def literal_text(text: Any) -> str:
    """The text, shown as it is: a `$` begins no formula, a leading `_` hides no legend entry."""
    escaped = printable(str(text)).replace("$", r"\$")
    return f" {escaped}" if escaped.startswith("_") else escaped


def power_text(exponent: float, _position: int | None = None) -> str:
    """10⁻³ for −3, 10⁻⁰·⁵ for −0.5; matplotlib passes the position of the tick too."""
    number = f"{exponent:.2f}".rstrip("0").rstrip(".")
    return "10" + ("0" if number == "-0" else number).translate(_SUPERSCRIPT).replace(".", "·")


def power_axis(axes: Axes, low: float, high: float) -> None:
    """Label the y axis of log10 values in powers of ten, between these two exponents."""
    if low >= high:  # beyond 10^16 decades, which no run has, a float has no room for four of them
        low, high = -MIN_DECADES / 2, MIN_DECADES / 2
    axes.set_ylim(low, high)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=7, integer=True, min_n_ticks=2, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(power_text))


def fraction_axis(axes: Axes, drawn: Sequence[np.ndarray]) -> None:
    """Set the y axis of a score of at most 1: from 0, or from the lowest of the arrays of shape (points,) below 0."""
    lowest = [float(y[np.isfinite(y)].min()) for y in drawn if np.isfinite(y).any()]
    low = min([0.0, *lowest])
    if low < -1:
        axes.set_yscale("symlog", linthresh=1)
    axes.set_ylim(1.5 * low if low < -1 else low - 0.03, 1.03)


def plain_axis(axes: Axes, limits: tuple[float, float] | None) -> None:
    """Set the y axis of numbers of any sign; so little as rounding is not made to look like a slope."""
    low, high = limits or (0.0, 1.0)
    margin = max(0.06 * (high - low), 1e-3 * max(abs(low), abs(high))) or 0.5
    axes.set_ylim(low - margin, high + margin)


def count_axis(axes: Axes, low: float, high: float) -> None:
    """Set the x axis of layers or steps: whole numbers, with a margin at both ends."""
    margin = 0.03 * (high - low) or 0.5
    axes.set_xlim(low - margin, high + margin)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1, steps=[1, 2, 2.5, 5, 10]))


def shared_limits(ranges: Sequence[tuple[float, float] | None]) -> list[tuple[float, float]]:
    """Limits for panels that show the same number of decades, at least four, each around its own middle.

    A panel that would use less than a fifth of these decades shows fewer of them, and at least four. `ranges` holds the
    lowest and the highest log10 value of each panel, None for an empty one.
    """
    widths = [0.0 if limits is None else limits[1] - limits[0] for limits in ranges]
    widest = max(widths, default=0.0)
    own = [widest if width >= LEAST_SHARE * widest else width for width in widths]
    halves = [max(1.12 * width, MIN_DECADES) / 2 for width in own]
    middles = [0.0 if limits is None else (limits[0] + limits[1]) / 2 for limits in ranges]
    return [(middle - half, middle + half) for middle, half in zip(middles, halves, strict=True)]


def step_colours(count: int) -> list[str]:
    """The colours of the first, the middle and the last step; of two steps, those of the first and the last."""
    return [FIRST, LAST] if count == 2 else [FIRST, MIDDLE, LAST][:count]


def group_colours(count: int, ordered: bool) -> list[Any]:
    """One colour per group: from dark to light if the groups are `ordered` numbers, else contrasting ones."""
    if ordered and count > 2:
        return [colormaps["viridis"](0.02 + 0.80 * i / (count - 1)) for i in range(count)]
    return [COLOURS[i % len(COLOURS)] for i in range(count)]


def draw_legend(
    figure: Figure,
    entries: Mapping[str, Line2D | Patch],
    title: str = "",
    marks: Mapping[str, Line2D | Patch] = NO_ENTRIES,
    fonts: Sequence[float] = LEGEND_FONTS,
) -> None:
    """Draw one legend for all panels below them, where it covers no data, in as few rows as the width allows.

    It takes at most a quarter of the figure's height: of more `entries` the last ones are counted, and `marks` kept.
    """
    if not entries and not marks:
        return
    size = next((size for size in fonts if _fits(figure, entries, marks, title, size)), fonts[-1])
    shown = _shown(figure, entries, marks, title, size) | dict(marks)
    labels = [literal_text(label) for label in shown]
    box = figure.legend(
        list(shown.values()),
        labels,
        loc="outside lower center",
        ncols=math.ceil(len(labels) / _legend_rows(figure, labels, size)),
        frameon=False,
        fontsize=size,
        title=literal_text(title) if title else None,
        title_fontproperties={"weight": "bold", "size": size},
    )
    box.get_title().set_color(INK)


def _shown(
    figure: Figure,
    entries: Mapping[str, Line2D | Patch],
    marks: Mapping[str, Line2D | Patch],
    title: str,
    size: float,
) -> dict[str, Line2D | Patch]:
    """All entries that fit beside the marks, or the first of them and the number of the others."""
    if _fits(figure, entries, marks, title, size):
        return dict(entries)
    names = list(entries)

    def first(count: int) -> dict[str, Line2D | Patch]:
        rest = {f"… and {len(names) - count} more": Line2D([], [], linestyle="")}
        return {name: entries[name] for name in names[:count]} | rest

    too_many = bisect(range(len(names)), 0, key=lambda n: not _fits(figure, first(n), marks, title, size))
    return first(max(too_many - 1, 0))


def _fits(
    figure: Figure,
    entries: Mapping[str, Line2D | Patch],
    marks: Mapping[str, Line2D | Patch],
    title: str,
    size: float,
) -> bool:
    labels = [literal_text(label) for label in {**entries, **marks}]
    lines = _legend_rows(figure, labels, size) + bool(title)
    return lines * LINE_HEIGHT * size / 72 <= MOST_OF_HEIGHT * figure.get_figheight()


def _legend_rows(figure: Figure, labels: list[str], size: float) -> int:
    width = figure.get_figwidth() * 125 / size  # in letters of this size; the sample of a line takes six
    columns = [count for count in range(1, len(labels) + 1) if _legend_width(labels, count) <= width]
    return math.ceil(len(labels) / max(columns, default=1))


def _legend_width(labels: list[str], columns: int) -> int:
    """The width in letters of a legend with N columns; matplotlib fills them one after the other."""
    rows = math.ceil(len(labels) / columns)
    return sum(max(map(len, labels[i : i + rows])) + 6 for i in range(0, len(labels), rows))
