"""Runs side by side: what differs between them and the results of each, ordered by the choice that differs."""

from typing import Any

import numpy as np
import pandas as pd

from gradlab.analysis.score import score_of
from gradlab.analysis.selection import minibatch_rows, rows_with, to_float64
from gradlab.analysis.verdicts import diagnose
from gradlab.store.gather import choices, names
from gradlab.store.json_safe import json_safe
from gradlab.store.read import Run


def compare_runs(runs: list[Run], by: str = "", target: float | None = None) -> pd.DataFrame:
    """One row per run: what differs (`by` first), losses, scores, their gap, the way to a target loss, gain, verdicts.

    Numbers are means over the seeds in which they are finite, those of `_sd` standard deviations (n − 1) over them;
    decades are powers of ten from the last hidden layer back to the first; an empty cell was not measured or does not
    exist for the run. `target` is a training loss; where it is not given, each run has that which *learned* demands.
    """
    differing = choices(runs, [by] if by else [])
    rows = [
        {key: values[i] for key, values in differing.items()} | _results(run, target)
        for i, run in enumerate(runs)
    ]
    frame = pd.DataFrame(rows).assign(run=names(runs))
    return frame.sort_values(
        list(differing), key=_sort_key, kind="stable", ignore_index=True, na_position="first"
    )


def _sort_key(column: pd.Series) -> pd.Series:
    """Numbers by size, words in the order of the runs."""
    if pd.api.types.is_numeric_dtype(column):
        return column
    words = column.map(lambda value: None if value is None else str(value))
    return pd.Series(pd.factorize(words)[0])


def _results(run: Run, target: float | None) -> dict[str, Any]:
    diagnosis = diagnose(run)
    start, end, training = diagnosis.signal_start, diagnosis.signal_end, diagnosis.training
    # over time: the verdicts of the last recurrent layer
    time_start, time_end = (
        verdicts[-1] if verdicts else None for verdicts in (diagnosis.times_start, diagnosis.times_end)
    )
    results = {
        "seeds": training.seeds,
        "diverged": training.diverged,
        "training": training.verdict,
        **_last_evaluation(run),
        **_way_to(target, run, training.chance_loss),
        "signal_start": start.verdict,
        "gain_start": start.gain,
        "decades_start": start.decades,
        "signal_end": end.verdict,
        "gain_end": end.gain,
        "decades_end": end.decades,
        "time_start": time_start and time_start.verdict,
        "time_gain_start": time_start and time_start.gain,
        "time_end": time_end and time_end.verdict,
        "clip_share": training.clip_share,
    }
    return dict(json_safe(results))


def _last_evaluation(run: Run) -> dict[str, float | None]:
    """Mean and standard deviation over seeds of the last loss and scores, and of the gap: training less test score."""
    score = score_of(run.status["data"])
    rows = rows_with(minibatch_rows(run.steps), "train_loss").sort_values("step")
    last = rows.groupby("seed").tail(1)
    train, test = (score.array(last, part) for part in ("train", "test"))
    if score.name == "loss":  # a surface: there is no score beside the loss
        train, test = np.full_like(train, np.nan), np.full_like(test, np.nan)
    per_seed = {
        "train_loss": to_float64(last.train_loss),
        "train_score": train,
        "test_score": test,
        "gap": train - test,
    }
    results: dict[str, float | None] = {}
    for name, values in per_seed.items():
        finite = values[np.isfinite(values)]
        results[name] = float(finite.mean()) if finite.size else None
        results[f"{name}_sd"] = float(finite.std(ddof=1)) if finite.size > 1 else None
    return results


def _way_to(target: float | None, run: Run, chance_loss: float) -> dict[str, float | int | None]:
    """After how many steps, and seconds, an evaluated training loss is at most the target: means over `reached` seeds.

    The seconds are those of the whole run without its compilation, in proportion to the steps: an estimate.
    """
    if target is None:
        target = score_of(run.status["data"]).learned_loss * chance_loss
    rows = rows_with(minibatch_rows(run.steps), "train_loss")
    reached = rows[to_float64(rows.train_loss) <= target].groupby("seed").step.min()
    steps = float(reached.mean()) if len(reached) else None
    done = run.status.get("steps_done") or 0
    pace = (run.status["seconds"] - run.status["compile_seconds"]) / done if done else None
    return {
        "target": target,
        "reached": len(reached),
        "steps_to_target": steps,
        "seconds_to_target": None if steps is None or pace is None else steps * max(pace, 0.0),
    }
