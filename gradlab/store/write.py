"""Writes the files of a run so that nothing measured is lost: a file under its final name is complete, always.

Order: tables, then checkpoint, then status. Each file is written under a temporary name, synced and renamed.
"""

import hashlib
import io
import json
import math
import re
import zipfile
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from gradlab.measurements.columns import TABLES
from gradlab.recipe.errors import RecipeError
from gradlab.store import files, lock

KEPT_CHECKPOINTS = 2  # the previous one stays, should the newest turn out to be damaged
FACTS = "notes"  # the entry of a checkpoint file that is not a leaf of the state


Digests = Mapping[str, str]  # of the files of a run by their names in its folder, as status.json notes them
# the digests of the parts, while there are parts; those of other files are in status.json
DIGESTS = "digests.txt"
LOG = "run.log"
REPORT = "report.html"
CHECKPOINTS, FIGURES = "checkpoint", "figures"  # folders in that of a run
NO_DIGESTS: Digests = MappingProxyType({})


class Checkpoint(NamedTuple):
    """The state after `step` steps by the path of each leaf, and what else a run needs to continue (plain values)."""

    step: int
    leaves: dict[str, np.ndarray]
    facts: dict[str, Any]


def _from_outputs(folder: Path, name: str = "") -> tuple[Path, str]:
    """The output root, and the name of a file of a run below it: what a run writes passes no link below the root."""
    return folder.parent.parent, "/".join(filter(None, (folder.parent.name, folder.name, name)))


def make_folder(folder: Path) -> None:
    """Create the folder of a run where it is missing.

    Raises:
        RecipeError: it or the folder of its study is a link.
        OSError: it cannot be made.
    """
    with files.opened(*_from_outputs(folder), create=True):
        pass


def require_no_links(folder: Path) -> None:
    """Check the folder of a run, which may not exist, before anything in it is read or written.

    Raises:
        RecipeError: it, the folder of its study, or something that a run writes in it is a link.
    """
    root, run = _from_outputs(folder)
    with suppress(OSError), files.opened(root, run) as opened:
        for name in (*TABLES, CHECKPOINTS, FIGURES, DIGESTS, "recipe.yaml", "status.json", LOG, lock.NAME):
            files.require_no_link(opened, name, folder / name)


def _save(folder: Path, name: str, content: bytes) -> str:
    """Write a file of a run durably; returns its digest."""
    files.write(*_from_outputs(folder, name), content)
    return digest(content)


def _remove(folder: Path, names: Iterable[str]) -> None:
    root, run = _from_outputs(folder)
    files.remove(root, [f"{run}/{name}" for name in names])


def text(folder: Path, name: str, content: str) -> str:
    """Write a small text file of a run, UTF-8, durably; returns its digest."""
    return _save(folder, name, content.encode())


def remove_log(folder: Path) -> None:
    """Delete the traceback of an earlier failure."""
    _remove(folder, [LOG])


def recipe(folder: Path, values: Mapping[str, Any]) -> Digests:
    """Write recipe.yaml, every choice and number of the run in the order of the recipe's fields; returns its digest."""
    content = yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True)
    return {"recipe.yaml": text(folder, "recipe.yaml", content)}


def part(folder: Path, table: str, step: int, rows: list[pa.Table]) -> Digests:
    """Write one part of a table, named by its first step, and return its digest; no file if there are no rows.

    Its rows are in the order of a merged file.
    """
    if not any(batch.num_rows for batch in rows):
        return {}
    name = f"{table}/part-{step:09d}.parquet"
    return {name: _save(folder, name, _parquet(_in_order(pa.concat_tables(rows))))}


def _in_order(rows: pa.Table) -> pa.Table:
    """The rows by seed, step, layer and time; equal ones stay as they are."""
    keys = [
        (key, "ascending") for key in ("seed", "step", "layer", "time", "index") if key in rows.column_names
    ]
    return rows.unify_dictionaries().sort_by(keys)


def note_digests(folder: Path, digests: Digests) -> None:
    """Append the digests of parts to the folder's list; one that a power failure takes is only not checked."""
    if not digests:
        return
    lines = "".join(f"{noted}  {name}\n" for name, noted in digests.items())
    files.append(*_from_outputs(folder, DIGESTS), lines.encode())


