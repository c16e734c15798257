"""What a run left on the disk, bit for bit."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

# what differs between two runs of one recipe; `files` are the digests of what is compared anyway, and of recipe.yaml
TIMES = (
    *("started", "seconds", "compile_seconds", "memory_mib", "process_peak_mib"),
    *("message", "name", "files", "digest"),
)


def status(folder: Path) -> dict[str, Any]:
    """status.json, which is JSON to the letter: no NaN."""

    def refuse(word: str) -> None:
        raise AssertionError(f"status.json holds {word}")

    return json.loads((folder / "status.json").read_text(), parse_constant=refuse)


def table(folder: Path, name: str) -> pa.Table:
    """All rows of one table in the order of a finished run."""
    whole = folder / name / "all.parquet"
    files = [whole] if whole.exists() else sorted((folder / name).glob("part-*.parquet"))
    rows = pa.concat_tables(map(pq.read_table, files))
    return rows.sort_by([(key, "ascending") for key in ("seed", "step", "layer") if key in rows.column_names])


def bits(rows: pa.Table) -> dict[str, tuple]:
    """The columns as they can be compared: nulls apart, floats by their bits."""
    found = {}
    for name, column in zip(rows.column_names, rows.combine_chunks().columns, strict=True):
        if pa.types.is_dictionary(column.type):
            found[name] = tuple(column.to_pylist())
        else:
            values = column.fill_null(0).to_numpy()
            found[name] = column.is_null().to_pylist(), values.view(f"i{values.itemsize}").tolist()
    return found


def result(folder: Path) -> dict[str, Any]:
    """All that two runs of one recipe must share: the files' bytes, the status but its times."""
    files = sorted([*folder.glob("*/*.parquet"), *folder.glob("checkpoint/*")])
    told = {key: value for key, value in status(folder).items() if key not in TIMES}
    return {"status": told, **{str(path.relative_to(folder)): path.read_bytes() for path in files}}


def weights(folder: Path) -> dict[str, np.ndarray]:
    """The leaves of the newest checkpoint."""
    with np.load(sorted((folder / "checkpoint").glob("*.npz"))[-1]) as file:
        return {key: file[key] for key in file if key != "notes"}


def clean(folder: Path) -> bool:
    """No half-written file, no part that was not compacted, one checkpoint, few files."""
    left = [*folder.rglob("*.tmp"), *folder.rglob("part-*"), *folder.rglob("*.bad")]
    return not left and len(list(folder.glob("checkpoint/*"))) == 1 and len(list(folder.rglob("*"))) <= 16
