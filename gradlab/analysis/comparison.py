"""Runs side by side: what differs between them and the results of each, ordered by the choice that differs."""

from typing import Any

import pandas as pd

from gradlab.analysis.results import Diagnosis
from gradlab.analysis.verdicts import diagnose
from gradlab.store.gather import choices, names
from gradlab.store.json_safe import json_safe
from gradlab.store.read import Run


def compare_runs(runs: list[Run], by: str = "") -> pd.DataFrame:
    """One row per run: what differs (`by` first), losses, scores, gain, decades, verdicts, seeds, diverged.

    Numbers are means over the seeds in which they are finite; decades are powers of ten from the last
    hidden layer back to the first; an empty cell was not measured or does not exist for the run.
    """
    differing = choices(runs, [by] if by else [])
    rows = [
        {key: values[i] for key, values in differing.items()} | _results(diagnose(run))
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


def _results(diagnosis: Diagnosis) -> dict[str, Any]:
    start, end, training = diagnosis.signal_start, diagnosis.signal_end, diagnosis.training
    # over time: the verdicts of the last recurrent layer
    time_start, time_end = (
        verdicts[-1] if verdicts else None for verdicts in (diagnosis.times_start, diagnosis.times_end)
    )
    results = {
        "seeds": training.seeds,
        "diverged": training.diverged,
        "training": training.verdict,
        "train_loss": training.loss_last,
        "train_score": training.train_score,
        "test_score": training.test_score,
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
