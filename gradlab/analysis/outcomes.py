"""The outcomes of runs that a comparison of many looks at: gain and decades at the start, test score at the end."""

from typing import Any

import numpy as np
import pandas as pd

from gradlab.analysis.gain import backward_gain
from gradlab.analysis.score import Score
from gradlab.analysis.selection import defined_backward, minibatch_rows, rows_with

OUTCOMES = ("gain", "decades", "score")  # log10 of the gain per layer; decades; test score


def seed_outcomes(
    results: pd.DataFrame, layers: pd.DataFrame, steps: pd.DataFrame, score: Score | None
) -> pd.DataFrame:
    """One row per run and seed: the run's columns of `results`, `seed` if it has several, and the three outcomes.

    `results` are those of `compare_runs`, `layers` and `steps` tables as `gather` returns them with the first step of
    every run and the evaluations. The outcome of a run of one seed is the run's; of several seeds, each has its own:
    gain and decades of `backward_gain` over its rows. NaN where there is no finite value, and for the score where the
    runs have none in common (`score` is None).
    """
    gain = pd.to_numeric(results.gain_start).to_numpy(dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):
        values = {
            "gain": np.log10(gain),
            "decades": pd.to_numeric(results.decades_start).to_numpy(dtype=float),
            "score": pd.to_numeric(results.test_score).to_numpy(dtype=float) if score else np.nan,
        }
    frame = results.assign(**values)
    several = set(frame.run[(frame.seeds > 1).to_numpy()])
    if not several:
        return frame
    start = minibatch_rows(layers)
    start = defined_backward(start[(start.run.isin(several) & (start.step == start.step.min())).to_numpy()])
    rows = [
        {"run": run, "seed": seed, **_signal(own)}
        for (run, seed), own in start.groupby(["run", "seed"], observed=True)
    ]
    of_seeds = pd.DataFrame(rows).assign(run=lambda found: found.run.astype(str))
    of_seeds = of_seeds.merge(_last_scores(steps, score), on=["run", "seed"], how="left")
    named = results.drop(columns=["seed"], errors="ignore")
    return pd.concat(
        [frame[~frame.run.isin(several).to_numpy()], named.merge(of_seeds, on="run")], ignore_index=True
    )


def _signal(rows: pd.DataFrame) -> dict[str, Any]:
    gain = backward_gain(rows)
    log10_gain = np.nan if gain.gain is None else float(np.log10(gain.gain))
    return {"gain": log10_gain, "decades": np.nan if gain.decades is None else gain.decades}


def _last_scores(steps: pd.DataFrame, score: Score | None) -> pd.DataFrame:
    """The test score of each seed at its last evaluation."""
    rows = rows_with(minibatch_rows(steps), "train_loss").sort_values("step", kind="stable")
    last = rows.groupby(["run", "seed"], observed=True).tail(1)
    values = np.full(len(last), np.nan) if score is None else score.array(last, "test")
    return pd.DataFrame({"run": last.run.astype(str), "seed": last.seed, "score": values})
