"""Writes the files of a run so that nothing measured is lost: a file under its final name is complete, always.

Order: tables, then checkpoint, then status. Each file is written under a temporary name, synced and renamed.
"""

import hashlib
import io
import json
import math
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from gradlab.measure.columns import TABLES

KEPT_CHECKPOINTS = 2  # the previous one stays, should the newest turn out to be damaged
RESULTS = ("finished", "diverged", "stopped")  # the states of a run that has all its rows
FACTS = "notes"  # the entry of a checkpoint file that is not a leaf of the state


Digests = Mapping[str, str]  # of the files of a run by their names in its folder, as status.json notes them
# the digests of the parts, while there are parts; those of other files are in status.json
DIGESTS = "digests.txt"
NO_DIGESTS: Digests = MappingProxyType({})


class Checkpoint(NamedTuple):
    """The state after `step` steps by the path of each leaf, and what else a run needs to continue (plain values)."""

    step: int
    leaves: dict[str, np.ndarray]
    facts: dict[str, Any]


def durable(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file that is complete or absent under its name: temporary name, sync, rename, sync of the folder."""
    make_folder(path.parent)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync(path.parent)


def make_folder(folder: Path) -> None:
    """Create the folder and its parents, and sync them, so that they survive a power failure."""
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


def text(path: Path, content: str) -> str:
    """Write a small text file, UTF-8, durably; returns its digest."""
    return _content(path, content.encode())


def _content(path: Path, content: bytes) -> str:
    """Write a file durably; returns its digest."""
    durable(path, lambda file: file.write(content))
    return digest(content)


def recipe(folder: Path, values: Mapping[str, Any]) -> Digests:
    """Write recipe.yaml, every choice and number of the run in the order of the recipe's fields; returns its digest."""
    content = yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True)
    return {"recipe.yaml": text(folder / "recipe.yaml", content)}


def part(folder: Path, table: str, step: int, rows: list[pa.Table]) -> Digests:
    """Write one part of a table, named by its first step, and return its digest; no file if there are no rows."""
    if not any(batch.num_rows for batch in rows):
        return {}
    path = folder / table / f"part-{step:09d}.parquet"
    return {name_in(folder, path): _parquet(path, pa.concat_tables(rows))}


def note_digests(folder: Path, digests: Digests) -> None:
    """Append the digests of parts to the folder's list; one that a power failure takes is only not checked."""
    with (folder / DIGESTS).open("a", encoding="utf-8") as file:
        file.write("".join(f"{noted}  {name}\n" for name, noted in digests.items()))


def noted_digests(folder: Path) -> dict[str, str]:
    """The digests of the parts of a run that is not compacted; a line that was cut off is left out."""
    try:
        content = (folder / DIGESTS).read_text("utf-8", errors="replace")
    except OSError:
        return {}
    lines = re.findall(r"^([0-9a-f]{16})  (\S+)$(?=\n)", content, re.MULTILINE)
    return {name: noted for noted, name in lines}


def name_in(folder: Path, path: Path) -> str:
    """The name of a run's file among its digests: `layers/all.parquet`."""
    return path.relative_to(folder).as_posix()


def is_intact(folder: Path, path: Path, digests: Digests) -> bool:
    """Whether a file is there, and has the digest that was noted when it was written; one that was not noted has."""
    try:
        return digests.get(name_in(folder, path)) in (None, digest(path.read_bytes()))
    except OSError:
        return False


def _parquet(path: Path, rows: pa.Table) -> str:
    """Write a Parquet file; zstd and byte-stream split shrink floats to about two thirds and keys to almost nothing."""
    floats = [field.name for field in rows.schema if pa.types.is_floating(field.type)]
    options = {
        "compression": "zstd",
        "compression_level": 3,
        "use_dictionary": [field.name for field in rows.schema if field.name not in floats],
        "column_encoding": dict.fromkeys(floats, "BYTE_STREAM_SPLIT"),
        "write_page_checksum": True,
    }
    memory = io.BytesIO()
    pq.write_table(rows, memory, **options)
    return _content(path, memory.getvalue())


def part_files(folder: Path, table: str) -> list[Path]:
    """The parts of a table that are not compacted yet, in the order of their steps."""
    return sorted((folder / table).glob("part-*.parquet"))


