"""One recipe into its folder: claimed, trained, written as it goes, ended in a known state."""

import json
import os
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradlab.build import check, load
from gradlab.data.task import Task
from gradlab.errors import NonFiniteError, RecipeError
from gradlab.launch import machine
from gradlab.launch.record import Record
from gradlab.recipe import Recipe, folder_name, plain
from gradlab.step import State
from gradlab.store import write
from gradlab.store.schema import SCHEMAS
from gradlab.train import Chunk, Trainer, layout

PATIENCE = 5.0  # seconds between two checkpoints; tables are written every chunk


class Progress(NamedTuple):
    """Told once a chunk: where the run stands; `backward` is log10_backward of seed 0 at its last step."""

    step: int
    steps: int
    loss: float
    backward: np.ndarray
    steps_per_second: float


@dataclass(frozen=True)
class Outcome:
    """Where a run is and how it ended; `fresh` is False for a folder that was finished before."""

    folder: Path
    state: str
    message: str
    fresh: bool = True


def launch(recipe: Recipe, tell: Callable[[Progress], None] | None = None) -> Outcome:
    """Train `recipe` into its folder; a finished one is not run again unless `force`, an interrupted goes on.

    RecipeError where a person must change something; any other failure ends the run as `failed`.
    """
    recipe = check(recipe)
    folder = Path(recipe.outputs) / recipe.study / folder_name(recipe)
    before = _status(folder)
    if before.get("state") in ("finished", "diverged") and not recipe.force:
        return Outcome(folder, before["state"], before["message"], fresh=False)
    if before.get("state") == "running" and _alive(before):
        raise RecipeError(f"{folder} is being written by process {before['process']}; wait for it or stop it")
    machine.prepare()
    with machine.device(recipe) as device:
        task = load(recipe)
        _claim(folder, recipe, fresh=recipe.force)
        return Run(recipe, folder, task, device).go(tell)


def estimate(recipe: Recipe) -> dict[str, int]:
    """What a run would cost, without running it: parameters, rows, bytes on disk."""
    recipe = check(recipe)
    names = layout(recipe, load(recipe))
    looked = recipe.steps // recipe.log.every + 1
    rows = recipe.seeds * looked * (len(names.names) + len(names.entries) + 1)
    floats = len(SCHEMAS["layers"].names) * len(names.names) + 5 * len(names.entries)
    return {
        "parameters": sum(entry[2] for entry in names.entries),
        "rows": rows,
        "bytes": round(3.2 * recipe.seeds * looked * floats),  # measured: about 3.2 bytes a float
    }


