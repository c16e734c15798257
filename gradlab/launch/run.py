"""One recipe into its folder: locked, trained, written as it goes, ended in a known state."""

import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from gradlab.data.task import Task
from gradlab.engine.layout import Layout
from gradlab.engine.loop import ChunkResult, LoadedRun, compile_run, load_run, train
from gradlab.engine.prepare import PreparedRun, run_folder
from gradlab.engine.prices import seconds_of_run
from gradlab.engine.rows import last_profiles, step_values
from gradlab.engine.seed_programs import ChunkKind
from gradlab.engine.tasks import kept_for_a_task
from gradlab.launch import machine
from gradlab.launch.run_writer import End, RunWriter
from gradlab.launch.training import TIME_OVER, Clock, Training, interrupt
from gradlab.measurements.columns import READABLE, RESULTS, VERSION
from gradlab.parts.losses.chance import chance_loss
from gradlab.recipe import signals
from gradlab.recipe.errors import RecipeError, StorageError, unwritable
from gradlab.recipe.printing import one_line
from gradlab.recipe.recipe import Recipe, changed_meanings, folder_name, plain
from gradlab.store import lock, write
from gradlab.store.status import merge, read_status, write_status

PROFILES = ("log10_backward", "log10_forward", "log10_gradient")  # of which progress is shown
FEWEST_STEPS = 50  # of a run that a profile of some steps is worth


class Progress(NamedTuple):
    """Where the run stands, reported once a chunk.

    profiles: columns of layers by name, of the first seed at the last row that has them, (layers,), log10; masked where
        a layer was not measured.
    """

    step: int
    steps: int
    loss: float
    profiles: dict[str, np.ma.MaskedArray[Any, Any]]
    steps_per_second: float

    @property
    def backward(self) -> np.ndarray:
        """log10_backward, (layers,); (0,) where it was not measured."""
        return np.asarray(self.profiles.get("log10_backward", np.zeros(0)))


@dataclass(frozen=True)
class Outcome:
    """Where a run is and how it ended.

    fresh: False for a folder that was finished before; storage: whether it failed because the folder could not be
    written; notice: what the machine could not do for it, though the result is the same.
    """

    folder: Path
    state: str
    message: str
    storage: bool = False
    fresh: bool = True
    notice: str = ""

    @property
    def signalled(self) -> bool:
        """Whether a signal has ended it, which is for the whole command."""
        return self.state == "interrupted" and TIME_OVER not in self.message

    @property
    def exit_code(self) -> int:
        """0 for a result, 1 failed or out of time, 74 failed for want of storage, 130 or 143 for SIGINT or SIGTERM."""
        if self.signalled:
            return 143 if "SIGTERM" in self.message else 130
        return (74 if self.storage else 1) if self.state in ("failed", "interrupted") else 0

    @property
    def complaint(self) -> str:
        """One sentence on a failed run, with the file that says more where it could be written."""
        log = self.folder / "run.log"
        return f"{self.message}; see {log}" if log.exists() else self.message


class Refused(NamedTuple):
    """A run that could not start; storage: because the file system does not take its folder."""

    message: str
    storage: bool = False


Result = Outcome | Refused


def refusal(error: RecipeError | StorageError) -> Refused:
    """What an error of a run that cannot start says."""
    return Refused(str(error), storage=isinstance(error, StorageError))


Report = Callable[[Progress], None] | None


def launch(
    prepared: PreparedRun,
    report: Report = None,
    time_limit: float = 0.0,
    write_seconds: float = 0.0,
    prices: bool = False,
) -> Outcome:
    """Train a run into its folder; a finished one is not run again unless `force`, an interrupted one goes on.

    After `time_limit` seconds (0: none) it is interrupted at the end of a chunk of steps. The rows of a chunk are on
    the disk before it is reported; with `write_seconds`, rows are kept in memory for that long. With `prices` what
    each probe of the step takes is told by a profile at the end; what the snapshots take is always noted.

    Raises:
        RecipeError: where the recipe cannot be run as it is, or another process is writing to the folder. Any other
            failure ends the run as `failed`.
        StorageError: where the file system does not take the folder.
        Stop: a signal came before anything was written; later it ends the run as `interrupted`.
    """
    recipe, folder = prepared.recipe, prepared.folder
    deadline = time.monotonic() + time_limit if time_limit else math.inf
    write.require_no_links(folder)
    if not recipe.force and (before := _ended(folder, recipe)):
        return before
    machine.prepare()
    memory_key = machine.reset_peak_memory()
    task = prepared.task  # loaded here, where a signal is raised: it may take long
    with signals.collected() as caught, machine.compilation_cache() as faults:
        with machine.device(recipe) as device:
            run = load_run(prepared)
            data = data_summary(recipe, task)  # after the network, which a user-defined loss may not fit
            signals.check()
            with locked_folder(recipe):
                # another process may have finished it since
                if not recipe.force and (before := _ended(folder, recipe)):
                    return before
                facts = machine.facts(recipe, device) | {"data": data}
                writer = new_writer(prepared, facts, memory_key, write_seconds)
                end = _run(recipe, run, writer, report, Clock(caught, time_limit, deadline), prices)
        return Outcome(folder, *end, notice=machine.notice(faults))


