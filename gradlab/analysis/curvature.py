"""Whether a run ends at the edge of stability: its sharpness beside the optimizer's limit."""

import numpy as np

from gradlab.analysis.results import Finding
from gradlab.analysis.selection import rows_with, to_float64
from gradlab.store.read import Run

LOW, HIGH = 0.95, 1.10  # of sharpness ÷ limit, as mean over the last quarter of the steps
FEWEST = 5  # measurements in the last quarter
WORD = "edge of stability"


def at_the_edge(run: Run) -> list[Finding]:
    """Of a run on the whole training set: whether the sharpness of every seed stays at the optimizer's limit.

    Not of an optimizer with a preconditioner, nor of minibatches, whose noise keeps the sharpness below the limit.
    """
    if run.is_foreign or run.recipe["batch_size"] or "sharpness" not in run.steps:
        return []
    if run.steps.preconditioned_sharpness.notna().any():
        return []
    rows = rows_with(rows_with(run.steps, "sharpness"), "stability_limit")
    late = rows[(rows.step > 0.75 * run.status["steps_done"]).to_numpy()]
    ratio = to_float64(late.sharpness) / to_float64(late.stability_limit)
    seeds = np.unique(late.seed)
    of_seeds = [ratio[(late.seed == seed).to_numpy()] for seed in seeds]
    if not of_seeds or any(len(values) < FEWEST for values in of_seeds):
        return []
    means = [float(values.mean()) for values in of_seeds]
    if not all(LOW <= mean <= HIGH for mean in means):  # a NaN is outside
        return []
    steps = [int(late.step.min()), int(late.step.max())]
    return [Finding(WORD, "cause", "end", len(seeds), [], steps, {"ratio": float(np.mean(means))})]
