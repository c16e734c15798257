"""Why a run has no gradient noise scale."""

import numpy as np
import pandas as pd

from gradlab.analysis.selection import rows_with

# of the column noise_undefined, as the probe stores it
REASONS = {
    1: "batch statistics couple the examples, so that none has a gradient of its own",
    2: "the estimate of |G|² is not positive: too few examples to tell the mean gradient from noise",
    3: "a gradient is not finite, or all are exactly zero",
}


def reasons(steps: pd.DataFrame) -> list[str]:
    """The reasons in a run's table of steps, each with the number of measurements that have it, most frequent first."""
    if "noise_undefined" not in steps:
        return []
    codes = rows_with(steps, "noise_undefined").noise_undefined.to_numpy(int)
    numbers = {code: int(np.sum(codes == code)) for code in REASONS}
    frequent = sorted((count, code) for code, count in numbers.items() if count)[::-1]
    return [f"{REASONS[code]} ({count} of {len(codes)} times)" for count, code in frequent]