class Run:
    """A run in progress."""

    def __init__(self, recipe: Recipe, folder: Path, task: Task, device: Any) -> None:
        self.recipe = recipe
        self.folder = folder
        self.task = task
        self.began = time.perf_counter()
        self.status: dict[str, Any] = {
            "state": "running",
            "message": "",
            "name": folder.name,
            "steps_done": 0,
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "process": os.getpid(),
            **machine.facts(device),
            "data": {"name": recipe.data["name"], **task.summary()},
            "nonfinite": [],
        }

    def go(self, tell: Callable[[Progress], None] | None) -> Outcome:
        """Train, and end in a known state whatever happens."""
        try:
            self._write_status()
            with _signals() as caught:
                return self._train(tell, caught)
        except NonFiniteError as error:
            return self._end("failed", str(error))
        except Exception as error:
            write.text(self.folder / "run.log", traceback.format_exc())
            return self._end("failed", f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")

    def _train(self, tell: Callable[[Progress], None] | None, caught: list[int]) -> Outcome:
        trainer = Trainer(self.recipe, self.task)
        self.status["parameters"] = sum(entry[2] for entry in trainer.layout.entries)
        self.status["compile_seconds"] = trainer.compile().compile_seconds
        record = Record(trainer.layout, trainer.seeds.astype(np.int64), self.recipe.on_nonfinite == "stop")
        resumed = self._resumed(trainer)
        kept = resumed[1] if resumed else None
        self._pace = time.perf_counter(), resumed[0] if resumed else 0
        pending: dict[str, list[Any]] = {table: [] for table in SCHEMAS}
        first, saved = self._pace[1], time.perf_counter()
        for chunk in trainer.chunks(resumed):
            lost = record.lost()
            for table, rows in record.take(chunk).items():
                pending[table].append(rows)
            kept = _kept(kept, chunk.state, record.lost() & ~lost, lost)
            self.status["nonfinite"] = list(record.nonfinite.values())
            if record.nonfinite and self.recipe.on_nonfinite == "raise":
                self._flush(pending, first)
                raise NonFiniteError(_nonfinite(self.status["nonfinite"]))
            if chunk.source == "probe":
                continue  # its rows belong to the part that follows
            self._flush(pending, first)
            first, self.status["steps_done"] = chunk.done, chunk.done
            if tell is not None:
                tell(self._progress(trainer, chunk))
            done = chunk.done == self.recipe.steps and chunk.steps[-1] == self.recipe.steps
            over = record.lost().all()
            if done or over or caught or time.perf_counter() - saved > PATIENCE:
                self._save(chunk.done, kept)
                saved = time.perf_counter()
            if over:
                return self._end("diverged", _nonfinite(self.status["nonfinite"]))
            if caught and not done:
                return self._end("interrupted", f"{signal.Signals(caught[0]).name} after step {chunk.done}")
        return self._end("finished", _nonfinite(self.status["nonfinite"]))

    def _progress(self, trainer: Trainer, chunk: Chunk) -> Progress:
        began, step = self._pace
        rate = (chunk.done - step) / max(time.perf_counter() - began, 1e-9)
        columns = trainer.layout.columns
        backward = (
            chunk.row.layers[0, -1, columns.index("log10_backward")]
            if "log10_backward" in columns
            else np.full(len(trainer.layout.names), np.nan)
        )
        return Progress(chunk.done, self.recipe.steps, float(chunk.row.steps[0, -1, 0]), backward, rate)

    def _flush(self, pending: dict[str, list[Any]], first: int) -> None:
        for table, rows in pending.items():
            write.part(self.folder, table, first, rows)
            rows.clear()
        self._write_status()

    def _save(self, step: int, state: State) -> None:
        leaves = jax.tree_util.tree_leaves_with_path(state)
        write.checkpoint(
            self.folder, step, {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}
        )

    def _resumed(self, trainer: Trainer) -> tuple[int, State] | None:
        """The step and state to go on from, where an interrupted run left a checkpoint."""
        found = write.restore(self.folder)
        write.forget(self.folder, found[0] if found else 0)
        if found is None:
            return None
        state = trainer.compile().start(trainer.seeds, trainer.numbers)
        fill = lambda path, leaf: jnp.asarray(found[1][jax.tree_util.keystr(path)], leaf.dtype)
        return found[0], jax.tree_util.tree_map_with_path(fill, state)

    def _end(self, state: str, message: str) -> Outcome:
        if state in ("finished", "diverged"):
            write.compact(self.folder)
        self.status |= {"state": state, "message": message}
        self._write_status()
        return Outcome(self.folder, state, message)

    def _write_status(self) -> None:
        self.status["seconds"] = round(time.perf_counter() - self.began, 3)
        self.status["memory_mib"] = round(machine.memory_mib(), 1)
        write.status(self.folder, self.status)


def _kept(kept: State | None, now: State, newly: np.ndarray, lost: np.ndarray) -> State:
    """The state to keep: each seed's newest, or for a lost one that before the chunk it was lost in."""
    if kept is None:
        return now
    old = newly | lost
    if not old.any():
        return now
    pick = lambda before, after: jnp.where(old.reshape(-1, *[1] * (after.ndim - 1)), before, after)
    return jax.tree.map(pick, kept, now)


def _nonfinite(found: list[dict[str, Any]]) -> str:
    """One line for all seeds that left the finite numbers."""
    words = []
    for one in found:
        place = f" in {one['name']} ({one['where']})" if one["name"] else ""
        words.append(f"seed {one['seed']} is not finite at step {one['step']}{place}")
    return "; ".join(words)


def _status(folder: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((folder / "status.json").read_text("utf-8")))
    except (OSError, ValueError):
        return {}


def _alive(status: dict[str, Any]) -> bool:
    """Whether the process that writes this folder still lives (on this machine)."""
    try:
        os.kill(int(status.get("process", 0)) or -1, 0)
    except (ProcessLookupError, PermissionError, OSError):
        return False
    return int(status["process"]) != os.getpid()


def _claim(folder: Path, recipe: Recipe, fresh: bool) -> None:
    """The run's folder with its recipe, or a RecipeError where it cannot be written."""
    try:
        if fresh:
            _clear(folder)
        folder.mkdir(parents=True, exist_ok=True)
        write.recipe(folder, plain(recipe))
    except OSError as error:
        raise RecipeError(f"outputs={recipe.outputs} cannot be written: {error.strerror}") from None


def _clear(folder: Path) -> None:
    """Remove what a run wrote, and nothing else."""
    for pattern in ("*/*.parquet", "checkpoint/*", "figures/*", "status.json", "run.log"):
        for path in folder.glob(pattern):
            path.unlink()


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Collects SIGINT and SIGTERM, to stop between two chunks: raising inside one would lose its state.

    The second signal has its ordinary effect.
    """
    caught: list[int] = []
    handlers = {}

    def note(number: int, frame: Any) -> None:
        caught.append(number)
        signal.signal(number, handlers[number])

    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            handlers[number] = signal.signal(number, note)
    except ValueError:  # not the main thread: whoever runs us handles its own signals
        pass
    try:
        yield caught
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
