"""The results of several runs as a table: aligned for the terminal, or as CSV, LaTeX, Markdown or JSON."""

import json
from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any

from gradlab.recipe.printing import one_line
from gradlab.report.summary import aligned
from gradlab.store.json_safe import json_safe

if TYPE_CHECKING:
    import pandas as pd

HEADINGS = {  # the columns of the table that a line has room for
    "seeds": "seeds",
    "diverged": "diverged",
    "training": "training",
    "train_loss": "loss",
    "train_score": "train score",
    "test_score": "test score",
    "gap": "gap",
    "steps_to_target": "to target",
    "signal_start": "signal",
    "gain_start": "gain",
    "decades_start": "decades",
    "signal_end": "signal at end",
    "decades_end": "decades at end",
    "time_start": "over time",
    "time_gain_start": "gain over time",
    "time_end": "over time at end",
    "clip_share": "clipped",
}
UNREMARKABLE = {"seeds": 1, "diverged": 0}  # a column that has this value in every run is left out
SCORES = ("train_score", "test_score", "gap")
FORMATS = ("csv", "latex", "markdown", "json")
_LATEX = str.maketrans(
    {letter: f"\\{letter}" for letter in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {"±": r"$\pm$", "−": "$-$", "–": "--", "²": "$^2$", "<": "$<$", ">": "$>$", "|": "$|$"}
)
_MARKDOWN = str.maketrans({letter: f"\\{letter}" for letter in "\\`*_|<>[]#"})


def text_table(results: "pd.DataFrame", by: list[str]) -> str:
    """The rounded table, aligned in columns."""
    return aligned(rounded(results, by))


def exported(results: "pd.DataFrame", by: list[str], form: str) -> str:
    """The table in one of FORMATS: all columns with full numbers as csv and json, rounded as latex and markdown.

    pandas writes CSV; its LaTeX has no escapes of ours, and for Markdown it would need tabulate.
    """
    if form == "json":
        return json.dumps(json_safe(results.to_dict("records")), indent=2, ensure_ascii=False)
    if form == "csv":
        return str(results.map(_plain).to_csv(index=False)).rstrip("\n")
    table = [[one_line(cell) for cell in row] for row in rounded(results, by)]
    return _latex(table) if form == "latex" else _markdown(table)


def _plain(value: Any) -> Any:
    return one_line(value) if isinstance(value, str) else value


def _latex(table: list[list[str]]) -> str:
    """A `tabular` that needs no package; the first column to the left, the others to the right."""
    head, *rows = [" & ".join(cell.translate(_LATEX) for cell in row) + r" \\" for row in table]
    columns = "l" + "r" * (len(table[0]) - 1)
    return "\n".join(
        [rf"\begin{{tabular}}{{{columns}}}", r"\hline", head, r"\hline", *rows, r"\hline", r"\end{tabular}"]
    )


def _markdown(table: list[list[str]]) -> str:
    escaped = [[cell.translate(_MARKDOWN) for cell in row] for row in table]
    rule = [":--", *["--:"] * (len(table[0]) - 1)]
    return "\n".join("| " + " | ".join(row) + " |" for row in [escaped[0], rule, *escaped[1:]])


def rounded(results: "pd.DataFrame", by: list[str]) -> list[list[str]]:
    """The cells, headings first: what differs and the results; the run's name where nothing else identifies it."""
    names = [key for key in by if key in results]
    if not names or results[names].astype(str).duplicated().any():
        names = [*dict.fromkeys([*names, "run"])]
    columns = [key for key in HEADINGS if key in results and _worth_a_column(key, results[key])]
    if not any(map(cell, results.target)):  # of foreign runs alone, which have none
        columns.remove("steps_to_target")
    rows = [
        [*(cell(row[key]) for key in names), *(_result(key, row) for key in columns)]
        for row in results.to_dict("records")
    ]
    targets = {f"{float(value):.3g}" for value in results.target if cell(value)}
    headings = HEADINGS | ({"steps_to_target": f"to loss {targets.pop()}"} if len(targets) == 1 else {})
    return [[*names, *(headings[key] for key in columns)], *rows]


def cell(value: Any) -> str:
    """A value of a choice or a result, numbers with three digits; "" where it was not measured."""
    if value is None or value != value:  # NaN: not measured, or this run has no such choice
        return ""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _result(key: str, row: Mapping[Hashable, Any]) -> str:
    """A result as a cell: with its standard deviation over seeds, or with the seeds that reach the target."""
    value = row[key]
    if key == "steps_to_target":
        return _way(row)
    text = f"{value:.2f}" if key in SCORES and cell(value) else cell(value)
    spread = row.get(f"{key}_sd")
    if text and spread is not None and spread == spread:
        return f"{text} ± {spread:.2f}" if key in SCORES else f"{text} ± {spread:.1g}"
    return text


def _way(row: Mapping[Hashable, Any]) -> str:
    """`50 steps, 0.7 s (5 of 5)`: with the number of seeds that reach the target."""
    if not cell(row["target"]):
        return ""
    seeds = f" ({row['reached']} of {row['seeds']})" if row["seeds"] > 1 else ""
    if not cell(row["steps_to_target"]):
        return f"–{seeds}"
    seconds = row["seconds_to_target"]
    return f"{row['steps_to_target']:.0f} steps" + (f", {seconds:.2g} s" if cell(seconds) else "") + seeds


def _worth_a_column(key: str, column: "pd.Series") -> bool:
    """Whether a column is measured in some run and says more than one seed per run or no divergence."""
    if key == "steps_to_target":  # where no run reaches it, that is said
        return True
    unremarkable = key in UNREMARKABLE and bool((column == UNREMARKABLE[key]).all())
    return not column.isna().all() and not unremarkable
