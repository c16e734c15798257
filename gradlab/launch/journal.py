"""A run's account of itself on disk: rows, then the checkpoint that covers them, then the status."""

import time
import traceback
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow as pa

from gradlab.errors import NonFiniteError
from gradlab.launch import machine
from gradlab.launch.record import Record
from gradlab.scheme import State
from gradlab.store import write
from gradlab.store.schema import SCHEMAS

REMEMBERED = ("versions", "device_kind", "threads")  # what the bits of a run depend on


class Journal:
    """Whatever is asked of it here is on the disk when it returns."""

    def __init__(self, folder: Path, facts: dict[str, Any], said: list[str]) -> None:
        self.folder = folder
        self.began = time.perf_counter()
        self.pending: dict[str, list[pa.Table]] = {table: [] for table in SCHEMAS}
        self.next = 0  # the step whose rows are not written yet
        self.said = list(said)  # what a reader of the result should know of how it came about
        before = write.state(folder)  # of a run that goes on
        self.spent = before.get("seconds") or 0.0
        started = before.get("started", datetime.now(UTC).isoformat(timespec="seconds"))
        self.status: dict[str, Any] = {
            "state": "running",
            "message": "",
            "name": folder.name,
            "steps_done": 0,
        }
        self.status |= {"started": started, **facts, "nonfinite": []}

    def note(self, **changes: Any) -> None:
        """Write the status, with these changes."""
        seconds = round(self.spent + time.perf_counter() - self.began, 3)
        self.status |= changes | {"seconds": seconds, "memory_mib": round(machine.memory_mib(), 1)}
        write.status(self.folder, self.status)

    def add(self, rows: dict[str, pa.Table]) -> None:
        """Rows that go with the part that is written next."""
        for table, piece in rows.items():
            self.pending[table].append(piece)

    def flush(self, done: int, following: int, record: Record) -> None:
        """Write the rows before step `following` as one part; `done` steps are made now."""
        for table, pieces in self.pending.items():
            write.part(self.folder, table, self.next, pieces)
            pieces.clear()
        self.next = following
        self.note(steps_done=done, nonfinite=record.nonfinite, stopped=record.stopping.ended)

    def save(self, record: Record) -> None:
        """A checkpoint of the run as it is now."""
        leaves = {key: np.asarray(leaf) for key, leaf in _leaves(record.kept).items()}
        notes = {key: self.status[key] for key in REMEMBERED}
        notes |= {"next": self.next, "nonfinite": record.nonfinite, "stopping": record.stopping.notes()}
        write.checkpoint(self.folder, write.Checkpoint(self.status["steps_done"], leaves, notes))

    def resume(self, blank: State, record: Record) -> tuple[int, State]:
        """Where the run goes on: its newest whole checkpoint, without the rows beyond it; else its start."""
        found, damaged = write.restore(self.folder)
        if found and not _fits(blank, found.leaves):
            damaged.append(f"of step {found.step}")
            found = None
        self.next = found.notes["next"] if found else 0
        write.forget(self.folder, self.next)
        step, record.kept = found.step if found else 0, blank
        self.said += [f"checkpoint {name} is damaged, went on from step {step}" for name in damaged]
        if found:
            record.nonfinite, record.kept = found.notes["nonfinite"], _filled(blank, found.leaves)
            record.stopping.restore(found.notes["stopping"])
            changed = machine.differing(_told(found.notes), _told(self.status))
            self.said += [f"its first {step} steps were made with {changed}"] if changed else []
        self.status |= {"steps_done": step, "nonfinite": record.nonfinite, "stopped": record.stopping.ended}
        return step, record.kept

    def end(self, state: str, message: str) -> tuple[str, str]:
        """The last word, then the compaction of a result, which may be cut off, and done later."""
        told = "; ".join(filter(None, [message, *self.said]))
        self.note(state=state, message=told)
        if state in write.RESULTS:
            write.compact(self.folder)
        return state, told

    def fail(self, error: Exception) -> tuple[str, str]:
        """The same for what went wrong, as far as the disk still takes it: the reason may be the disk."""
        reason = " ".join(str(error).split())[:300]
        if not isinstance(error, NonFiniteError):
            reason = f"{type(error).__name__}: {reason}"
        with suppress(OSError):
            write.text(self.folder / "run.log", "".join(traceback.format_exception(error)))
        with suppress(OSError):
            return self.end("failed", reason)
        return "failed", reason


def _told(facts: dict[str, Any]) -> dict[str, Any]:
    """What the bits of a run depend on."""
    return facts["versions"] | {key: facts[key] for key in REMEMBERED[1:]}


def _leaves(state: State) -> dict[str, Any]:
    leaves = jax.tree_util.tree_leaves_with_path(state)
    return {
        jax.tree_util.keystr(path): jax.random.key_data(leaf) if _is_key(leaf) else leaf
        for path, leaf in leaves
    }


def _is_key(leaf: Any) -> bool:
    return bool(jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key))


def _fits(blank: State, leaves: dict[str, np.ndarray]) -> bool:
    shapes = lambda found: {key: leaf.shape for key, leaf in found.items()}
    return bool(shapes(_leaves(blank)) == shapes(leaves))


def _filled(blank: State, leaves: dict[str, np.ndarray]) -> State:
    def fill(path: Any, leaf: Any) -> Any:
        stored = leaves[jax.tree_util.keystr(path)]
        return (
            jax.random.wrap_key_data(jnp.asarray(stored))
            if _is_key(leaf)
            else jnp.asarray(stored, leaf.dtype)
        )

    return State(*jax.tree_util.tree_map_with_path(fill, blank))