def renew_digests(folder: Path, digests: Digests) -> None:
    """Replace the folder's list of the digests of parts."""
    _remove(folder, [DIGESTS])
    note_digests(folder, digests)


def noted_digests(folder: Path) -> dict[str, str]:
    """The digests of the parts of a run that is not compacted; a line that was cut off is left out."""
    try:
        content = files.read(folder, DIGESTS).decode(errors="replace")
    except (OSError, RecipeError):
        return {}
    lines = re.findall(r"^([0-9a-f]{16})  (\S+)$(?=\n)", content, re.MULTILINE)
    return {name: noted for noted, name in lines}


def is_intact(folder: Path, name: str, digests: Digests) -> bool:
    """Whether a file is there, and has the digest that was noted when it was written; one that was not noted has."""
    try:
        return digests.get(name) in (None, digest(files.read(folder, name)))
    except (OSError, RecipeError):
        return False


def _parquet(rows: pa.Table) -> bytes:
    """A table as Parquet; zstd and byte-stream split shrink floats to about two thirds, keys to almost nothing."""
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
    return memory.getvalue()


def part_files(folder: Path, table: str) -> list[str]:
    """The names of the parts of a table that are not compacted yet, in the order of their steps."""
    return files.listed(folder, table, "part-*.parquet")


def table_files(folder: Path, table: str) -> list[str]:
    """The names of all files of a table."""
    return files.listed(folder, table, "all.parquet", "part-*.parquet")


def merged_file(table: str) -> str:
    """The name of the file that holds all rows of a table of an ended run."""
    return f"{table}/all.parquet"


def compact(
    folder: Path,
    digests: Digests = NO_DIGESTS,
    note: Callable[[dict[str, str]], object] = lambda _: None,
    in_order: Collection[str] = (),
) -> None:
    """Merge the parts of each table into one `all.parquet`, and keep only the newest checkpoint of an ended run.

    `digests` are those of the parts; `note` is called with those of the merged files before the parts are deleted.
    Of the parts whose names are `in_order`, which `part` wrote, a single one becomes the merged file by a new name.
    May be interrupted anywhere and repeated: an `all.parquet` always holds the rows of all parts, and readers
    prefer it to the parts.

    Raises:
        OSError: a part is missing or damaged; nothing is deleted then.
    """
    _remove(folder, temporary_files(folder))
    merged_digests: dict[str, str] = {}
    for table in TABLES:
        parts, merged = part_files(folder, table), merged_file(table)
        if parts and not (folder / merged).exists():
            noted = [name for name in digests if name.startswith(f"{table}/part-")]
            for name in sorted({*parts, *noted}):
                if not is_intact(folder, name, digests):
                    raise OSError(
                        f"{folder / name} is {'damaged' if (folder / name).exists() else 'missing'}"
                    )
            if len(parts) == 1 and parts[0] in in_order:
                files.rename(*_from_outputs(folder, parts[0]), Path(merged).name)
                merged_digests[merged] = digests[parts[0]]
                continue
            contents = [pa.BufferReader(files.read(folder, name)) for name in parts]
            rows = pa.concat_tables(map(pq.read_table, contents), promote_options="default")
            merged_digests[merged] = _save(folder, merged, _parquet(_in_order(rows)))
        elif (folder / merged).exists() and merged not in digests:
            # of a compaction that was interrupted
            merged_digests[merged] = digest(files.read(folder, merged))
    note(merged_digests)
    parts = [name for table in TABLES for name in part_files(folder, table)]
    _remove(folder, [*parts, *checkpoints(folder)[:-1], DIGESTS])


def compacted(folder: Path) -> bool:
    """Whether `compact` has nothing left to do, also after one that was interrupted."""
    return not (
        temporary_files(folder)
        or checkpoints(folder)[:-1]
        or any(part_files(folder, table) for table in TABLES)
        or (folder / DIGESTS).exists()
    )


def has_rows(folder: Path) -> bool:
    """Whether the folder has rows or a checkpoint of a run."""
    return any(part_files(folder, table) for table in TABLES) or bool(checkpoints(folder))


