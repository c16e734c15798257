"""A study of many runs without training them: copies of one stored run whose recipes differ.

`python -m tests.bench.copies RUN STUDY` writes 1,000 runs, 10 initializers × 10 learning rates × 10 seeds, and prints
what `gradlab compare STUDY` costs, as CPU seconds and peak memory of a process of its own.
"""

import itertools
import resource
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml

from gradlab.measure.columns import TABLES
from gradlab.recipe.options import parameters
from gradlab.store import write
from gradlab.store.read import Run, open_run
from gradlab.store.status import write_status

INITIALIZERS = "orthogonal normal truncated_normal xavier he lecun small_normal uniform identity lsuv".split()
RATES = np.geomspace(0.001, 1.0, 10).round(6).tolist()
SEEDS = range(10)
GAINS = np.linspace(-0.3, 0.05, len(INITIALIZERS))  # decades per layer that each initializer adds


def study(run: Run, folder: Path) -> int:
    """Write the copies of `run` below `folder`, each whole by its digests; returns their number."""
    return len([copy(run, folder / name, changes, shift) for name, changes, shift in _recipes()])


def _recipes() -> Iterator[tuple[str, dict[str, Any], float]]:
    """The folder's name, what changes in the recipe, and decades per layer that are added to the backward signal."""
    noise = np.random.default_rng(0)
    for (index, name), lr, seed in itertools.product(enumerate(INITIALIZERS), RATES, SEEDS):
        numbers = {key: yaml.safe_load(text) for key, text in parameters("initializer", name).items()}
        changes = {"initializer": {"name": name, **numbers}, "lr": lr, "seed": seed}
        shift = float(GAINS[index] + 0.01 * noise.standard_normal())
        yield f"mlp-{name}-lr{lr}-s{seed}", changes, shift


def copy(run: Run, folder: Path, changes: Mapping[str, Any], shift: float = 0.0) -> Path:
    """A copy of a run with another recipe and its backward signal tilted by `shift` decades per layer."""
    write.make_folder(folder)
    digests = dict(write.recipe(folder, {**run.recipe, **changes}))
    for table in TABLES:
        if (run.folder / table / "all.parquet").exists():
            rows = pq.read_table(run.folder / table / "all.parquet")
            rows = _changed(rows, changes.get("seed"), shift if table == "layers" else 0.0)
            digests |= write.part(folder, table, 0, [rows])
            (folder / table / "part-000000000.parquet").rename(folder / table / "all.parquet")
            digests[f"{table}/all.parquet"] = digests.pop(f"{table}/part-000000000.parquet")
    write_status(folder, run.status | {"name": folder.name, "files": digests})
    return folder


def _changed(rows: pa.Table, seed: int | None, shift: float) -> pa.Table:
    if seed is not None and seed != 0:
        at = rows.column_names.index("seed")
        rows = rows.set_column(at, rows.schema.field(at), pa.array(np.full(rows.num_rows, seed, np.int32)))
    if shift and "log10_backward" in rows.column_names:
        at, layer = rows.column_names.index("log10_backward"), rows["layer"].to_numpy()
        tilted = pc.add(
            rows["log10_backward"], pa.array((shift * layer.max() - shift * layer).astype(np.float32))
        )
        rows = rows.set_column(at, rows.schema.field(at), tilted)
    return rows


def cost(*words: str) -> tuple[float, float, str]:
    """CPU seconds, peak memory in MiB, and the output of `gradlab WORDS` in a process of its own."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-m", "gradlab", *words], capture_output=True, text=True, check=False
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, after.ru_maxrss / 1024, done.stdout + done.stderr


if __name__ == "__main__":
    source, target = map(Path, sys.argv[1:3])
    if not target.exists():
        print(f"{study(open_run(source), target)} runs of {len(open_run(source).layers):,} rows")
    seconds, memory, printed = cost("compare", str(target), "--by", "initializer,lr")
    print(printed[-600:])
    print(f"compare: {seconds:.1f} s CPU, {memory:.0f} MiB")