def build(prepared: PreparedRun) -> Layout:
    """The run's layout, made with the threads, on the device and in the precision with which `launch` makes it.

    Raises:
        RecipeError: the data or the device is not there, or the network cannot be built.
        Stop: a signal came.
    """
    machine.prepare()
    prepared.load(prepared.recipe)  # here, where a signal is raised: it may take long
    with signals.collected(), machine.compilation_cache(), machine.device(prepared.recipe):
        layout = prepared.layout
        signals.check()
    return layout


def _remark_on_meaning(recipe: Recipe, folder: Path) -> list[str]:
    """What to say where there is a result of an earlier version, whose parts computed other numbers."""
    earlier = folder_name(recipe, before=True)
    if earlier == folder.name or not (folder.parent / earlier / "status.json").exists():
        return []
    parts = " and ".join(changed_meanings(recipe))
    return [f"{earlier} is of an earlier version, in which {parts} computed other numbers"]


def _remark_on_status(folder: Path) -> list[str]:
    """What to say of an interrupted run whose status cannot be used; no row is deleted for it.

    Raises:
        RecipeError: where the run is of another version, whose checkpoints cannot be continued.
    """
    stored = read_status(folder)
    if not stored:
        return (
            ["status.json was damaged or missing, went on with what is there"]
            if write.has_rows(folder)
            else []
        )
    if stored.get("schema") != VERSION:
        version = stored.get("versions", {}).get("gradlab", "another version")
        raise RecipeError(
            f"{folder} was interrupted under gradlab {version} and cannot be continued by "
            "this version; use --force to run it again and delete its rows, or another study"
        )
    return []


@kept_for_a_task
def _facts_of_task(task: Task, loss: dict[str, Any]) -> dict[str, Any]:
    """What is computed of the data, and the loss of a constant prediction."""
    level = None if task.metric == "loss" else chance_loss(loss, task.train_y, task.outputs)
    return {**task.summary(), "chance_loss": level}


def new_writer(
    prepared: PreparedRun, facts: dict[str, Any], memory_key: str, write_seconds: float = 0.0
) -> RunWriter:
    """The writer of a run whose folder is locked; what is there is deleted with `force`.

    Raises:
        RecipeError: the run is of another version, whose checkpoints cannot be continued.
    """
    recipe, folder, row_layout = prepared.recipe, prepared.folder, prepared.layout
    remarks = prepared.remarks + _remark_on_meaning(recipe, folder)
    if recipe.force:
        write.clear(folder)
    else:
        remarks += _remark_on_status(folder)
    facts = facts | {"used": sorted(row_layout.used)}
    return RunWriter(folder, facts, remarks, row_layout.schemas, memory_key, write_seconds)


def data_summary(recipe: Recipe, task: Task) -> dict[str, Any]:
    """What status.json says of the data."""
    summary = {"name": recipe.data["name"], **_facts_of_task(task, recipe.loss)}
    # only cross-entropy is counted in bits
    other_loss = task.metric == "bits" and recipe.loss["name"] != "cross_entropy"
    return summary | ({"metric": "accuracy"} if other_loss else {})


def begin(writer: RunWriter, recipe: Recipe) -> None:
    """Write what a run is, before it is trained."""
    write.remove_log(writer.folder)
    writer.write_recipe(plain(recipe))
    writer.update_status()


def _run(
    recipe: Recipe, run: LoadedRun, writer: RunWriter, report: Report, clock: Clock, prices: bool
) -> End:
    """Train, and end in a known state whatever happens, but for a second signal: that ends it as a kill does."""
    try:
        begin(writer, recipe)
        return _train(recipe, run, writer, report, clock, prices)
    except signals.Stop as stop:
        return interrupt(writer, signal.Signals(stop.number).name)
    except BaseException as error:  # a user's function may raise anything
        if signals.is_request(error):
            raise
        return writer.fail(error)


