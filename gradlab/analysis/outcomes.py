"""The outcomes of runs that a comparison of many looks at: gain and decades at the start, test score at the end."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gradlab.analysis.gain import backward_gain
from gradlab.analysis.score import Score
from gradlab.analysis.selection import defined_backward, minibatch_rows, rows_with

OUTCOMES = ("gain", "decades", "score")  # log10 of the gain per layer; decades; test score


def run_outcomes(results: pd.DataFrame, score: Score | None) -> pd.DataFrame:
    """The results of `compare_runs`, a row per run, with the three outcomes; NaN where there is no finite value.

    The score is NaN where the runs have none in common (`score` is None).
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return results.assign(
            gain=np.log10(_floats(results.gain_start)),
            decades=_floats(results.decades_start),
            score=_floats(results.test_score) if score else np.nan,
        )


def _floats(column: pd.Series) -> NDArray[np.float64]:
    return pd.to_numeric(column).to_numpy(dtype="float64", na_value=np.nan)


def seed_outcomes(
    results: pd.DataFrame, layers: pd.DataFrame, steps: pd.DataFrame, score: Score | None
) -> pd.DataFrame:
    """The same with a row per run and seed.

    `layers` and `steps` are tables as `gather` returns them, with the first step of every run and its evaluations. Of a
    run of several seeds each has its own outcomes, gain and decades those of `backward_gain` over its rows.
    """
    start = minibatch_rows(layers)
    start = defined_backward(start[(start.step == start.step.min()).to_numpy()])
    seeds = start.drop_duplicates("run").set_index("run").seed
    frame = run_outcomes(results, score).assign(seed=lambda rows: rows.run.map(dict(seeds)))
    single = (frame.seeds == 1).to_numpy()
    start = start[start.run.isin(frame.run[~single]).to_numpy()]
    rows = [
        {"run": run, "seed": seed, **_signal(own)}
        for (run, seed), own in start.groupby(["run", "seed"], observed=True)
    ]
    of_seeds = pd.DataFrame(rows).astype({"run": str})
    of_seeds = of_seeds.merge(_last_scores(steps, score), on=["run", "seed"], how="left")
    named = results.drop(columns=["seed"], errors="ignore")
    return pd.concat([frame[single], named.merge(of_seeds, on="run")], ignore_index=True)


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
