"""Which columns the rows of a study have, which of them tell its runs apart, and the rows in the order of one."""

from typing import Any

from gradlab.analysis.study import TYPES, VERSION_PREFIX, Row
from gradlab.analysis.where import column_of

OWN_DEFAULTS = ("model", "data")  # groups whose options set other choices of the recipe


def columns_of(rows: list[Row]) -> list[str]:
    """The columns that the rows have: those of every study, then the choices and versions."""
    return list(dict.fromkeys([*TYPES, *(name for row in rows for name in row)]))


def differing_choices(rows: list[Row]) -> list[str]:
    """The choices in which the rows differ and that no other of them implies."""
    names = [name for name in columns_of(rows) if name not in TYPES and not name.startswith(VERSION_PREFIX)]
    values = {name: [row.get(name) for row in rows] for name in names}
    return [name for name in names if len(set(map(str, values[name]))) > 1 and not implied(name, values)]


def implied(key: str, columns: dict[str, list[Any]]) -> bool:
    """Whether an option determines the value: `clip=norm` has a threshold, `model=resnet` an activation."""
    if key in (*OWN_DEFAULTS, "run", "seed"):
        return False
    group_of_key = key.partition(".")[0]
    groups = [group_of_key if group_of_key in columns else f"{group_of_key}.name", *OWN_DEFAULTS]
    return any(
        _determines(columns[group], columns[key]) for group in groups if group in columns and group != key
    )


def _determines(options: list[Any], values: list[Any]) -> bool:
    words = [str(option) for option in options]
    return len(set(zip(words, map(str, values), strict=True))) == len(set(words))


def sorted_rows(rows: list[Row], key: str, known: list[Row]) -> list[Row]:
    """The rows by a column of the `known` rows, largest first with `-` before its name; what is null or NaN is last.

    Raises:
        RecipeError: no row has such a column.
    """
    if not key:
        return rows
    name = column_of(key.removeprefix("-"), columns_of(known))
    present = [row for row in rows if _is_measured(row.get(name))]
    absent = [row for row in rows if not _is_measured(row.get(name))]
    numbers_first = lambda row: (isinstance(row[name], str), row[name])
    return sorted(present, key=numbers_first, reverse=key.startswith("-")) + absent


def _is_measured(value: Any) -> bool:
    """Whether it is neither null nor NaN."""
    return value is not None and value == value
