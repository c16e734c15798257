"""Writes a run as it goes: rows, then the checkpoint that covers them, then the status."""

import math
import re
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow as pa

from gradlab.engine.update import TrainState
from gradlab.launch import machine
from gradlab.launch.seed_tracker import SeedTracker
from gradlab.measurements.columns import RESULTS, TABLES
from gradlab.recipe.errors import NonFiniteError, described, free_space
from gradlab.store import write
from gradlab.store.status import read_status, write_status

WRITE_SECONDS = 0.5  # that rows may stay in memory: a run of a grid may take no longer in all
# facts on which results depend bit for bit; a checkpoint stores them
CHECKPOINT_FACTS = ("versions", "device_kind", "threads")


class End(NamedTuple):
    """How a run has ended; storage: it failed because its folder could not be written."""

    state: str
    message: str
    storage: bool = False


class RunWriter:
    """Writes one run into its folder.

    `add` keeps rows in memory until `flush`; what the other methods write is on the disk when they return.
    """

    def __init__(
        self,
        folder: Path,
        facts: dict[str, Any],
        remarks: list[str],
        schemas: dict[str, pa.Schema],
        memory_key: str,
        write_seconds: float = 0.0,
    ) -> None:
        """`write_seconds`: after how long rows in memory are due to be written."""
        self.folder = folder
        self.write_seconds = write_seconds
        self.written_at = time.perf_counter()
        self.memory_key = memory_key  # the name of the peak of memory, which the system decides
        # a checkpoint stores what the tables hold: the columns of a user's probe may change
        self.columns = {table: schema.names for table, schema in schemas.items()}
        self.began = time.perf_counter()
        self.added: dict[str, list[pa.Table]] = {table: [] for table in TABLES}
        self.pending: dict[str, list[pa.Table]] = {table: [] for table in TABLES}
        self.next = 0  # the first step whose rows are not written yet
        self.after_pending = 0  # the same when the pending rows are written
        self.facts_of_pending: dict[str, Any] = {}  # what the status says then
        self.remarks = list(remarks)  # what a reader of the result should know about its making
        before = read_status(folder)  # of a run that goes on
        self.spent = before.get("seconds") or 0.0
        self.memory = before.get(memory_key) or 0.0
        started = before.get("started", datetime.now(UTC).isoformat(timespec="seconds"))
        self.status: dict[str, Any] = {
            "state": "running",
            "message": "",
            "name": folder.name,
            "steps_done": before.get("steps_done", 0),
        }
        self.status |= {"started": started, **facts, "nonfinite": before.get("nonfinite", [])}
        self.status["probe_seconds"] = before.get("probe_seconds", {})
        # the digests of the files that are written; those of the parts, which may be thousands, are not in the status
        self.files: dict[str, str] = dict(before.get("files", {}))
        self.parts = write.noted_digests(folder)
        self.in_order: set[str] = set()  # the parts of this process

    @property
    def is_due(self) -> bool:
        """Whether the rows in memory have been there for as long as they may."""
        return time.perf_counter() - self.written_at >= self.write_seconds

    def update_status(self, **changes: Any) -> None:
        """Write the status, with these changes."""
        seconds = round(self.spent + time.perf_counter() - self.began, 3)
        self.memory = max(self.memory, round(machine.peak_memory_mib(), 1))
        self.status |= changes | {"seconds": seconds, self.memory_key: self.memory, "files": self.files}
        write_status(self.folder, self.status)

    def add(self, rows: dict[str, pa.Table]) -> None:
        """Keep rows in memory until `reach` says that no row of their steps is missing."""
        for table, piece in rows.items():
            self.added[table].append(piece)

    def add_seconds(self, seconds: dict[str, float]) -> None:
        """Count the time that snapshots took, by their keys."""
        total = self.status["probe_seconds"]
        total |= {key: round(total.get(key, 0.0) + value, 4) for key, value in seconds.items()}

    def reach(self, steps_done: int, following: int, tracker: SeedTracker) -> None:
        """The rows that were added are all those before step `following`; `steps_done` steps are made now."""
        for table, pieces in self.added.items():
            self.pending[table] += pieces
            pieces.clear()
        self.after_pending = following
        self.facts_of_pending = {
            "steps_done": steps_done,
            "nonfinite": list(tracker.nonfinite),
            "stopped": list(tracker.early_stopping.stopped),
            **_overflows(tracker),
        }

    def flush(self) -> None:
        """Write the rows that `reach` has counted as one part; the status that is written next says so."""
        for table, pieces in self.pending.items():
            parts = write.part(self.folder, table, self.next, pieces)
            write.note_digests(self.folder, parts)
            self.parts |= parts
            self.in_order |= parts.keys()
            pieces.clear()
        self.next = self.after_pending
        self.status |= self.facts_of_pending
        self.written_at = time.perf_counter()

    def save_checkpoint(self, tracker: SeedTracker) -> None:
        """A checkpoint of the run as it is now."""
        leaves = {key: np.asarray(leaf) for key, leaf in _leaves(tracker.state).items()}
        facts = {key: self.status[key] for key in CHECKPOINT_FACTS}
        facts |= {
            "next": self.next,
            "columns": self.columns,
            "nonfinite": tracker.nonfinite,
            "stopping": tracker.early_stopping.facts(),
            **_overflows(tracker),
        }
        write.checkpoint(self.folder, write.Checkpoint(self.status["steps_done"], leaves, facts))

    def resume(self, tracker: SeedTracker) -> int:
        """Sets `tracker` to the newest undamaged checkpoint whose rows are all there; returns its step, 0 without one.

        The rows beyond it are deleted: they are made again.
        """
        gap = write.first_damage(self.folder, self.parts)
        checkpoint, damaged = write.restore(self.folder, gap[0] if gap else math.inf)
        if checkpoint and not (
            _same_shapes(tracker.state, checkpoint.leaves) and checkpoint.facts.get("columns") == self.columns
        ):
            self.remarks.append(
                f"the checkpoint of step {checkpoint.step} is of another network or other probes; began again"
            )
            checkpoint = None
        self.next = self.after_pending = checkpoint.facts["next"] if checkpoint else 0
        self.parts = {
            name: noted for name, noted in self.parts.items() if (write.first_step(name) or 0) < self.next
        }
        self.files = {name: noted for name, noted in self.files.items() if name == "recipe.yaml"}
        write.renew_digests(self.folder, self.parts)
        write.remove_parts_from(self.folder, self.next)
        step = checkpoint.step if checkpoint else 0
        self.remarks += [f"checkpoint {name} is damaged, went on from step {step}" for name in damaged]
        if gap:
            self.remarks.append(f"{gap[1]} is missing or damaged, went on from step {step}")
        if checkpoint:
            tracker.restore(checkpoint, _filled(tracker.state, checkpoint.leaves))
            changed = machine.differing(_bit_facts(checkpoint.facts), _bit_facts(self.status))
            self.remarks += [f"its first {step} steps were made with {changed}"] if changed else []
        self.status |= {
            "steps_done": step,
            "nonfinite": tracker.nonfinite,
            "stopped": tracker.early_stopping.stopped,
            **_overflows(tracker),
        }
        return step

    def write_recipe(self, values: dict[str, Any]) -> None:
        """Write recipe.yaml."""
        self.files |= write.recipe(self.folder, values)

    def end(self, state: str, message: str) -> End:
        """Write the final status, then compact the tables; an interrupted compaction is completed by a later run."""
        message = "; ".join(filter(None, [message, *self.remarks]))
        self.update_status(state=state, message=message)
        if state in RESULTS:
            write.compact(self.folder, self.parts, self._note_merged, self.in_order)
        return End(state, message)

    def _note_merged(self, merged: dict[str, str]) -> None:
        """Write the status with the digests of the merged tables."""
        self.files |= merged
        self.update_status()

    def fail(self, error: BaseException) -> End:
        """Ends as failed, with the reason, as far as the disk still takes it: the reason may be the disk."""
        reason = described(error, 300)
        if isinstance(error, OSError):
            problem = error.strerror or described(error)
            reason = f"{self.folder} cannot be written ({problem}; {free_space(self.folder)})"
        elif (raised := _raised_on_the_host(str(error))) is not None:
            reason = f"a function that is called while training raised {raised}"
        elif isinstance(error, NonFiniteError):
            reason = str(error)
        with suppress(OSError):
            write.text(self.folder, "run.log", "".join(traceback.format_exception(error)))
        with suppress(OSError):
            self.flush()
        with suppress(OSError):
            self.end("failed", reason)
        return End("failed", reason, storage=isinstance(error, OSError))


