"""The look of each group of runs: a colour and dashes, and never the same for two groups."""

from collections.abc import Hashable
from typing import Any, NamedTuple

import pandas as pd
from matplotlib.typing import LineStyleType

from gradlab.figures import marks, style

DASHES: tuple[LineStyleType, ...] = ("-", "--", ":", "-.")
# of the first, second, … word of one colour; neighbouring words differ in dashes too, so that lines on each other are
# both visible
_SHIFTS = (0, 2, 1, 3)
MOST_WORDS = len(style.COLOURS) * len(DASHES)
MOST_NUMBERS = 100  # beyond it neighbours on the scale of colours look alike
SEED_KEYS = ["run", "seed"]  # the columns that identify a seed
MAX_LINE_GROUPS = 4  # groups beyond which the lines of single seeds would be a tangle
MOST_RUNS = 4  # of a group: of more the median is drawn
ALL = "all runs"  # the one group of runs that would be too many groups


class GroupStyle(NamedTuple):
    """The look of a group; where no other group has its colour, its runs may differ in dashes."""

    colour: Any
    dash: int
    has_own_colour: bool

    def dashes(self, run: int = 0) -> LineStyleType:
        """Those of the N-th run of the group."""
        return DASHES[(self.dash + run * self.has_own_colour) % len(DASHES)]


class Groups(NamedTuple):
    """The runs by their value of the column `by`, each with its look; `many` where a group is drawn as its median."""

    by: str
    styles: dict[Hashable, GroupStyle]
    many: bool

    @property
    def band_from(self) -> int:
        """The number of seeds of a run from which on they are drawn as a band."""
        return marks.BAND_SEEDS if len(self.styles) <= MAX_LINE_GROUPS else 2


def is_numeric(column: pd.Series) -> bool:
    """Whether the values are numbers, which have an order; booleans are words."""
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def too_many(column: pd.Series) -> bool:
    """Whether there are more values than looks."""
    return int(column.nunique()) > (MOST_NUMBERS if is_numeric(column) else MOST_WORDS)


def group_styles(column: pd.Series) -> dict[Hashable, GroupStyle]:
    """The look of each value, None for null: numbers from dark to light, words in contrasting colours, null grey.

    Words are in the order of their categories, or in that of the rows.
    """
    numbers = is_numeric(column)
    values = [value for value in column.unique() if not pd.isna(value)]
    if isinstance(column.dtype, pd.CategoricalDtype):
        values.sort(key=list(column.cat.categories).index)
    elif numbers:
        values.sort()
    colours = style.group_colours(len(values), numbers)
    has_own_colour = numbers or len(values) <= len(style.COLOURS)
    styles: dict[Hashable, GroupStyle] = {}
    for index, (value, colour) in enumerate(zip(values, colours, strict=True)):
        repeats = index // len(style.COLOURS)
        dash = 0 if numbers else index % 2 + _SHIFTS[repeats % len(_SHIFTS)]
        styles[value] = GroupStyle(colour, dash, has_own_colour)
    if column.isna().any():
        styles[None] = GroupStyle(style.FAINT, 0, True)
    return styles


def rows_of(frame: pd.DataFrame, by: str, value: Hashable) -> pd.DataFrame:
    """The rows of a group."""
    return frame[(frame[by].isna() if value is None else frame[by] == value).to_numpy(dtype=bool)]


def value_text(value: Any) -> str:
    """A value as it stands in a legend or at an axis: numbers with at most six digits, null as `none`."""
    if value is None or value != value:
        return "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def group_runs(frame: pd.DataFrame, by: str) -> Groups:
    """The groups of the runs of a table by its column `by`; the group ALL is dark, and its single runs are grey."""
    if set(frame[by].unique()) == {ALL}:
        return Groups(by, {ALL: GroupStyle(style.INK, 0, True)}, many=True)
    runs = frame.groupby(by, observed=True, dropna=False).run.nunique()
    return Groups(by, group_styles(frame[by]), many=bool((runs > MOST_RUNS).any()))
