"""Writing a run so that nothing measured is lost: a file of its final name is whole, whatever happened.

Order: tables, then checkpoint, then status. Each file is written under another name, synced, and renamed.
"""

import hashlib
import io
import json
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from gradlab.measure.columns import SCHEMAS, VERSION

TABLES = tuple(SCHEMAS)
KEPT = 2  # checkpoints: the one before is there until the newest has outlived it
RESULTS = ("finished", "diverged", "stopped")  # the states of a run whose rows are all there
NOTES = "notes"  # the entry of a checkpoint that is no leaf of the state


class Checkpoint(NamedTuple):
    """The state after `step` steps by leaf, and what else the run must remember."""

    step: int
    leaves: dict[str, np.ndarray]
    notes: dict[str, Any]


def durable(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file so that under its name it is whole or not there: other name, sync, rename, sync."""
    make_folder(path.parent)
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


def make_folder(folder: Path) -> None:
    """The folder, and those it is in, so that a power cut does not take them back."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        _sync(folder.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def text(path: Path, content: str) -> None:
    """Write a small text file durably."""
    durable(path, lambda file: file.write(content.encode()))


def recipe(folder: Path, values: Mapping[str, Any]) -> None:
    """recipe.yaml: every choice and number of the run, in the order a reader asks."""
    text(folder / "recipe.yaml", yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True))


def read_status(folder: Path) -> dict[str, Any]:
    """What status.json says; nothing where it is not there or is damaged."""
    try:
        return dict(json.loads((folder / "status.json").read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def write_status(folder: Path, values: Mapping[str, Any]) -> None:
    """status.json: the state of the run and what it ran on; a number that is not finite is null."""
    told = _finite({"schema": VERSION, **values})
    text(folder / "status.json", json.dumps(told, indent=2, allow_nan=False) + "\n")


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def part(folder: Path, table: str, step: int, rows: list[pa.Table]) -> None:
    """One part of a table, named by the step it begins at; nothing where there are no rows."""
    if any(piece.num_rows for piece in rows):
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


def parts(folder: Path, table: str) -> list[Path]:
    """The parts of a table that are not compacted, in the order of their steps."""
    return sorted((folder / table).glob("part-*.parquet"))


def compact(folder: Path) -> None:
    """A run that has ended: each table as one `all.parquet`, preferred to its parts; one checkpoint.

    May be cut off anywhere and done again: once `all.parquet` is there it holds every part's rows.
    """
    for path in _hidden(folder):
        path.unlink()
    for table in TABLES:
        found = parts(folder, table)
        whole = folder / table / "all.parquet"
        if found and not whole.exists():
            rows = pa.concat_tables(pq.read_table(path, schema=SCHEMAS[table]) for path in found)
            order = [
                (key, "ascending") for key in ("seed", "step", "layer", "time") if key in rows.column_names
            ]
            _parquet(whole, table, rows.unify_dictionaries().sort_by(order))
        for path in found:
            path.unlink()
    for path in _older(folder):
        path.unlink()


def compacted(folder: Path) -> bool:
    """Whether `compact` has nothing left to do, wherever an earlier one was cut off."""
    return not (_hidden(folder) or _older(folder) or any(parts(folder, table) for table in TABLES))


def _hidden(folder: Path) -> list[Path]:
    """What a killed writer left half-written; figures are another's, who may be drawing now."""
    places = [folder, folder / "checkpoint", *(folder / table for table in TABLES)]
    return [path for place in places for path in place.glob(".*.tmp")]


def _older(folder: Path) -> list[Path]:
    """All checkpoints but the newest."""
    return sorted((folder / "checkpoint").glob("*.npz"))[:-1]


def forget(folder: Path, step: int) -> None:
    """Delete the parts that begin at `step` or later, and what a killed writer left half-written."""
    for table in TABLES:
        for path in parts(folder, table):
            if int(path.stem.removeprefix("part-")) >= step:
                path.unlink()
    for path in _hidden(folder):
        path.unlink()


def clear(folder: Path) -> None:
    """Remove what a run wrote, and nothing else; without its status it is no run, so that goes first."""
    for pattern in ("status.json", "checkpoint/*", "*/*.parquet", "figures/*", "run.log"):
        for path in folder.glob(pattern):
            path.unlink()
        _sync(folder)


def checkpoint(folder: Path, saved: Checkpoint) -> None:
    """The state as one `.npz`, its digest in its name; the oldest go once this one is whole."""
    memory = io.BytesIO()
    np.savez(memory, **saved.leaves, **{NOTES: np.array(json.dumps(saved.notes))})  # type: ignore[arg-type]
    content = memory.getvalue()
    path = folder / "checkpoint" / f"{saved.step:09d}-{_digest(content)}.npz"
    durable(path, lambda file: file.write(content))
    others = set(path.parent.glob("*.npz")) - {path}
    older = sorted(other for other in others if other.name < f"{saved.step:09d}")
    for other in others - set(older[1 - KEPT :]):
        other.unlink()


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def restore(folder: Path) -> tuple[Checkpoint | None, list[str]]:
    """The newest whole checkpoint, and the names of damaged ones, which are set aside as `.bad`."""
    damaged: list[str] = []
    for path in sorted((folder / "checkpoint").glob("*.npz"), reverse=True):
        content = path.read_bytes()
        step, _, digest = path.stem.partition("-")
        if digest == _digest(content):
            with np.load(io.BytesIO(content), allow_pickle=False) as file:
                leaves = dict(file)
            return Checkpoint(int(step), leaves, json.loads(str(leaves.pop(NOTES)))), damaged
        path.replace(path.with_suffix(".bad"))
        damaged.append(path.name)
    return None, damaged
