"""Several runs as one table and one picture: which of their choices differ, and what each run came to."""

import re
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradlab.report.summary import aligned, is_synthetic

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from gradlab.store.read import Run

ALWAYS_PRESENT = ("run", "seed")  # columns that every frame has
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


def requested_keys(runs: list["Run"], by: list[str]) -> list[str]:
    """The columns that hold the choices `by` (`clip` may mean `clip.name`); all that differ where `by` is empty.

    Raises:
        RecipeError: a word of `by` is a choice of no run.
    """
    from gradlab.store.gather import choices

    if not by:
        return distinguishing_keys(runs, list(choices(runs)))
    columns = choices(runs, [word for word in by if word not in ALWAYS_PRESENT])
    return [_column_of(word, (word, f"{word}.name", word.removesuffix(".name")), columns) for word in by]


def distinguishing_keys(runs: list["Run"], keys: list[str]) -> list[str]:
    """Of a grid's keys those in which its runs differ and that no other of them implies; `run` if there are none."""
    from gradlab.analysis.study_columns import implied
    from gradlab.store.gather import choices

    columns = choices(runs)
    names = [_column_of(key, (key, f"{key}.name"), columns) for key in keys]
    return [name for name in names if name == "seed" or (name in columns and not implied(name, columns))] or [
        "run"
    ]


def _column_of(key: str, spellings: tuple[str, ...], columns: dict[str, list[Any]]) -> str:
    return next((name for name in spellings if name in columns), key)


def comparison_table(runs: list["Run"], by: list[str], target: float | None = None) -> str:
    """A table with one line per run: what differs and the results; the run's name where nothing else identifies it."""
    from gradlab.analysis.comparison import compare_runs

    frame = compare_runs(runs, next((key for key in by if key not in ALWAYS_PRESENT), ""), target)
    names = [key for key in by if key in frame]
    if not names or frame[names].astype(str).duplicated().any():
        names.append("run")
    results = [key for key in HEADINGS if key in frame and _worth_a_column(key, frame[key])]
    rows = [
        [*(_cell(row[key]) for key in names), *(_result(key, row) for key in results)]
        for row in frame.to_dict("records")
    ]
    targets = {f"{float(value):.3g}" for value in frame.target}
    headings = HEADINGS | ({"steps_to_target": f"to loss {targets.pop()}"} if len(targets) == 1 else {})
    return aligned([[*names, *(headings[key] for key in results)], *rows])


SCORES = ("train_score", "test_score", "gap")


def _result(key: str, row: Mapping[Hashable, Any]) -> str:
    """A result as a cell: with its standard deviation over seeds, or with the seeds that reach the target."""
    value = row[key]
    if key == "steps_to_target":
        return _way(row)
    text = f"{value:.2f}" if key in SCORES and _cell(value) else _cell(value)
    spread = row.get(f"{key}_sd")
    if text and spread is not None and spread == spread:
        return f"{text} ± {spread:.2f}" if key in SCORES else f"{text} ± {spread:.1g}"
    return text


def _way(row: Mapping[Hashable, Any]) -> str:
    """`50 steps, 0.7 s (5 of 5)`: with the number of seeds that reach the target."""
    seeds = f" ({row['reached']} of {row['seeds']})" if row["seeds"] > 1 else ""
    if not _cell(row["steps_to_target"]):
        return f"–{seeds}"
    seconds = row["seconds_to_target"]
    return f"{row['steps_to_target']:.0f} steps" + (f", {seconds:.2g} s" if _cell(seconds) else "") + seeds


def _worth_a_column(key: str, column: "pd.Series") -> bool:
    """Whether a column is measured in some run and says more than one seed per run or no divergence."""
    if key == "steps_to_target":  # where no run reaches it, that is said
        return True
    unremarkable = key in UNREMARKABLE and bool((column == UNREMARKABLE[key]).all())
    return not column.isna().all() and not unremarkable


def comparison_figure(runs: list["Run"], by: list[str]) -> "Figure":
    """The profiles and losses of several runs, coloured by one choice, or by several choices written as one."""
    from gradlab.analysis.score import score_of
    from gradlab.figures.comparison import comparison
    from gradlab.store.gather import gather

    keys = [key for key in by if key not in ALWAYS_PRESENT]
    layers, steps = (_with_joined_column(gather(runs, table, keys), by) for table in ("layers", "steps"))
    scores = [score_of(run.status["data"]) for run in runs]
    common = scores[0] if len({metric.name for metric in scores}) == 1 else None
    note = "synthetic data" if any(map(is_synthetic, runs)) else ""
    return comparison(layers, steps, ", ".join(by), note, common)


def _with_joined_column(frame: "pd.DataFrame", by: list[str]) -> "pd.DataFrame":
    """With several choices one column for all: "depth, clip" is "10, norm", or "10" without a clip."""
    if len(by) == 1:
        return frame
    rows = list(zip(*(frame[key].tolist() for key in by), strict=True))
    labels = {row: ", ".join(_label_words(by, row)) for row in dict.fromkeys(rows)}
    return frame.assign(**{", ".join(by): [labels[row] for row in rows]})


def _label_words(by: list[str], row: tuple[Any, ...]) -> list[str]:
    """The first choice and those of the others that are set, a number with its name: `norm`, `dropout 0.1`."""
    words = [_cell(row[0]) or "none"]
    for key, value in zip(by[1:], row[1:], strict=True):
        if _cell(value) in ("", "none") or (value == 0 and key != "seed"):
            continue
        words.append(_cell(value) if isinstance(value, str) else f"{key.rpartition('.')[2]} {_cell(value)}")
    return words


def _cell(value: Any) -> str:
    if value is None or value != value:  # NaN: not measured, or this run has no such choice
        return ""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def comparison_path(runs: list["Run"], by: list[str], suffix: str = "png") -> Path:
    """The picture's file: `outputs/study/comparison-depth-clip.png`; a folder higher for runs of several studies."""
    studies = {run.folder.resolve().parent for run in runs}
    folder = runs[0].folder.parent if len(studies) == 1 else runs[0].folder.parent.parent
    stem = re.sub(r"[^A-Za-z0-9._-]+", "_", "-".join(["comparison", *by]))[:80]
    return folder / f"{stem}.{suffix}"
