"""Which runs of a comparison are one group in its picture, how a group is called, and what is taken together."""

from typing import TYPE_CHECKING, Any

from gradlab.report.results_table import cell

if TYPE_CHECKING:
    import pandas as pd

    from gradlab.figures.factors import Maps
    from gradlab.report.comparison import Comparison

MOST_JOINED = 16  # combinations of several choices that have a colour and dashes of their own


def group_keys(comparison: "Comparison") -> list[str]:
    """The choices whose values are groups in the picture: all of `by` while a look for each combination is left.

    Of more combinations, the choice of the largest effect whose values are few enough to be told apart.
    """
    from gradlab.figures.groups import too_many

    by, factors = comparison.by, comparison.factors
    crossed = comparison.crossed if len([key for key in by if key in factors]) > 2 else []
    left_out = {key for key in factors if crossed and key not in crossed}
    if not comparison.chosen and set(by) - {"seed"}:
        left_out.add("seed")
    keys = [key for key in by if key not in left_out]
    values = comparison.layers[["run", *keys]].drop_duplicates("run")[keys] if len(keys) > 1 else None
    if values is None or len(values.drop_duplicates()) <= MOST_JOINED:
        return keys
    fitting = [key for key in keys if not too_many(values[key])] or keys
    return [max(fitting, key=comparison.largest_share)]


def pooled(comparison: "Comparison", keys: list[str], maps: "Maps | None") -> str:
    """Over which choices the groups, and the cells of the maps, are taken together; "" over none."""
    together = [key for key in comparison.varying if key != "seeds" and "run" not in keys]
    in_curves = [key for key in together if key not in keys]
    in_maps = [key for key in together if maps and key not in (maps.row, maps.column)]
    if not in_maps or in_maps == in_curves:
        return f"taken together: {', '.join(in_curves)}" if in_curves else ""
    text = f"taken together, as means in the maps: {', '.join(in_maps)}"
    return text + (f"; as curves of one group: {', '.join(in_curves)}" if in_curves else "")


def with_joined_column(frame: "pd.DataFrame", by: list[str]) -> "pd.DataFrame":
    """With several choices one column for all: "depth, clip" is "10, norm", or "10" without a clip.

    Its categories are ordered by the choices, numbers by size and words in the order of the rows.
    """
    if len(by) == 1:
        return frame
    import pandas as pd

    values = [[None if value != value else value for value in frame[key].tolist()] for key in by]
    ranks = [_ranks(column) for column in values]
    rows = list(zip(*values, strict=True))
    different = sorted(
        dict.fromkeys(rows), key=lambda row: [rank[value] for rank, value in zip(ranks, row, strict=True)]
    )
    labels = {row: ", ".join(_label_words(by, row)) for row in different}
    if len(set(labels.values())) < len(labels):  # three digits do not tell them apart
        labels = {row: ", ".join(map(str, row)) for row in different}
    joined = pd.Categorical([labels[row] for row in rows], categories=list(labels.values()))
    return frame.assign(**{", ".join(by): joined})


def _ranks(values: list[Any]) -> dict[Any, int]:
    """The place of each value among the others; None, of a run that has no such number, comes first."""
    different = list(dict.fromkeys(values))
    if not any(isinstance(value, str) for value in different):
        different.sort(key=lambda value: (value is not None, value))
    return {value: rank for rank, value in enumerate(different)}


def _label_words(by: list[str], row: tuple[Any, ...]) -> list[str]:
    """The first choice and those of the others that are set, a number with its name: `norm`, `dropout 0.1`."""
    words = [cell(row[0]) or "none"]
    for key, value in zip(by[1:], row[1:], strict=True):
        if cell(value) in ("", "none") or (value == 0 and key != "seed"):
            continue
        words.append(cell(value) if isinstance(value, str) else f"{key.rpartition('.')[2]} {cell(value)}")
    return words
