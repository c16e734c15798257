"""The columns of CSV, JSONL, JSON and Parquet files, read in pieces: only those that are used are kept in memory."""

import csv
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from gradlab.logs.foreign_writer import Measured
from gradlab.recipe.errors import RecipeError
from gradlab.recipe.memory import physical_memory
from gradlab.recipe.printing import one_line

NULLS = ["", "null", "None", "none", "NA", "N/A", "<NA>"]  # nan is a measured value
DELIMITERS = ",;\t"
LARGEST_JSON = 2**28  # bytes of a file that is one JSON value, and is read whole
MEMORY_SHARE = 4  # a quarter of the memory for columns: what is made of them needs as much again
_HISTOGRAM = "_type"  # the key of a W&B histogram


class Columns(NamedTuple):
    """The used columns of a table: numbers, and words as codes into their labels, all (rows,); code −1 is null."""

    numbers: Mapping[str, Measured]
    words: Mapping[str, tuple[NDArray[np.int64], list[str]]]


class Table(Protocol):
    """A file with named columns."""

    names: list[str]

    def read(self, numbers: Sequence[str], words: Sequence[str]) -> Columns:
        """These columns.

        Raises:
            RecipeError: one is not of its kind, or they do not fit into memory.
        """


class ArrowTable:
    """A CSV or Parquet file, read by Arrow in batches of rows."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.names = _header(path) if path.suffix != ".parquet" else list(pq.read_schema(path).names)
        except (OSError, UnicodeDecodeError, csv.Error, pa.ArrowException) as error:
            raise _unreadable(path, error) from error
        require_different(path, self.names)

    def read(self, numbers: Sequence[str], words: Sequence[str]) -> Columns:
        """These columns.

        Raises:
            RecipeError: one is not of its kind, or they do not fit into memory.
        """
        kept: list[pa.RecordBatch] = []
        size = 0
        try:
            for batch in self._batches(list(dict.fromkeys([*numbers, *words])), numbers):
                kept.append(batch)
                size += batch.nbytes
                require_memory(self.path, size)
            whole = pa.Table.from_batches(kept) if kept else None
            if whole is None or not whole.num_rows:
                raise RecipeError(f"{self.path} has no rows")
            return Columns(
                {name: _measured(whole[name]) for name in numbers},
                {name: _codes(whole[name]) for name in words},
            )
        except (OSError, pa.ArrowException) as error:
            raise _unreadable(self.path, error) from error

    def _batches(self, names: list[str], numbers: Sequence[str]) -> Iterator[pa.RecordBatch]:
        if self.path.suffix == ".parquet":
            yield from pq.ParquetFile(self.path).iter_batches(columns=names)
            return
        types = {name: pa.float64() if name in numbers else pa.string() for name in names}
        reader = pyarrow.csv.open_csv(
            self.path,
            read_options=pyarrow.csv.ReadOptions(block_size=2**24),
            parse_options=pyarrow.csv.ParseOptions(delimiter=_delimiter(self.path)),
            convert_options=pyarrow.csv.ConvertOptions(
                include_columns=names, column_types=types, null_values=NULLS, strings_can_be_null=True
            ),
        )
        with reader:
            yield from reader


class RecordTable:
    """Objects of a JSONL file, or of a list of a JSON file; a key that an object does not have is null."""

    def __init__(self, path: Path, records: list[dict[str, Any]] | None = None) -> None:
        """`records` are the objects of a file that is one JSON value; those of a JSONL file are read line by line."""
        self.path, self._given = path, records
        self.histograms: set[str] = set()
        names: dict[str, None] = {}
        self.rows = 0
        for record in self._records():
            names |= dict.fromkeys(record)
            self.rows += 1
        if not self.rows:
            raise RecipeError(f"{path} has no rows")
        self.names = list(names)

    def _records(self) -> Iterator[dict[str, Any]]:
        if self._given is not None:
            yield from map(self._flat, self._given)
            return
        try:
            with self.path.open(encoding="utf-8") as lines:
                for number, line in enumerate(lines, 1):
                    if line.strip():
                        yield self._flat(_object(self.path, line, number))
        except (OSError, UnicodeDecodeError) as error:
            raise _unreadable(self.path, error) from error

    def _flat(self, record: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
        """Values by their key, those of an object inside by both keys: {"grad": {"layers.0": 1}} is grad/layers.0."""
        values: dict[str, Any] = {}
        for key, value in record.items():
            if not isinstance(value, dict):
                values[f"{prefix}{key}"] = value
            elif _HISTOGRAM in value:
                self.histograms.add(f"{prefix}{key}")
            else:
                values |= self._flat(value, f"{prefix}{key}/")
        return values

    def read(self, numbers: Sequence[str], words: Sequence[str]) -> Columns:
        """These columns.

        Raises:
            RecipeError: one is not of its kind, or they do not fit into memory.
        """
        require_memory(self.path, self.rows * 9 * (len(numbers) + len(words)))
        values = {name: np.zeros(self.rows) for name in numbers}
        measured = {name: np.zeros(self.rows, bool) for name in numbers}
        codes = {name: np.full(self.rows, -1, np.int64) for name in words}
        labels: dict[str, dict[str, int]] = {name: {} for name in words}
        for row, record in enumerate(self._records()):
            for name in numbers:
                if (number := _number(self.path, name, record.get(name), row)) is not None:
                    values[name][row], measured[name][row] = number, True
            for name in words:
                if (word := record.get(name)) is not None:
                    codes[name][row] = labels[name].setdefault(str(word), len(labels[name]))
        return Columns(
            {name: Measured(values[name], measured[name]) for name in numbers},
            {name: (codes[name], list(labels[name])) for name in words},
        )


def json_records(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSON file: a list of them, or the `log_history` of a trainer_state.json.

    Raises:
        RecipeError: it is neither, or is too large to be read whole.
    """
    try:
        if path.stat().st_size > LARGEST_JSON:
            raise RecipeError(
                f"{path} has more than {LARGEST_JSON:,} bytes of JSON; write a line for each step (JSONL)"
            )
        content = json.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, RecursionError, json.JSONDecodeError) as error:
        raise _unreadable(path, error) from error
    records = content.get("log_history") if isinstance(content, dict) else content
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise RecipeError(
            f"{path} is no log: it has no list log_history, as trainer_state.json, and is no list of objects"
        )
    return records


