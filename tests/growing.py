"""A run that is written step by step, as `launch.run_writer` does, while its lock is held by this process."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from gradlab.store import write
from gradlab.store.lock import hold
from gradlab.store.status import read_status, write_status
from tests import runs


class GrowingRun:
    """`add` stores the rows of some steps; `status` the status that counts them, which a reader goes by."""

    def __init__(self, folder: Path, depth: int = 6, steps: int = 100, seeds: int = 1, **recipe: Any):
        self.folder, self.depth, self.steps, self.seeds = folder, depth, steps, seeds
        self.lock = ExitStack()
        write.make_folder(folder)
        self.lock.enter_context(hold(folder))
        self.files = dict(write.recipe(folder, runs.recipe(depth=depth, steps=steps, seeds=seeds, **recipe)))
        started = {"name": folder.name, "data": runs.DATA, "nonfinite": [], "started": "2026-01-01T00:00:00"}
        self.facts = {"state": "running", "message": "", "steps_done": 0, "seconds": 1.5, **started}
        self.status()

    def status(self, **facts: Any) -> None:
        """Write the status with these changes."""
        self.facts |= facts
        write_status(self.folder, {**self.facts, "files": self.files, "versions": {}})

    def add(self, first: int, stop: int, **more: Any) -> None:
        """Store the rows of the steps from `first` up to `stop`, which the status does not count yet."""
        logged = list(range(first, stop))
        losses = np.geomspace(2.35, 0.09, self.steps + 1)[first:stop].tolist()
        scores = {
            "train_accuracy": [0.75] * len(losses),
            "test_accuracy": [0.5] * len(losses),
            "clipped": [0.25] * len(losses),
        }
        tables: dict[str, list[pa.Table]] = {"layers": [], "steps": []}
        for seed in range(self.seeds):
            walk = runs.walk(self.depth, self.steps + 1, seed=seed)[first:stop]
            tables["layers"].append(runs.layer_table(walk, logged, seed=seed, **more))
            tables["steps"].append(runs.step_table(losses, logged, seed=seed, **scores))
        for table, rows in tables.items():
            write.note_digests(self.folder, write.part(self.folder, table, first, rows))

    def grow(self, first: int, stop: int, **more: Any) -> None:
        """Store the rows of some steps, and count them."""
        self.add(first, stop, **more)
        self.status(steps_done=stop, compile_seconds=1.0, seconds=1.0 + 0.1 * stop)

    def finish(self) -> None:
        """Add the last row, end the run, merge its parts, and give the lock back."""
        self.add(self.steps, self.steps + 1)
        ended = {"device": "cpu", "device_kind": "cpu", "threads": 1, "stopped": [], "parameters": 1}
        self.status(state="finished", steps_done=self.steps, **ended)
        parts = write.noted_digests(self.folder)
        write.compact(self.folder, parts, lambda merged: self.files.update(merged))
        self.status()
        self.lock.close()

    def kill(self) -> None:
        """The process is gone."""
        self.lock.close()

    def read_status(self) -> dict[str, Any]:
        """The status as it is stored."""
        return read_status(self.folder)
