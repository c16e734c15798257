"""Numbers of a measured network that claims are about: its profile at a step, and factors per layer."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from gradlab.report.result import RunResult


def profile(run: "RunResult", column: str, *, step: int = 0, source: str = "batch") -> np.ndarray:
    """A column of the table of layers at one step, float64 of shape (seeds, layers); null is NaN."""
    rows = run.layers
    rows = rows[(rows["step"] == step) & (rows["source"] == source)].sort_values(["seed", "layer"])
    values = rows[column].to_numpy(dtype=np.float64, na_value=np.nan)
    return np.asarray(values.reshape(rows["seed"].nunique(), -1))


def ratios(run: "RunResult", column: str, first: int, last: int) -> np.ndarray:
    """The value at layer `first` divided by that at layer `last`, of each seed, from a column of log10; (seeds,)."""
    values = profile(run, column)
    return np.asarray(10 ** (values[:, first] - values[:, last]))


def log_factors(run: "RunResult", column: str, first: int, last: int) -> np.ndarray:
    """ln of the squared factor per layer, backward from layer `last` to `first`, of each seed; (seeds,).

    The slope of a straight line through ln of the column's squares at the layers first…last: positive where the signal
    grows on its way back.
    """
    values = profile(run, column)[:, first : last + 1]
    slopes = np.polynomial.polynomial.polyfit(np.arange(first, last + 1), values.T, 1)[1]
    return np.asarray(-2 * np.log(10) * slopes)