def temporary_files(folder: Path) -> list[str]:
    """Incomplete files of a killed writer; not those of figures, which another process may be drawing now."""
    return [
        name for place in ("", CHECKPOINTS, *TABLES) for name in files.listed(folder, place, files.TEMPORARY)
    ]


def checkpoints(folder: Path) -> list[str]:
    """The names of the checkpoints that are kept, the newest last."""
    return files.listed(folder, CHECKPOINTS, "[0-9]*-*.npz")


def first_step(name: str) -> int | None:
    """The first step of a part by the name of its file; None for other files."""
    found = re.search(r"/part-(\d+)\.parquet$", name)
    return int(found[1]) if found else None


def first_damage(folder: Path, digests: Digests) -> tuple[int, str] | None:
    """The first step of the earliest part that is missing or damaged, and its name; None where all parts are whole."""
    present = [name for table in TABLES for name in part_files(folder, table)]
    steps = {name: step for name in {*digests, *present} if (step := first_step(name)) is not None}
    broken = [(step, name) for name, step in steps.items() if not is_intact(folder, name, digests)]
    return min(broken, default=None)


def remove_parts_from(folder: Path, step: int) -> None:
    """Delete the parts whose first step is `step` or later, and incomplete files of a killed writer."""
    parts = {name: first_step(name) for table in TABLES for name in part_files(folder, table)}
    later = [name for name, at in parts.items() if at is not None and at >= step]
    _remove(folder, [*later, *temporary_files(folder)])


def clear(folder: Path) -> None:
    """Delete the files that a run wrote, and no others; status.json first: a folder without it is not a run."""
    _remove(folder, ["status.json"])
    tables = [table_files(folder, table) for table in TABLES]
    saved = files.listed(folder, CHECKPOINTS, "[0-9]*-*.npz", "[0-9]*-*.bad")
    figures = files.listed(folder, FIGURES, "*.png", "*.svg")
    _remove(folder, [name for names in (*tables, saved, figures, [DIGESTS, LOG]) for name in names])


def checkpoint(folder: Path, saved: Checkpoint) -> None:
    """Write the state as one `.npz` with its digest in its name; the oldest are deleted once it is complete."""
    memory = io.BytesIO()
    np.savez(memory, **saved.leaves, **{FACTS: np.array(json.dumps(saved.facts))})  # type: ignore[arg-type]
    content = memory.getvalue()
    written = f"{CHECKPOINTS}/{saved.step:09d}-{digest(content)}.npz"
    _save(folder, written, content)
    others = set(checkpoints(folder)) - {written}
    older = sorted(name for name in others if name < f"{CHECKPOINTS}/{saved.step:09d}")
    _remove(folder, others - set(older[1 - KEPT_CHECKPOINTS :]))


def digest(content: bytes) -> str:
    """The digest of a file's content: 64 bits of SHA-256, as hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()[:16]


def restore(folder: Path, before: float = math.inf) -> tuple[Checkpoint | None, list[str]]:
    """The newest undamaged checkpoint (or None), and the names of damaged ones, which are renamed to `.bad`.

    A checkpoint that has rows of a step from `before` on behind it is passed over. The leaves keep their shapes and
    dtypes.
    """
    damaged: list[str] = []
    for name in reversed(checkpoints(folder)):
        saved = read_checkpoint(folder, name)
        if saved is None:
            set_aside(folder, name)
            damaged.append(Path(name).name)
        elif saved.facts["next"] <= before:
            return saved, damaged
    return None, damaged


def set_aside(folder: Path, name: str) -> None:
    """Rename a damaged checkpoint to `.bad`."""
    files.rename(*_from_outputs(folder, name), Path(name).with_suffix(".bad").name)


def read_checkpoint(folder: Path, name: str) -> Checkpoint | None:
    """A checkpoint, or None where it is not what was written."""
    step, _, noted = Path(name).stem.partition("-")
    try:
        content = files.read(folder, name)
        if noted != digest(content):
            return None
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            # it is written without compression: one that unpacks to more than itself is not ours
            if sum(member.file_size for member in archive.infolist()) > len(content):
                return None
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            leaves = dict(file)
        facts = json.loads(str(leaves.pop(FACTS)))
        return Checkpoint(int(step), leaves, facts) if isinstance(facts["next"], int) else None
    except (RecipeError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
        return None
