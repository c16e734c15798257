"""The numbers that a figure of a run is drawn from, per seed, step and layer: as a table to read, as CSV, as JSON."""

import json
import math
from typing import TYPE_CHECKING, Any

from gradlab.recipe.errors import RecipeError
from gradlab.report.summary import aligned

if TYPE_CHECKING:
    import pandas as pd

    from gradlab.figures.registry import RunFigure
    from gradlab.store.read import Run

FORMATS = ("text", "csv", "json")
KEYS = ("seed", "step", "source", "layer", "name", "time", "measure", "index")
DIGITS = 4  # of a number in the text


def table_text(run: "Run", figure: "RunFigure", form: str) -> str:
    """The numbers of a figure in one of FORMATS; as text only the first, the middle and the last step of layers.

    Raises:
        RecipeError: the run has no such figure, or the figure has no columns.
    """
    rows = numbers(run, figure)
    if form == "csv":
        return str(rows.to_csv(index=False, na_rep="")).rstrip("\n")
    if form == "json":
        records = [{key: _plain(value) for key, value in row.items()} for row in rows.to_dict("records")]
        return json.dumps(records, ensure_ascii=False, indent=1)
    if "layer" in rows and len(rows):
        from gradlab.figures.profile import drawn_steps

        rows = rows[rows.step.isin(drawn_steps(rows)).to_numpy()]
    return aligned(
        [list(rows.columns), *([_cell(value) for value in row] for row in rows.itertuples(index=False))]
    )


def numbers(run: "Run", figure: "RunFigure") -> "pd.DataFrame":
    """The rows of the figure's first table with its columns, those in which one was measured; of minibatches if any.

    Raises:
        RecipeError: the run has no such figure, or the figure has no columns.
    """
    from gradlab.analysis.selection import minibatch_rows

    if problem := figure.problem(run):
        raise RecipeError(f"{run.folder} has no figure '{figure.name}': {problem}")
    table: pd.DataFrame = getattr(run, figure.tables[0])
    columns = [column for column in figure.drawn_columns if column in table]
    if "measure" in table:
        wanted = table.measure.isin(figure.drawn_columns)
        rows, columns = table[wanted.to_numpy(dtype=bool)], ["value"]
    elif columns:
        rows = table[table[columns].notna().any(axis=1).to_numpy(dtype=bool)]
    else:
        raise RecipeError(f"the figure '{figure.name}' has no table")
    of_minibatches = minibatch_rows(rows)
    rows = rows if of_minibatches.empty else of_minibatches.drop(columns="source")
    return rows[[key for key in KEYS if key in rows] + columns]


def _plain(value: Any) -> Any:
    """A number as JSON has it: null where it was not measured, words for those that are not finite."""
    if value is None or (value != value and not isinstance(value, float)):
        return None
    value = value.item() if hasattr(value, "item") else value
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _cell(value: Any) -> str:
    """Four digits; "" where nothing was measured."""
    if value is None or str(value) == "<NA>":
        return ""
    return f"{value:.{DIGITS}g}" if isinstance(value, float) else str(value)
