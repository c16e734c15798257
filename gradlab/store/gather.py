"""A table of several runs as one tidy frame, with a column for each choice in which the runs differ."""

import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from gradlab.measurements.columns import TABLES
from gradlab.recipe.errors import RecipeError, hint
from gradlab.store.minibatches import Selection
from gradlab.store.read import UNFINISHED, Paths, Run, frames, read_each, require_table


def load(paths: Paths, table: str = "layers", by: Iterable[str] = ()) -> pd.DataFrame:
    """One tidy frame of the same table of several runs: the path of a run or a study, a run, or a list of these.

    Besides the table's columns it has `run` (the folder's name) and one column for each choice that differs between
    the runs or is named in `by`: `clip` holds the name of the option, `clip.threshold` its number. It is missing in
    the rows of a run that does not have the choice. Two choices have the name of a table's column and therefore keep
    their full key: `loss.name`, `penalty.name`.

    A run that cannot be read, is still running, was killed or failed is named by a warning and left out; given by its
    own folder, a running or killed one has the rows that it has written so far.

    Raises:
        RecipeError: if no run can be read, or there is no such table or choice.
    """
    if table not in TABLES:
        raise RecipeError(f"there is no table '{table}'{hint(table, TABLES)}")

    def with_table(run: Run) -> Run:
        require_table(run, table)
        return run

    runs, problems = read_each(paths, with_table)
    for line in (*problems.unfinished, *problems.unreadable):
        warnings.warn(f"left out: {line}", stacklevel=2)
    for run in runs:
        if run.status["state"] in UNFINISHED:
            warnings.warn(f"{run.folder} is {run.status['state']}: these are its rows so far", stacklevel=2)
    return gather(runs, table, by)


def gather(
    runs: list[Run], table: str = "layers", by: Iterable[str] = (), selection: Selection | None = None
) -> pd.DataFrame:
    """`load` for runs that are already open; with a `selection` only these rows and columns.

    Raises:
        RecipeError: if there is no such table or choice.
    """
    if table not in TABLES:
        raise RecipeError(f"there is no table '{table}'{hint(table, TABLES)}")
    frame, origin = frames(table, runs, selection)
    labels = {"run": names(runs)} | choices(runs, by)
    choice_columns = pd.DataFrame(
        {key: _spread(values, origin) for key, values in labels.items() if key not in frame.columns},
        index=frame.index,
    )
    return pd.concat([choice_columns, frame], axis=1)


def names(runs: list[Run]) -> list[str]:
    """A distinct name for each run: the folder's name, or its path if two folders have the same name."""
    short = [run.name for run in runs]
    return short if len(set(short)) == len(short) else [str(run.folder) for run in runs]


def choices(runs: list[Run], by: Iterable[str] = ()) -> dict[str, list[Any]]:
    """The choices in `by`, then those that differ between the runs, each with its value in every run (or None).

    Raises:
        RecipeError: if no run has a choice of `by`.
    """
    run_choices = [run.choices for run in runs]
    keys = list(dict.fromkeys(key for chosen in run_choices for key in chosen))
    requested = [column(word, keys) for word in by]
    values = {key: [chosen.get(key) for chosen in run_choices] for key in keys}
    differing = [key for key in keys if len(set(map(repr, values[key]))) > 1]
    return {key: values[key] for key in dict.fromkeys([*requested, *differing])}


def column(word: str, names: Iterable[str]) -> str:
    """Which of `names` is the column of a choice, with or without `.name`: `clip`, `clip.name`, `penalty`.

    Raises:
        RecipeError: if there is none.
    """
    names = list(names)
    for name in (word, word.removesuffix(".name"), f"{word}.name"):
        if name in names:
            return name
    raise RecipeError(f"no run has a choice '{word}'{hint(word, names)}")


def _spread(values: list[Any], origin: np.ndarray) -> Any:
    """From one value per run to one value per row, numbers as numbers and words as categories.

    `origin`, (rows,), is the index of each row's run.
    """
    types = {type(value) for value in values}
    if types <= {int} or types <= {bool} or (types <= {int, float, type(None)} and types != {type(None)}):
        return np.array([np.nan if value is None else value for value in values])[origin]
    words = [None if value is None else str(value) for value in values]
    categories = list(dict.fromkeys(word for word in words if word is not None))
    codes = np.array([-1 if word is None else categories.index(word) for word in words])
    return pd.Categorical.from_codes(codes[origin], categories=pd.Index(categories, dtype="str"))