def _object(path: Path, line: str, number: int) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        raise RecipeError(f"{path}, line {number}, is no JSON ({error}); give one object per line") from error
    if not isinstance(record, dict):
        raise RecipeError(
            f"{path}, line {number}, is no object but {type(record).__name__}; give one object per line"
        )
    return record


def _number(path: Path, name: str, value: Any, row: int) -> float | None:
    """A number, also one that is spelt as text ("NaN", "inf"); None for null.

    Raises:
        RecipeError: it is none.
    """
    if value is None or (isinstance(value, str) and value.strip() in NULLS):
        return None
    try:
        if isinstance(value, bool | list | dict):
            raise TypeError
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise RecipeError(
            f"{path}: {name} holds {one_line(value)[:60]!r} in row {row + 1}, which is no number"
        ) from None


def _header(path: Path) -> list[str]:
    """The names in the first line of a CSV file."""
    with path.open(encoding="utf-8-sig", newline="") as lines:
        names = next(csv.reader(lines, delimiter=_delimiter(path)), [])
    if not any(name.strip() for name in names):
        raise RecipeError(f"{path} is empty; give a file whose first line names its columns")
    return names


def _delimiter(path: Path) -> str:
    """The one that the first line has most of."""
    with path.open(encoding="utf-8-sig") as lines:
        line = lines.readline()
    return max(DELIMITERS, key=line.count)


def require_different(path: Path, names: Sequence[str]) -> None:
    """Check the names of columns.

    Raises:
        RecipeError: two are the same.
    """
    if twice := [name for name in dict.fromkeys(names) if list(names).count(name) > 1]:
        raise RecipeError(f"{path} has two columns '{one_line(twice[0])}'; rename one")


def require_memory(path: Path, size: int) -> None:
    """Check that columns of this size in bytes fit into memory.

    Raises:
        RecipeError: they do not.
    """
    if size * MEMORY_SHARE > physical_memory():
        raise RecipeError(
            f"{path} has columns of more than {size / 2**30:,.1f} GiB, too much for this machine; thin it out"
        )


def _measured(column: pa.ChunkedArray) -> Measured:
    """A column of numbers; Arrow's null is not measured, NaN is.

    Raises:
        ArrowException: it holds no numbers.
    """
    numbers = column.cast(pa.float64()).combine_chunks()
    return Measured(
        numbers.fill_null(math.nan).to_numpy(zero_copy_only=False),
        numbers.is_valid().to_numpy(zero_copy_only=False),
    )


def _codes(column: pa.ChunkedArray) -> tuple[NDArray[np.int64], list[str]]:
    words = column if pa.types.is_dictionary(column.type) else column.cast(pa.string()).dictionary_encode()
    whole = words.unify_dictionaries().combine_chunks()
    return whole.indices.fill_null(-1).to_numpy().astype(np.int64), [
        str(label) for label in whole.dictionary.to_pylist()
    ]


def _unreadable(path: Path, error: Exception) -> RecipeError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else one_line(error)[:200]
    histogram = "; a histogram is no number: log the norms" if _HISTOGRAM in str(error) else ""
    return RecipeError(f"{path} cannot be read ({reason}){histogram}")
