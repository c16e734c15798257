"""Runs side by side: what differs between them and the results of each, ordered by the choice that differs."""

from dataclasses import asdict

import pandas as pd

from gradlab.analysis.run_results import RESULT_TYPES, run_results, way_to_target
from gradlab.analysis.study import WITHOUT_RESULTS, Row, study_rows
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
        {key: values[i] for key, values in differing.items()} | results
        for i, results in enumerate(_results(study_rows(runs), runs, target))
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


def _results(rows: list[Row], runs: list[Run], target: float | None) -> list[Row]:
    """The results of each run, of the study's rows where they have them."""
    return [dict(json_safe(_of_row(row, run, target))) for row, run in zip(rows, runs, strict=True)]


def _of_row(row: Row, run: Run, target: float | None) -> Row:
    if row["state"] in WITHOUT_RESULTS or row["training"] is None:
        return asdict(run_results(run, target))  # of the rows that it has so far, or why there are none
    results = {name: row[name] for name in RESULT_TYPES}
    return results if target is None else results | way_to_target(run, target)
