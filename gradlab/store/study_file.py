"""study.parquet: one row per run of a study, a cache that is believed only where it is what was written.

Each row has the stamp of its run's files, the file names the rules that made the rows, and holds its own digest:
a file of other rules, or that was damaged or edited, has no rows. Readers of Parquet see ordinary columns.
"""

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gradlab.measurements.columns import TABLES
from gradlab.recipe.errors import RecipeError, StorageError, free_space
from gradlab.store import files
from gradlab.store.contents import LARGEST_STATUS
from gradlab.store.write import digest

NAME = "study.parquet"
Row = dict[str, Any]  # numbers, words, truth values and None by the name of the column
Types = Mapping[str, type]
LARGEST, MOST_CELLS = 2**28, 2**26  # bytes of the file, and rows times columns, that are read

_RULES, _MIXED, _DIGEST = "gradlab_rules", "gradlab_mixed", "gradlab_digest:"
_BLANK = "0" * 16  # stands for the digest where the file is digested
_ARROW = {bool: pa.bool_(), int: pa.int64(), float: pa.float64(), str: pa.string()}


def stamp(run: Path) -> str:
    """What tells whether a run's files have changed: a digest of status.json, and of the others' sizes and times.

    status.json holds the digests of the others; their sizes and times show that one was changed since. It is "" where
    there is no status.json, or a link.
    """
    try:
        facts = [str(run.name), digest(files.read(run, "status.json", LARGEST_STATUS))]
        for table in ("", *TABLES):
            facts += _entries(run, table)
    except (OSError, RecipeError):
        return ""
    return digest("\n".join(facts).encode(errors="surrogateescape"))


def _entries(run: Path, table: str) -> list[str]:
    """Name, size and time of each file of a table, or of the recipe."""
    facts = []
    with suppress(FileNotFoundError), files.opened(run, table) as folder, os.scandir(folder) as entries:
        for entry in entries:
            if table or entry.name == "recipe.yaml":
                status = entry.stat(follow_symlinks=False)
                facts.append(f"{table}/{entry.name} {status.st_size} {status.st_mtime_ns}")
    return sorted(facts)


def read(study: Path, rules: str) -> list[Row]:
    """The rows of a study's file; none where there is no file, or one of other rules, or not as it was written."""
    try:
        content = files.read(study, NAME, LARGEST)
        before, noted, after = _parts(content)
        if noted != _digest_of(before, after):
            return []
        file = pq.ParquetFile(pa.BufferReader(content))
        notes = {key.decode(): value.decode() for key, value in (file.metadata.metadata or {}).items()}
        if notes.get(_RULES) != rules or file.metadata.num_rows * file.metadata.num_columns > MOST_CELLS:
            return []
        return _rows(file.read(), json.loads(notes[_MIXED]))
    except (OSError, ValueError, KeyError, TypeError, RecipeError, pa.ArrowException):
        return []


def write(study: Path, rows: list[Row], types: Types, rules: str) -> None:
    """Write the rows of a study durably; without rows the file is deleted.

    Raises:
        StorageError: the file system does not take the file.
    """
    try:
        if rows:
            files.write(study, NAME, _content(rows, types, rules))
        else:
            files.remove(study, [NAME])
    except OSError as error:
        problem = f"{error.strerror}; {free_space(study)}"
        raise StorageError(f"{study / NAME} cannot be written ({problem})") from error


def _content(rows: list[Row], types: Types, rules: str) -> bytes:
    """The rows as Parquet, with the digest of the file in its metadata."""
    stored = table(rows, types)
    sink = pa.BufferOutputStream()
    # without statistics the words of the rows stand before the digest
    with pq.ParquetWriter(sink, stored.schema, compression="zstd", write_statistics=False) as writer:
        writer.write_table(stored)
        notes = {_RULES: rules, _MIXED: json.dumps(_mixed(stored, rows)), "gradlab": f"{_DIGEST}{_BLANK}"}
        writer.add_key_value_metadata(notes)
    before, _, after = _parts(sink.getvalue().to_pybytes())
    return before + _digest_of(before, after) + after


def _parts(content: bytes) -> tuple[bytes, bytes, bytes]:
    """What stands before the digest, the digest, and what stands after it.

    Raises:
        ValueError: there is no digest.
    """
    start = content.rindex(_DIGEST.encode()) + len(_DIGEST)
    return content[:start], content[start : start + len(_BLANK)], content[start + len(_BLANK) :]


def _digest_of(before: bytes, after: bytes) -> bytes:
    return digest(before + _BLANK.encode() + after).encode()


def table(rows: Iterable[Row], types: Types) -> pa.Table:
    """The rows as an Arrow table, first the columns of `types`; null is None, and NaN stays NaN.

    A column of numbers and words, or of numbers that Arrow does not have, is one of words.
    """
    rows = list(rows)
    names = dict.fromkeys([*types, *(name for row in rows for name in row if row[name] is not None)])
    return pa.table({name: _array([row.get(name) for row in rows], types.get(name)) for name in names})


def _array(values: list[Any], kind: type | None) -> pa.Array:
    kinds = {type(value) for value in values if value is not None} | ({kind} if kind else set())
    fitting = {int, float} if kinds == {int, float} else kinds
    dtype = _ARROW[float] if fitting == {int, float} else _ARROW.get(next(iter(kinds), str))
    with suppress(pa.ArrowException, OverflowError):
        if len(kinds) <= 1 or fitting == {int, float}:
            return pa.array(values, dtype, from_pandas=False)
    return pa.array([None if value is None else str(value) for value in values], pa.string())


def _mixed(stored: pa.Table, rows: list[Row]) -> list[str]:
    """The columns whose words stand for numbers, too."""
    words = [field.name for field in stored.schema if pa.types.is_string(field.type)]
    return [name for name in words if any(type(row.get(name)) in (bool, int, float) for row in rows)]


def _rows(stored: pa.Table, mixed: list[str]) -> list[Row]:
    columns = {name: stored[name].to_pylist() for name in stored.column_names}
    columns |= {name: [_value(text) for text in columns[name]] for name in mixed}
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _value(text: str | None) -> Any:
    """The number or truth value whose text this is, else the text."""
    if text is None or text in ("True", "False"):
        return text and text == "True"
    for number in (int, float):
        with suppress(ValueError):
            return number(text)
    return text