def compact(
    folder: Path, digests: Digests = NO_DIGESTS, note: Callable[[dict[str, str]], object] = lambda _: None
) -> None:
    """Merge the parts of each table into one `all.parquet`, and keep only the newest checkpoint of an ended run.

    `digests` are those of the parts; `note` is called with those of the merged files before the parts are deleted.
    May be interrupted anywhere and repeated: an `all.parquet` always holds the rows of all parts, and readers
    prefer it to the parts.

    Raises:
        OSError: a part is missing or damaged; nothing is deleted then.
    """
    for path in _temporary_files(folder):
        path.unlink()
    merged_digests: dict[str, str] = {}
    for table in TABLES:
        parts = part_files(folder, table)
        merged = folder / table / "all.parquet"
        if parts and not merged.exists():
            noted = [folder / name for name in digests if name.startswith(f"{table}/part-")]
            for path in sorted({*parts, *noted}):
                if not is_intact(folder, path, digests):
                    raise OSError(f"{path} is {'damaged' if path.exists() else 'missing'}")
            rows = pa.concat_tables(map(pq.read_table, parts), promote_options="default")
            order = [
                (key, "ascending") for key in ("seed", "step", "layer", "time") if key in rows.column_names
            ]
            merged_digests[name_in(folder, merged)] = _parquet(
                merged, rows.unify_dictionaries().sort_by(order)
            )
        elif merged.exists() and name_in(folder, merged) not in digests:
            # of a compaction that was interrupted
            merged_digests[name_in(folder, merged)] = digest(merged.read_bytes())
    note(merged_digests)
    for path in [path for table in TABLES for path in part_files(folder, table)] + _older_checkpoints(folder):
        path.unlink()
    (folder / DIGESTS).unlink(missing_ok=True)


def compacted(folder: Path) -> bool:
    """Whether `compact` has nothing left to do, also after one that was interrupted."""
    return not (
        _temporary_files(folder)
        or _older_checkpoints(folder)
        or any(part_files(folder, table) for table in TABLES)
        or (folder / DIGESTS).exists()
    )


def has_rows(folder: Path) -> bool:
    """Whether the folder has rows or a checkpoint of a run."""
    return any(part_files(folder, table) for table in TABLES) or any((folder / "checkpoint").glob("*.npz"))


def _temporary_files(folder: Path) -> list[Path]:
    """Incomplete files of a killed writer; not those of `figures/`, where another process may be drawing now."""
    folders = [folder, folder / "checkpoint", *(folder / table for table in TABLES)]
    return [path for parent in folders for path in parent.glob(".*.tmp")]


def _older_checkpoints(folder: Path) -> list[Path]:
    """All checkpoints but the newest."""
    return sorted((folder / "checkpoint").glob("*.npz"))[:-1]


def first_step(name: str) -> int | None:
    """The first step of a part by the name of its file; None for other files."""
    found = re.search(r"/part-(\d+)\.parquet$", name)
    return int(found[1]) if found else None


def first_damage(folder: Path, digests: Digests) -> tuple[int, str] | None:
    """The first step of the earliest part that is missing or damaged, and its name; None where all parts are whole."""
    present = [name_in(folder, path) for table in TABLES for path in part_files(folder, table)]
    steps = {name: step for name in {*digests, *present} if (step := first_step(name)) is not None}
    broken = [(step, name) for name, step in steps.items() if not is_intact(folder, folder / name, digests)]
    return min(broken, default=None)


def remove_parts_from(folder: Path, step: int) -> None:
    """Delete the parts whose first step is `step` or later, and incomplete files of a killed writer."""
    for table in TABLES:
        for path in part_files(folder, table):
            at = first_step(path.as_posix())
            if at is not None and at >= step:
                path.unlink()
    for path in _temporary_files(folder):
        path.unlink()


def clear(folder: Path) -> None:
    """Delete the files that a run wrote, and no others; status.json first: a folder without it is not a run."""
    of_tables = [f"{table}/*.parquet" for table in TABLES]
    for pattern in ("status.json", DIGESTS, "checkpoint/*", *of_tables, "figures/*.*", "run.log"):
        for path in folder.glob(pattern):
            if path.is_file() or path.is_symlink():
                path.unlink()
        _sync(folder)


def checkpoint(folder: Path, saved: Checkpoint) -> None:
    """Write the state as one `.npz` with its digest in its name; the oldest are deleted once it is complete."""
    memory = io.BytesIO()
    np.savez(memory, **saved.leaves, **{FACTS: np.array(json.dumps(saved.facts))})  # type: ignore[arg-type]
    content = memory.getvalue()
    path = folder / "checkpoint" / f"{saved.step:09d}-{digest(content)}.npz"
    durable(path, lambda file: file.write(content))
    others = set(path.parent.glob("*.npz")) - {path}
    older = sorted(other for other in others if other.name < f"{saved.step:09d}")
    for other in others - set(older[1 - KEPT_CHECKPOINTS :]):
        other.unlink()


def digest(content: bytes) -> str:
    """The digest of a file's content: 64 bits of SHA-256, as hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()[:16]


def restore(folder: Path, before: float = math.inf) -> tuple[Checkpoint | None, list[str]]:
    """The newest undamaged checkpoint (or None), and the names of damaged ones, which are renamed to `.bad`.

    A checkpoint that has rows of a step from `before` on behind it is passed over. The leaves keep their shapes and
    dtypes.
    """
    damaged: list[str] = []
    for path in sorted((folder / "checkpoint").glob("*.npz"), reverse=True):
        content = path.read_bytes()
        step, _, noted = path.stem.partition("-")
        if noted == digest(content):
            with np.load(io.BytesIO(content), allow_pickle=False) as file:
                leaves = dict(file)
            facts = json.loads(str(leaves.pop(FACTS)))
            if facts["next"] <= before:
                return Checkpoint(int(step), leaves, facts), damaged
            continue
        path.replace(path.with_suffix(".bad"))
        damaged.append(path.name)
    return None, damaged
