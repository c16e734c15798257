"""A CSV or Parquet file of the user's: one column is the target, the others are the features."""

import csv as csv_format
import io
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from gradlab.data.files import Stream, check_count, explained, opened, shown, user_path
from gradlab.data.sizes import check_bytes, check_size
from gradlab.data.standardization import standardize_features
from gradlab.data.targets import MOST_CLASSES, Kind, check_finite, make_targets
from gradlab.data.task import Task, data, split
from gradlab.recipe.bounds import Bound, Count, Fraction, Many, Text
from gradlab.recipe.errors import RecipeError, hint

ColumnNames = Annotated[list[str], Many(Bound(str))]
Words = Literal["refuse", "one_hot"]
_LARGEST_TABLE = 1 << 30  # bytes of a file, decompressed
_LARGEST_DECODED = 4 << 30  # bytes of a Parquet file's columns
_ROWS_AT_ONCE = 256  # few, as nobody knows the length of a word before it is read
_CODECS = {".gz": "gzip", ".bz2": "bz2", ".lz4": "lz4", ".zst": "zstd"}
_LARGEST_FOOTER = 128 << 20  # bytes of a Parquet file's footer, which takes several times as much in memory
_MOST_COLUMNS = 50_000  # a column takes 15 KB of memory and 50 µs, however few rows it has
_CSV_BLOCK = 1 << 20  # bytes that pyarrow reads at once; the first line is not longer
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
    return _task("csv", "a CSV table", _read_csv, options)


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
    return _task("parquet", "a Parquet table", _read_parquet, options)


def _read_csv(stream: Stream, path: Path, options: TableOptions) -> Any:
    """The columns of a CSV file as a pyarrow.Table; a name that ends with .gz and the like is decompressed."""
    codec = _CODECS.get(path.suffix)
    source = pa.CompressedInputStream(stream, codec) if codec else stream
    content = source.read(_LARGEST_TABLE + 1)
    if len(content) > _LARGEST_TABLE:
        raise RecipeError(f"it has more than {_LARGEST_TABLE:,} bytes when decompressed")
    start = io.StringIO(content[:_CSV_BLOCK].decode("utf-8", "replace"), newline="")
    _check_column_count(len(next((line for line in csv_format.reader(start) if line), [])))
    reading = pyarrow.csv.ReadOptions(block_size=_CSV_BLOCK)
    table = pyarrow.csv.read_csv(pa.BufferReader(content), reading)
    return table.select(_chosen_columns(table.schema, options))


def _read_parquet(stream: Stream, path: Path, options: TableOptions) -> Any:
    """The columns of a Parquet file as a pyarrow.Table; text as indices of its different words, as it is stored."""
    stream.seek(max(0, stream.length - 8))
    footer, magic = stream.read(4), stream.read(4)
    if magic == b"PAR1" and int.from_bytes(footer, "little") > _LARGEST_FOOTER:
        raise RecipeError(f"its footer has more than {_LARGEST_FOOTER:,} bytes; is it damaged?")
    metadata = pyarrow.parquet.read_metadata(stream)
    _check_column_count(metadata.num_columns)
    schema = metadata.schema.to_arrow_schema()
    names = _chosen_columns(schema, options)
    for name in names:
        _check_type(schema.field(name).type, f"column '{shown(name)}'")
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    check_size(sum(group.num_rows for group in groups), len(names))
    # of all columns: pyarrow's `group.column` ends the process where a column's statistics are damaged
    decoded = sum(group.total_byte_size for group in groups)
    if decoded > _LARGEST_DECODED:
        raise RecipeError(f"it has {decoded:,} bytes when decompressed, more than {_LARGEST_DECODED:,}")
    words = [name for name in names if _is_text(schema.field(name).type)]
    open_file = partial(
        pyarrow.parquet.ParquetFile, stream, metadata=metadata, page_checksum_verification=True
    )
    try:
        return open_file(read_dictionary=words).read(names).select(names)
    except OSError:  # of damage, and of words stored as differences, which are not read as indices
        return _read_by_rows(open_file(), names)


def _read_by_rows(parquet_file: Any, names: list[str]) -> Any:
    """The columns of a Parquet file, read a few rows at a time, whose text becomes indices of its words at once."""
    parts, size = [], 0
    for batch in parquet_file.iter_batches(_ROWS_AT_ONCE, columns=names):
        columns = [
            column.dictionary_encode() if _is_text(column.type) else column
            for column in map(batch.column, names)
        ]
        parts.append(pa.table(columns, names))
        size += parts[-1].nbytes
        if size > _LARGEST_DECODED:
            raise RecipeError(f"it takes more than {_LARGEST_DECODED:,} bytes in memory")
    return pa.concat_tables(parts)


def _task(
    name: str, kind: str, read: Callable[[Stream, Path, TableOptions], Any], options: TableOptions
) -> Task:
    """The task of the table that `read` returns: a pyarrow.Table of the target and of the features."""
    file, target = user_path(options.path, name), options.target
    with opened(file, name, kind, _LARGEST_TABLE) as stream:
        table = read(stream, file, options)
        table.validate(full=True)  # that text is UTF-8, and that no index of a word is wrong
    check_count(table.num_rows, name)
    place = f"data={name}: {file}"
    with explained(place, kind):
        x = _features(table.drop_columns([target]), options.words)
        y = _values(table[target], f"column '{shown(target)}'")
    train_x, train_y, test_x, test_y = split(x, y, options.seed, options.test_fraction)
    train_x, test_x = standardize_features(train_x, test_x)
    targets = make_targets(train_y, test_y, options.kind, f"{place}, column '{shown(target)}'")
    source = f"file: {shown(file.name)}, {len(x):,} rows, {x.shape[1]} features, target {shown(target)}"
    return Task(source, train_x, targets.train, test_x, targets.test, targets.outputs, metric=targets.metric)


