"""What the gradient noise scale of a run says, and why there may be none."""

import numpy as np
import pandas as pd

from gradlab.analysis.results import Finding
from gradlab.analysis.selection import rows_with, to_float64
from gradlab.store.read import Run

# of the column noise_undefined, as the probe stores it
REASONS = {
    1: "batch statistics couple the examples, so that none has a gradient of its own",
    2: "the estimate of |G|² is not positive: too few examples to tell the mean gradient from noise",
    3: "a gradient is not finite, or all are exactly zero",
}

WORD = "noise dominates the gradient"
TIMES = 4  # the batch size: a noise scale beyond it


def dominating(run: Run) -> list[Finding]:
    """Whether at the last measurement the noise scale of every seed is well above the batch size.

    By more than two of its standard errors; not of the whole training set, whose gradient has no noise.
    """
    batch = 0 if run.is_foreign else run.recipe["batch_size"]
    if not batch or "noise_scale" not in run.steps:
        return []
    rows = rows_with(run.steps, "noise_undefined")
    last = rows[(rows.step == rows.step.max()).to_numpy()]
    scale, error = to_float64(last.noise_scale), to_float64(last.noise_scale_error)
    if not len(scale) or not np.all(scale - 2 * error > TIMES * batch):  # a NaN is none
        return []
    numbers: dict[str, float | None] = {"noise_scale": float(np.median(scale)), "batch_size": float(batch)}
    return [Finding(WORD, "cause", "end", len(scale), [], [int(last.step.max())], numbers)]


def reasons(steps: pd.DataFrame) -> list[str]:
    """The reasons in a run's table of steps, each with the number of measurements that have it, most frequent first."""
    if "noise_undefined" not in steps:
        return []
    codes = rows_with(steps, "noise_undefined").noise_undefined.to_numpy(int)
    numbers = {code: int(np.sum(codes == code)) for code in REASONS}
    frequent = sorted((count, code) for code, count in numbers.items() if count)[::-1]
    return [f"{REASONS[code]} ({count} of {len(codes)} times)" for count, code in frequent]
