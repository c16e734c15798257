"""A study of many runs without training them: copies of one stored run whose recipes differ.

`python -m tests.bench.copies RUN STUDY` writes 1,000 runs, 10 initializers × 10 learning rates × 10 seeds, where STUDY
does not exist, and prints what `gradlab compare STUDY --by initializer,lr` costs: CPU seconds and peak memory.
"""

import itertools
import resource
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml

from gradlab.measurements.columns import TABLES
from gradlab.recipe.options import parameters
from gradlab.report import pictures
from gradlab.report.comparison import Comparison, comparison_picture, report_text, requested_keys
from gradlab.report.drawing import drawable
from gradlab.store import write
from gradlab.store.read import Run, open_run, read_each
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


def costs(folder: Path, by: list[str]) -> dict[str, float]:
    """CPU seconds of the parts of `gradlab compare`, in this process."""
    begun, seconds = time.process_time(), {}

    def lap(part: str) -> None:
        nonlocal begun
        now = time.process_time()
        seconds[part], begun = now - begun, now

    runs, _ = read_each(folder, drawable)
    comparison = Comparison(runs, requested_keys(runs, by), chosen=True)
    lap("open and read")
    comparison.results  # noqa: B018 it is computed when it is first used
    lap("results of each run")
    report_text(comparison)
    lap("table and effects")
    pictures.save(comparison_picture(comparison), folder / "bench.png")
    lap("picture")
    return seconds


if __name__ == "__main__":
    source, target = open_run(sys.argv[1]), Path(sys.argv[2])
    if not target.exists():
        print(f"{study(source, target)} runs of {len(source.layers):,} rows")
    parts = costs(target, ["initializer", "lr"])
    print("\n".join(f"{part:<20} {seconds:6.1f} s" for part, seconds in parts.items()))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"compare: {time.process_time():.1f} s CPU with imports, {memory:.0f} MiB")
