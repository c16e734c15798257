"""One recipe into its folder: claimed, trained, written as it goes, ended in a known state."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from gradlab import program
from gradlab.build import check, load, remarks
from gradlab.data.task import Task
from gradlab.errors import NonFiniteError, RecipeError, hint
from gradlab.launch import machine, signals
from gradlab.launch.journal import Journal
from gradlab.launch.record import Record
from gradlab.launch.stopping import Stopping
from gradlab.parts.losses import chance
from gradlab.recipe import Recipe, folder_name, named, plain
from gradlab.store import lock, write
from gradlab.train import Chunk, Trainer

ONE_BLOCK = (
    "the network is one block: its parameters are measured, and no signal between layers; "
    "a list of blocks or a Sequential has them (docs/own.md)"
)
PATIENCE = 5.0  # seconds between two checkpoints; tables are written every chunk


class Progress(NamedTuple):
    """Told once a chunk: where the run stands; `backward` is log10_backward of seed 0 at its last row."""

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


Tell = Callable[[Progress], None] | None


def launch(recipe: Recipe, tell: Tell = None) -> Outcome:
    """Train `recipe` into its folder; a finished one is not run again unless `force`, an interrupted goes on.

    RecipeError where a person must change something; any other failure ends the run as `failed`.
    """
    recipe = check(recipe)
    folder = Path(recipe.outputs) / recipe.study / folder_name(recipe)
    if (before := _ended(folder)) and not recipe.force:
        return before
    machine.prepare()
    with machine.device(recipe) as device:
        task = load(recipe)
        trainer = _vetted(recipe, task)
        data = _told(recipe, task)
        with _claimed(folder, recipe):
            if (before := _ended(folder)) and not recipe.force:  # by who held it until now
                return before
            if recipe.force or not write.state(folder):
                write.clear(folder)
            alone = ":" in recipe.model["name"] and len(trainer.layout.names) == 1
            said = [*remarks(recipe), *([ONE_BLOCK] if alone else [])]
            journal = Journal(folder, machine.facts(device) | {"data": data}, said)
            return Outcome(folder, *_run(recipe, trainer, journal, tell))


def _told(recipe: Recipe, task: Task) -> dict[str, Any]:
    """What status.json says of the data, and what there is to beat."""
    level = None if task.metric == "loss" else chance(recipe.loss, task.train_y, task.outputs)
    found = {"name": recipe.data["name"], **task.summary(), "chance_loss": level}
    bits = (
        task.metric == "bits" and recipe.loss["name"] != "cross_entropy"
    )  # only that loss is counted in bits
    return found | ({"metric": "accuracy"} if bits else {})


def _vetted(recipe: Recipe, task: Task) -> Trainer:
    """Ready to train; what only the network itself can say is wrong is refused before anything is written."""
    own = [f"{group}={name}" for group, name in named(recipe) if ":" in name]
    try:
        trainer = Trainer(recipe, task)
        # how many places a channel has is known when the network is traced
        if own or recipe.normalization["name"] == "instance":
            program.traced(trainer.recipe, trainer.numbers, trainer.data, task.form)
    except RecipeError:
        raise
    except Exception as error:  # whatever a user's own function may raise
        if not own:
            raise
        reason = " ".join(str(error).split())[:200]
        raise RecipeError(f"{', '.join(own)} does not fit: {type(error).__name__}: {reason}") from error
    found = trainer.layout
    paths = [f"{found.names[layer]}/{parameter}" for layer, parameter, _ in found.entries]
    for pattern in recipe.lr_factors:
        if not any(fnmatchcase(path, pattern) for path in paths):
            raise RecipeError(f"lr_factors: '{pattern}' fits no parameter{hint(pattern, paths[:12])}")
    return trainer


def _run(recipe: Recipe, trainer: Trainer, journal: Journal, tell: Tell) -> tuple[str, str]:
    """Train, and end in a known state whatever happens."""
    try:
        (journal.folder / "run.log").unlink(missing_ok=True)
        write.recipe(journal.folder, plain(recipe))
        journal.note()
        with signals.collected() as caught:
            return _train(recipe, trainer, journal, tell, caught)
    except Exception as error:
        return journal.fail(error)


def _train(
    recipe: Recipe, trainer: Trainer, journal: Journal, tell: Tell, caught: list[int]
) -> tuple[str, str]:
    """Chunk after chunk: its rows are written before the checkpoint that covers them."""
    began = time.perf_counter()
    programs = trainer.compile()
    compiled = saved = time.perf_counter()
    record = Record(
        trainer.layout, trainer.seeds, recipe.on_nonfinite == "stop", Stopping(recipe.stop, trainer.seeds)
    )
    begun, state = journal.resume(
        programs.start(jnp.asarray(trainer.seeds), trainer.numbers, trainer.data), record
    )
    parameters = sum(entry[2] for entry in trainer.layout.entries)
    journal.note(parameters=parameters, compile_seconds=round(compiled - began, 3))
    complete = journal.next > recipe.steps or record.over().all()
    for chunk in () if complete or caught else trainer.chunks((begun, state)):
        journal.add(record.take(chunk))
        if chunk.source == "probe":
            continue  # its rows belong to the part that follows
        # the row after the last update has the number of a step that is not made
        journal.flush(chunk.done, chunk.done + (chunk.done in chunk.steps), record)
        if record.nonfinite and recipe.on_nonfinite == "raise":
            raise NonFiniteError(record.sentence())
        if tell is not None and len(chunk.steps):
            rate = (chunk.done - begun) / max(time.perf_counter() - compiled, 1e-9)
            tell(_progress(recipe, trainer, chunk, rate))
        complete = journal.next > recipe.steps or record.over().all()
        if complete or caught:
            break
        if time.perf_counter() - saved > PATIENCE:
            journal.save(record)
            saved = time.perf_counter()
    journal.save(record)
    if not complete:
        name = signal.Signals(caught[0]).name
        return journal.end("interrupted", f"{name} after step {journal.status['steps_done']}")
    return journal.end(record.state(), record.sentence())


def _progress(recipe: Recipe, trainer: Trainer, chunk: Chunk, rate: float) -> Progress:
    backward = np.full(len(trainer.layout.names), np.nan)
    if "log10_backward" in trainer.layout.columns:
        backward = np.asarray(chunk.row.layers[0, -1, trainer.layout.columns.index("log10_backward")])
    return Progress(chunk.done, recipe.steps, float(chunk.row.steps[0, -1, 0]), backward, rate)


def _ended(folder: Path) -> Outcome | None:
    """The result that is there already; a compaction that was cut off is done to its end."""
    before = write.state(folder)
    if before.get("state") not in write.RESULTS:
        return None
    if not write.compacted(folder):
        with suppress(OSError, RecipeError), lock.hold(folder):
            write.compact(folder)
    other = machine.differing(before.get("versions", {}), machine.versions())
    told = [before["message"], f"made by {other}" if other else ""]
    return Outcome(folder, before["state"], "; ".join(filter(None, told)), fresh=False)


@contextmanager
def _claimed(folder: Path, recipe: Recipe) -> Iterator[None]:
    """The run's folder, ours alone while it is written; a RecipeError where it cannot be."""
    claim = ExitStack()
    try:
        write.made(folder)
        claim.enter_context(lock.hold(folder))
    except OSError as error:
        raise RecipeError(f"outputs={recipe.outputs} cannot be written: {error.strerror}") from None
    with claim:
        yield
