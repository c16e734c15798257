"""A CSV or Parquet table of one's own: one column to foresee, all others to foresee it from."""

from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from gradlab.data.files import check_count, existing_file
from gradlab.data.sizes import check_size
from gradlab.data.standardization import standardize_features
from gradlab.data.targets import Kind, check_finite, make_targets
from gradlab.data.task import Task, data, split
from gradlab.recipe.bounds import Bound, Count, Fraction, Many, Text
from gradlab.recipe.errors import RecipeError, hint

Names = Annotated[list[str], Many(Bound(str))]
Words = Literal["refuse", "one_hot"]
_MOST = 1 << 30  # bytes of a table
_VALUES = 100  # different words of a column that one-hot vectors are made of


@data
def csv(
    path: Text, target: Text, drop: Names, kind: Kind, words: Words, seed: Count, test_fraction: Fraction
) -> Task:
    """A CSV file with a line of names. `drop`: columns to leave out; `words`: what to do with columns of text."""
    file = existing_file(path, "csv", _MOST)
    try:
        table = pyarrow.csv.read_csv(file)
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise RecipeError(f"data=csv: {file} cannot be read: {_line(error)}") from None
    return _task(table, file, "csv", target, drop, kind, words, seed, test_fraction)


@data
def parquet(
    path: Text, target: Text, drop: Names, kind: Kind, words: Words, seed: Count, test_fraction: Fraction
) -> Task:
    """A Parquet file, as data=csv."""
    file = existing_file(path, "parquet", _MOST)
    try:
        with pyarrow.parquet.ParquetFile(file) as opened:
            check_size(opened.metadata.num_rows, opened.metadata.num_columns)
            table = opened.read()
    except (pa.ArrowException, OSError) as error:
        raise RecipeError(f"data=parquet: {file} cannot be read: {_line(error)}") from None
    return _task(table, file, "parquet", target, drop, kind, words, seed, test_fraction)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:160]


def _task(
    table: Any,
    file: Path,
    name: str,
    target: str,
    drop: list[str],
    kind: Kind,
    words: Words,
    seed: int,
    test_fraction: float,
) -> Task:
    where = f"data={name}: {file.name}"
    _known(table.column_names, target, drop, where)
    check_count(table.num_rows, name)
    kept = [one for one in table.column_names if one != target and one not in drop]
    if not kept:
        raise RecipeError(f"{where} has no column beside the target '{target}'")
    check_size(table.num_rows, len(kept))
    x = np.concatenate([_feature(table[one], f"{where}, column '{one}'", words) for one in kept], axis=1)
    y = _values(table[target], f"{where}, column '{target}'")
    train_x, train_y, test_x, test_y = split(x, y, seed, test_fraction)
    train_x, test_x = standardize_features(train_x, test_x)
    told = make_targets(train_y, test_y, kind, f"{where}, column '{target}'")
    source = f"file: {file.name}, {len(x):,} rows, {x.shape[1]} features, target {target}"
    return Task(source, train_x, told.train, test_x, told.test, told.outputs, metric=told.metric)


def _known(names: list[str], target: str, drop: list[str], where: str) -> None:
    """Refuse columns that are not there, or twice."""
    twice = sorted({one for one in names if names.count(one) > 1})
    if twice:
        raise RecipeError(f"{where} has two columns of the name '{twice[0]}'")
    for key, one in [("target", target), *(("drop", one) for one in drop)]:
        if one not in names:
            some = names if len(names) <= 30 else names[:30]
            raise RecipeError(f"{where} has no column data.{key}='{one}'{hint(one, some)}")


def _values(column: Any, where: str) -> np.ndarray:
    """A column as NumPy has it: numbers, or words as text; nothing missing."""
    if column.null_count:
        raise RecipeError(
            f"{where} has {column.null_count} missing values of {len(column)}; fill them, or leave them out"
        )
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if pa.types.is_decimal(kind):
        column, kind = column.cast(pa.float64()), pa.float64()
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return np.array(column.to_pylist(), dtype=str)
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        raise RecipeError(f"{where} is of type {kind}, neither numbers nor words; leave it out by data.drop")
    result: np.ndarray = column.to_numpy()
    return result


def _feature(column: Any, where: str, words: Words) -> np.ndarray:
    """(rows, 1) of numbers, or a column for each word."""
    values = _values(column, where)
    if values.dtype.kind != "U":
        check_finite(values, where)
        return values.astype(np.float64)[:, None]
    if words == "refuse":
        raise RecipeError(
            f"{where} holds words such as '{values[0][:20]}': data.words=one_hot makes a number of each, "
            "data.drop leaves columns out"
        )
    names = np.unique(values)
    if len(names) > _VALUES:
        raise RecipeError(
            f"{where} holds {len(names)} different words, more than {_VALUES} for one_hot; name it in data.drop"
        )
    result: np.ndarray = (values[:, None] == names).astype(np.float64)
    return result