def _raised_on_the_host(message: str) -> str | None:
    """The exception of a host callback: the last line of its traceback, which is JAX's message."""
    if "Traceback (most recent call last)" not in message:
        return None
    *_, last = re.finditer(r"^\S.*", message, re.MULTILINE)
    return last[0][:300].rstrip(": ")


def _overflows(tracker: SeedTracker) -> dict[str, list[int]]:
    """The recorded updates that loss scaling dropped, of each seed; nothing where it drops none."""
    return {} if tracker.overflows is None else {"overflows": tracker.overflows}


def _bit_facts(facts: dict[str, Any]) -> dict[str, Any]:
    """The facts on which results depend bit for bit, as one mapping."""
    return dict(facts["versions"]) | {key: facts[key] for key in CHECKPOINT_FACTS[1:]}


def _leaves(state: TrainState) -> dict[str, Any]:
    leaves = jax.tree_util.tree_leaves_with_path(state)
    return {
        jax.tree_util.keystr(path): jax.random.key_data(leaf) if _is_key(leaf) else leaf
        for path, leaf in leaves
    }


def _is_key(leaf: Any) -> bool:
    return bool(jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key))


def _same_shapes(state: TrainState, leaves: dict[str, np.ndarray]) -> bool:
    shapes: Callable[[dict[str, Any]], dict[str, Any]] = lambda tree: {
        key: leaf.shape for key, leaf in tree.items()
    }
    return shapes(_leaves(state)) == shapes(leaves)


def _filled(state: TrainState, leaves: dict[str, np.ndarray]) -> TrainState:
    """`state` with the stored values in the place of its own."""

    def fill(path: Any, leaf: Any) -> Any:
        stored = leaves[jax.tree_util.keystr(path)]
        if _is_key(leaf):
            return jax.random.wrap_key_data(jnp.asarray(stored))
        return jnp.asarray(stored, leaf.dtype)

    return TrainState(*jax.tree_util.tree_map_with_path(fill, state))
