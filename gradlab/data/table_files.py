"""A CSV or Parquet file of the user's: one column is the target, the others are the features."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from gradlab.data.files import check_count, existing_file
from gradlab.data.sizes import check_size
from gradlab.data.standardization import standardize_features
from gradlab.data.targets import Kind, check_finite, make_targets
from gradlab.data.task import Task, data, split
from gradlab.recipe.bounds import Bound, Count, Fraction, Many, Text
from gradlab.recipe.errors import RecipeError, hint

ColumnNames = Annotated[list[str], Many(Bound(str))]
Words = Literal["refuse", "one_hot"]
_LARGEST_TABLE = 1 << 30  # bytes of a file
_MOST_WORDS = 100  # different words of a column that becomes one-hot features
_LISTED_NAMES = 30  # column names in a message


class TableOptions(NamedTuple):
    """The options that CSV and Parquet files share, as in conf/data/csv.yaml."""

    path: str
    target: str
    drop: list[str]
    kind: Kind
    words: Words
    seed: int
    test_fraction: float


@data
def csv(
    path: Text,
    target: Text,
    drop: ColumnNames,
    kind: Kind,
    words: Words,
    seed: Count,
    test_fraction: Fraction,
) -> Task:
    """The task of a CSV file whose first line has the column names.

    target: the column to predict. drop: columns to leave out. kind: classes or numbers (gradlab/data/targets.py).
    words: whether a column of text is refused or becomes one-hot features, one per word.
    """
    options = TableOptions(
        path=path,
        target=target,
        drop=drop,
        kind=kind,
        words=words,
        seed=seed,
        test_fraction=test_fraction,
    )
    return _task("csv", pyarrow.csv.read_csv, options)


@data
def parquet(
    path: Text,
    target: Text,
    drop: ColumnNames,
    kind: Kind,
    words: Words,
    seed: Count,
    test_fraction: Fraction,
) -> Task:
    """The task of a Parquet file; the options are those of `csv`."""
    options = TableOptions(
        path=path,
        target=target,
        drop=drop,
        kind=kind,
        words=words,
        seed=seed,
        test_fraction=test_fraction,
    )
    return _task("parquet", _read_parquet, options)


def _read_parquet(file: Path) -> Any:
    with pyarrow.parquet.ParquetFile(file) as parquet_file:
        check_size(parquet_file.metadata.num_rows, parquet_file.metadata.num_columns)
        return parquet_file.read()


def _task(name: str, read: Callable[[Path], Any], options: TableOptions) -> Task:
    """The task of the table that `read(file)` returns as a pyarrow.Table."""
    file = existing_file(options.path, name, _LARGEST_TABLE)
    try:
        table = read(file)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())[:160]
        raise RecipeError(f"data={name}: {file} cannot be read: {reason}") from None
    where, target = f"data={name}: {file.name}", options.target
    _check_columns(table.column_names, target, options.drop, where)
    check_count(table.num_rows, name)
    names = [column for column in table.column_names if column != target and column not in options.drop]
    if not names:
        raise RecipeError(f"{where} has no column besides the target '{target}'")
    check_size(table.num_rows, len(names))
    x = np.concatenate(
        [_features(table[column], f"{where}, column '{column}'", options.words) for column in names], axis=1
    )
    y = _values(table[target], f"{where}, column '{target}'")
    train_x, train_y, test_x, test_y = split(x, y, options.seed, options.test_fraction)
    train_x, test_x = standardize_features(train_x, test_x)
    targets = make_targets(train_y, test_y, options.kind, f"{where}, column '{target}'")
    source = f"file: {file.name}, {len(x):,} rows, {x.shape[1]} features, target {target}"
    return Task(source, train_x, targets.train, test_x, targets.test, targets.outputs, metric=targets.metric)


def _check_columns(names: list[str], target: str, drop: list[str], where: str) -> None:
    """Check that the columns have different names, and that the target and the columns to drop are among them."""
    duplicates = sorted({name for name in names if names.count(name) > 1})
    if duplicates:
        raise RecipeError(f"{where} has two columns named '{duplicates[0]}'")
    for key, column in [("target", target), *(("drop", column) for column in drop)]:
        if column not in names:
            raise RecipeError(
                f"{where} has no column data.{key}='{column}'{hint(column, names[:_LISTED_NAMES])}"
            )


def _values(column: Any, where: str) -> NDArray[Any]:
    """The values of a pyarrow column as (rows,): numbers, booleans or text; a missing value is an error."""
    if column.null_count:
        raise RecipeError(
            f"{where} has {column.null_count} missing values out of {len(column)}; fill or remove them"
        )
    column_type = column.type
    if pa.types.is_dictionary(column_type):
        column, column_type = column.cast(column_type.value_type), column_type.value_type
    if pa.types.is_decimal(column_type):
        column, column_type = column.cast(pa.float64()), pa.float64()
    if _is_text(column_type):
        return np.array(column.to_pylist(), dtype=str)
    if not (
        pa.types.is_integer(column_type)
        or pa.types.is_floating(column_type)
        or pa.types.is_boolean(column_type)
    ):
        raise RecipeError(
            f"{where} is of type {column_type}, which is neither numbers nor text; remove it with data.drop"
        )
    values: NDArray[Any] = column.to_numpy()
    return values


def _is_text(column_type: Any) -> bool:
    tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return any(is_type(column_type) for is_type in tests)


def _features(column: Any, where: str, words: Words) -> NDArray[np.float64]:
    """(rows, 1) of numbers, or (rows, words) of one-hot vectors, the words in sorted order."""
    values = _values(column, where)
    if values.dtype.kind != "U":
        check_finite(values, where)
        return values.astype(np.float64)[:, None]
    if words == "refuse":
        raise RecipeError(
            f"{where} contains text such as '{values[0][:20]}'; data.words=one_hot turns each word into a feature, "
            "data.drop removes columns"
        )
    vocabulary = np.unique(values)
    if len(vocabulary) > _MOST_WORDS:
        raise RecipeError(
            f"{where} contains {len(vocabulary)} different words, and data.words=one_hot allows {_MOST_WORDS}; "
            "add the column to data.drop"
        )
    one_hot: NDArray[np.float64] = (values[:, None] == vocabulary).astype(np.float64)
    return one_hot
