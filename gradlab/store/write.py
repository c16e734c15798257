"""Writing a run so that nothing measured is lost: a file of its final name is whole, whatever happened.

Order: tables, then checkpoint, then status. Each file is written under another name, synced, and renamed.
"""

import io
import json
import os
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from gradlab.store.schema import SCHEMAS, VERSION

TABLES = tuple(SCHEMAS)


def durable(path: Path, write: Callable[[BinaryIO], None]) -> None:
    """Write a file so that under its name it is whole or not there: other name, sync, rename, sync."""
    path.parent.mkdir(parents=True, exist_ok=True)
    hidden = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with hidden.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        hidden.replace(path)
    finally:
        hidden.unlink(missing_ok=True)
    _sync(path.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def text(path: Path, content: str) -> None:
    """Write a small text file durably."""
    durable(path, lambda file: file.write(content.encode()) and None)


def recipe(folder: Path, values: Mapping[str, Any]) -> None:
    """recipe.yaml: every choice and number of the run, in the order a reader asks."""
    text(folder / "recipe.yaml", yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True))


def status(folder: Path, values: Mapping[str, Any]) -> None:
    """status.json: the state of the run and what it ran on."""
    text(folder / "status.json", json.dumps({"schema": VERSION, **values}, indent=2, allow_nan=False) + "\n")


def part(folder: Path, table: str, step: int, rows: list[pa.Table]) -> None:
    """One part of a table, named by its first step."""
    if rows:
        _parquet(folder / table / f"part-{step:09d}.parquet", table, pa.concat_tables(rows))


def _parquet(path: Path, table: str, rows: pa.Table) -> None:
    """zstd and byte-stream split: floats shrink to about two thirds, keys to almost nothing."""
    schema = SCHEMAS[table].with_metadata({"gradlab_schema": str(VERSION)})
    floats = [field.name for field in schema if pa.types.is_floating(field.type)]
    options = {
        "compression": "zstd",
        "compression_level": 3,
        "use_dictionary": [field.name for field in schema if field.name not in floats],
        "column_encoding": dict.fromkeys(floats, "BYTE_STREAM_SPLIT"),
    }
    durable(path, lambda file: pq.write_table(rows.cast(schema), file, **options))


def compact(folder: Path) -> None:
    """All parts of each table as one `all.parquet`; readers ignore the parts once it is there."""
    for table in TABLES:
        parts = sorted((folder / table).glob("part-*.parquet"))
        if parts:
            rows = pa.concat_tables(pq.read_table(path, schema=SCHEMAS[table]) for path in parts)
            order = [(key, "ascending") for key in ("seed", "step", "layer") if key in rows.column_names]
            _parquet(folder / table / "all.parquet", table, rows.unify_dictionaries().sort_by(order))
            for path in parts:
                path.unlink()


def forget(folder: Path, step: int) -> None:
    """Delete the parts that begin at `step` or later: a run goes on from its checkpoint."""
    for table in TABLES:
        for path in (folder / table).glob("part-*.parquet"):
            if int(path.stem.removeprefix("part-")) >= step:
                path.unlink()


def checkpoint(folder: Path, step: int, leaves: Mapping[str, np.ndarray]) -> None:
    """The state after `step` steps as one `.npz`; the one before goes once this one is whole."""
    path = folder / "checkpoint" / f"{step:09d}.npz"
    durable(path, lambda file: np.savez(file, **leaves))  # type: ignore[arg-type]
    for other in path.parent.glob("*.npz"):
        if other != path:
            other.unlink()


def restore(folder: Path) -> tuple[int, dict[str, np.ndarray]] | None:
    """The newest whole checkpoint: its step and leaves; a damaged one is set aside as `.bad`."""
    for path in sorted((folder / "checkpoint").glob("*.npz"), reverse=True):
        try:
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
                return int(path.stem), dict(file)
        except (ValueError, OSError, zipfile.BadZipFile):
            path.replace(path.with_suffix(".bad"))
    return None