def _train(
    recipe: Recipe, run: LoadedRun, writer: RunWriter, report: Report, clock: Clock, prices: bool
) -> End:
    """Train chunk by chunk, and store each."""
    began = time.perf_counter()
    programs = compile_run(run)
    compiled_at = time.perf_counter()
    state = programs.start(jnp.asarray(run.seeds), run.numbers, run.data)
    training = Training(recipe, run, writer, state)
    training.begin(compiled_at - began, programs.flops_per_step)
    for chunk in () if training.complete or clock.reason else train(run, (training.first, training.state)):
        training.take(chunk)
        if chunk.kind is ChunkKind.FIXED_BATCH:
            continue
        if report is not None and len(chunk.steps):
            rate = (chunk.steps_done - training.first) / max(time.perf_counter() - compiled_at, 1e-9)
            report(_progress(run, chunk, rate))
        if training.complete or clock.reason:
            break
    if prices and training.complete and recipe.steps >= FEWEST_STEPS:
        writer.flush()
        with suppress(Exception):  # a profile is no part of the result
            writer.add_seconds(seconds_of_run(run, programs, training.state, writer.status["steps_done"]))
    return training.end(clock.reason)


def _progress(run: LoadedRun, chunk: ChunkResult, steps_per_second: float) -> Progress:
    return Progress(
        step=chunk.steps_done,
        steps=run.recipe.steps,
        loss=float(step_values(chunk, run.layout)["loss"][0, -1]),
        profiles=last_profiles(chunk, run.layout, PROFILES),
        steps_per_second=steps_per_second,
    )


def stored_result(prepared: PreparedRun) -> Outcome | None:
    """The stored result of a run that has ended, or None where there is something left to do.

    Raises:
        RecipeError: a file of the result is missing or damaged, or a link.
    """
    write.require_no_links(prepared.folder)
    return _ended(prepared.folder, prepared.recipe)


def stored_failure(prepared: PreparedRun) -> Outcome | None:
    """How a run has failed before, or None: also where other versions, or another user's module, may do better."""
    before = read_status(prepared.folder)
    if before.get("state") != "failed" or lock.held(prepared.folder):
        return None
    if machine.differing(before.get("versions", {}), machine.versions(prepared.recipe)):
        return None
    return Outcome(prepared.folder, "failed", before["message"], fresh=False)


def note_failure(folder: Path, message: str) -> None:
    """Store how a run has failed whose process is gone; nothing is stored of one that had not begun."""
    with suppress(RecipeError, OSError):
        status = read_status(folder)
        with lock.hold(folder):
            if status.get("state") == "running":
                write_status(folder, status | {"state": "failed", "message": one_line(message)})


def _ended(folder: Path, recipe: Recipe) -> Outcome | None:
    """The stored result of a run that has ended, or None; an interrupted compaction is completed first.

    Raises:
        RecipeError: a file of the result is missing or damaged.
    """
    before = read_status(folder)
    if before.get("state") not in RESULTS or before.get("schema") not in READABLE:
        return None
    if not write.compacted(folder):
        try:
            with lock.hold(folder):
                merge(folder, before)
        except RecipeError:  # another process is doing it
            pass
        except OSError:  # a part is missing or damaged: the run goes on from before it
            return None
    for name in before.get("files", {}):
        if not write.is_intact(folder, name, before["files"]):
            raise RecipeError(f"{folder / name} is missing or damaged; run the recipe again with --force")
    other = machine.differing(before.get("versions", {}), machine.versions(recipe))
    messages = [before["message"], f"made by {other}" if other else ""]
    return Outcome(folder, before["state"], "; ".join(filter(None, messages)), fresh=False)


@contextmanager
def locked_folder(recipe: Recipe) -> Iterator[None]:
    """The run's folder, locked while it is written.

    Raises:
        RecipeError: it cannot be written.
        StorageError: the file system does not take it.
    """
    locks, folder = ExitStack(), run_folder(recipe)
    try:
        write.make_folder(folder)
        locks.enter_context(lock.hold(folder))
    except OSError as error:
        raise unwritable(f"outputs={recipe.outputs}", error, recipe.outputs) from None
    with locks:
        yield
