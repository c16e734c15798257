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


def at_end(run: "RunResult", column: str) -> np.ndarray:
    """A column of the table of steps in the last row of each seed's minibatches, float64 of shape (seeds,)."""
    rows = run.steps
    rows = rows[rows["source"] == "batch"].sort_values(["seed", "step"]).groupby("seed").tail(1)
    return np.asarray(rows[column].to_numpy(dtype=np.float64, na_value=np.nan))


def time_gain(run: "RunResult", column: str = "log10_backward") -> np.ndarray:
    """The mean factor per time step of a column of the table of times, backward in time, of each seed; (seeds,)."""
    rows = run.times
    rows = rows[rows["source"] == "batch"].sort_values(["seed", "time"])
    values = rows[column].to_numpy(dtype=np.float64, na_value=np.nan).reshape(rows["seed"].nunique(), -1)
    return np.asarray(10 ** ((values[:, 0] - values[:, -1]) / (values.shape[1] - 1)))
