"""Runs side by side: what each was told and how well it did, ordered by the choice that differs."""

from typing import Any

import pandas as pd

from gradlab.analysis.verdicts import diagnose
from gradlab.store.read import Run, choices, names


def table(runs: list[Run], by: str = "") -> pd.DataFrame:
    """One row a run: what differs (`by` first), losses, accuracies, gain, decades, verdicts, seeds, diverged.

    Numbers are means over the seeds in which they are finite; decades are powers of ten from the last
    hidden layer back to the first; an empty cell is not measured or not there.
    """
    differing = choices(runs, [by] if by else [])
    rows = []
    for i, run in enumerate(runs):
        found = diagnose(run)
        rows.append({key: values[i] for key, values in differing.items()} | _row(found))
    frame = pd.DataFrame(rows).assign(run=names(runs))
    return frame.sort_values(
        list(differing), key=_place, kind="stable", ignore_index=True, na_position="first"
    )


def _place(column: pd.Series) -> pd.Series:
    """Where each value stands: numbers by size, words in the order in which they were asked for."""
    if pd.api.types.is_numeric_dtype(column):
        return column
    return pd.Series(pd.factorize(column.map(lambda value: None if value is None else str(value)))[0])


def _row(found: dict[str, Any]) -> dict[str, Any]:
    start, end, training = found["signal_start"], found["signal_end"], found["training"]
    # of the last recurrent layer
    first, last = ((found[key] or [{}])[-1] for key in ("times_start", "times_end"))
    return {
        "seeds": training["seeds"],
        "diverged": training["diverged"],
        "training": training["verdict"],
        "train_loss": training["loss_last"],
        "train_score": training["train_score"],
        "test_score": training["test_score"],
        "signal_start": start["verdict"],
        "gain_start": start["gain"],
        "decades_start": start["decades"],
        "signal_end": end["verdict"],
        "gain_end": end["gain"],
        "decades_end": end["decades"],
        "time_start": first.get("verdict"),
        "time_gain_start": first.get("gain"),
        "time_end": last.get("verdict"),
        "clip_share": training["clip_share"],
    }
