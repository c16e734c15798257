"""What the legend of a comparison says: the look of each group, and how many runs and seeds it stands for."""

from collections.abc import Hashable

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from gradlab.analysis.selection import is_measured, not_finite, to_float64
from gradlab.figures import spread, style
from gradlab.figures.groups import SEED_KEYS, Groups, is_numeric, rows_of, value_text

MOST_ENTRIES = 12  # numbers that are named: of more some stand for the scale


def entries(
    groups: Groups, layers: pd.DataFrame, steps: pd.DataFrame, common: int
) -> dict[str, Line2D | Patch]:
    """One entry per group with its numbers of runs, seeds (unless all runs have `common` ones) and non-finite seeds."""
    named: dict[str, Line2D | Patch] = {}
    for value in _named_groups(groups, layers):
        rows = rows_of(steps, groups.by, value)
        runs, seeds = rows.run.nunique(), rows.groupby(SEED_KEYS, observed=True).ngroups
        nonfinite = _nonfinite_seeds(rows, rows_of(layers, groups.by, value))
        counts = [f"{runs} runs"] if runs > 1 else []
        counts += [f"{seeds} seeds"] if seeds > runs and not common else []
        counts += [f"{nonfinite} of {seeds} non-finite" if seeds > 1 else "non-finite"] if nonfinite else []
        label = value_text(value) + (f" ({', '.join(counts)})" if counts else "")
        look = groups.styles[value]
        dashes = look.dashes()
        # of a thicker line the sample is too short for a period of the dashes
        width = 3 if dashes == "-" else 2
        named[label] = Line2D([], [], color=look.colour, linewidth=width, linestyle=dashes)
    if groups.many:
        named[spread.MEANING] = Patch(color=style.FAINT, alpha=0.3)
    elif max(steps.groupby("run", observed=True).seed.nunique(), default=0) >= groups.band_from:
        named["median and range over the seeds of a run"] = Patch(color=style.FAINT, alpha=0.3)
    return named


def _named_groups(groups: Groups, layers: pd.DataFrame) -> list[Hashable]:
    """The groups that the legend names: all, or of many numbers some, evenly spread over the scale of colours."""
    values = list(groups.styles)
    if len(values) <= MOST_ENTRIES or not is_numeric(layers[groups.by]):
        return values
    return [values[i] for i in np.linspace(0, len(values) - 1, MOST_ENTRIES).round().astype(int)]


def _nonfinite_seeds(steps: pd.DataFrame, layers: pd.DataFrame) -> int:
    """The number of seeds with a measured loss or backward signal that is not finite (an exact zero is finite)."""
    losses = steps[is_measured(steps.loss) & ~np.isfinite(to_float64(steps.loss))]
    signals = layers[not_finite(layers, "log10_backward")]
    return len({*zip(losses.run, losses.seed, strict=True)} | {*zip(signals.run, signals.seed, strict=True)})