def _check_column_count(count: int) -> None:
    if count > _MOST_COLUMNS:
        raise RecipeError(
            f"it has {count:,} columns, more than {_MOST_COLUMNS:,}; save them as one array: data=npz"
        )


def _chosen_columns(schema: Any, options: TableOptions) -> list[str]:
    """The columns but those to drop. They have different names; the target and the columns to drop are among them."""
    names = schema.names
    duplicates = sorted(name for name, count in Counter(names).items() if count > 1)
    if duplicates:
        raise RecipeError(f"it has two columns named '{shown(duplicates[0])}'")
    known = set(names)
    for key, column in [("target", options.target), *(("drop", column) for column in options.drop)]:
        if column not in known:
            listed = [shown(name) for name in names[:_LISTED_NAMES]]
            raise RecipeError(f"it has no column data.{key}='{shown(column)}'{hint(column, listed)}")
    dropped = set(options.drop) - {options.target}
    return [name for name in names if name not in dropped]


def _check_type(column_type: Any, where: str) -> None:
    """Check that a column contains numbers, booleans or text."""
    if pa.types.is_dictionary(column_type):
        column_type = column_type.value_type
    if not (
        _is_text(column_type)
        or pa.types.is_integer(column_type)
        or pa.types.is_floating(column_type)
        or pa.types.is_boolean(column_type)
        or pa.types.is_decimal(column_type)
    ):
        raise RecipeError(
            f"{where} is of type {shown(str(column_type))}, which is neither numbers nor text; "
            "remove it with data.drop"
        )


def _values(column: Any, where: str) -> NDArray[Any]:
    """The values of a pyarrow column as (rows,): numbers, booleans or text; a missing value is an error."""
    _check_type(column.type, where)
    _check_complete(column, where)
    if _is_text(column.type):
        indices, words = _words(column, where, MOST_CLASSES, "a target has at most {} classes")
        longest = max(map(len, words))
        check_bytes(4, len(indices), longest)  # NumPy keeps every word in the length of the longest
        return np.array(words)[indices]
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_decimal(column.type):
        column = column.cast(pa.float64())
    values: NDArray[Any] = column.to_numpy()
    return values


def _check_complete(column: Any, where: str) -> None:
    if column.null_count:
        raise RecipeError(
            f"{where} has {column.null_count} missing values out of {len(column)}; fill or remove them"
        )


def _words(column: Any, where: str, most: int, rule: str) -> tuple[NDArray[np.int64], list[str]]:
    """Of a column of text the different words in sorted order, and which of them each row has, (rows,).

    The words are stored once: a file of a few bytes can say that a million rows have the same long one.
    """
    by_words = pa.types.is_dictionary(column.type)
    encoded = column.unify_dictionaries() if by_words else column.dictionary_encode()
    stored = encoded.chunk(0).dictionary
    indices = np.concatenate([chunk.indices.to_numpy() for chunk in encoded.chunks])
    used = np.flatnonzero(np.bincount(indices, minlength=len(stored)))
    if len(used) > most:
        raise RecipeError(f"{where} contains {len(used)} different words, and {rule.format(most)}")
    texts = stored.take(pa.array(used)).to_pylist()
    if None in texts or not all(map(str.strip, texts)):
        raise RecipeError(f"{where} has missing values; fill or remove them")
    words = sorted(set(texts))
    positions = {word: position for position, word in enumerate(words)}
    position_of = np.zeros(len(stored), np.int64)
    position_of[used] = [positions[text] for text in texts]
    return position_of[indices], words


def _is_text(column_type: Any) -> bool:
    """Whether a column contains text, or indices of text."""
    if pa.types.is_dictionary(column_type):
        column_type = column_type.value_type
    tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return any(is_type(column_type) for is_type in tests)


def _features(table: Any, words: Words) -> NDArray[np.float64]:
    """(rows, features): all columns of a pyarrow.Table, those of text as one-hot vectors.

    Raises:
        RecipeError: there are none, or a column cannot be a feature.
    """
    if not table.num_columns:
        raise RecipeError("it has no column besides the target")
    columns, width = [], 0
    for name in table.column_names:
        columns.append(_feature(table[name], f"column '{shown(name)}'", words))
        width += columns[-1].shape[1]
        check_size(table.num_rows, width)
    return np.concatenate(columns, axis=1)


def _feature(column: Any, where: str, words: Words) -> NDArray[np.float64]:
    """(rows, 1) of numbers, or (rows, words) of one-hot vectors, the words in sorted order."""
    if not _is_text(column.type):
        values = _values(column, where)
        check_finite(values, where)
        return values.astype(np.float64)[:, None]
    _check_complete(column, where)
    if words == "refuse":
        raise RecipeError(
            f"{where} contains text such as '{shown(column[0].as_py()[:20])}'; "
            "data.words=one_hot turns each word into a feature, data.drop removes columns"
        )
    rule = "data.words=one_hot allows {}; add the column to data.drop"
    indices, vocabulary = _words(column, where, _MOST_WORDS, rule)
    check_size(len(indices), len(vocabulary))
    one_hot: NDArray[np.float64] = (indices[:, None] == np.arange(len(vocabulary))).astype(np.float64)
    return one_hot
