"""Further pictures of a study: outcomes against choices, depth with gain and score, cost against score."""

from typing import TYPE_CHECKING

import numpy as np

from gradlab.recipe.errors import RecipeError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from gradlab.report.comparison import Comparison

KINDS = ("choices", "depths", "pareto")


def study_picture(comparison: "Comparison", kind: str) -> "Figure":
    """The picture of one of KINDS of a comparison's runs.

    Raises:
        RecipeError: the runs have not what the picture is about.
    """
    names = [key for key in comparison.by if key in comparison.factors] or comparison.by[:1]
    score = comparison.score
    if kind == "choices":
        from gradlab.figures.choices import choices

        return choices(comparison.outcomes, names, score)
    if score is None:
        raise RecipeError(f"--kind {kind} needs a score, and the runs have none in common")
    if kind == "depths":
        from gradlab.figures.depths import depths

        if "depth" not in comparison.outcomes:
            raise RecipeError("--kind depths is about depth, which these runs do not have as a choice")
        return depths(comparison.outcomes, score)
    from gradlab.figures.pareto import pareto

    return pareto(_costs(comparison), names[0], score)


def _costs(comparison: "Comparison") -> "pd.DataFrame":
    """The results with the seconds after compiling and the operations of the training; NaN where not known."""
    by_name = {run.folder.name: run.status for run in comparison.runs}
    of_runs = [by_name.get(str(name), {}) for name in comparison.results.run]
    seconds = [status.get("seconds", np.nan) - status.get("compile_seconds", np.nan) for status in of_runs]
    flops = [
        (status.get("flops_per_step") or np.nan) * status.get("steps_done", np.nan) for status in of_runs
    ]
    scores = comparison.results.test_score.to_numpy(dtype=float, na_value=np.nan)
    return comparison.results.assign(seconds=seconds, flops=flops, score=scores)
