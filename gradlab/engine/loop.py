"""The training loop: chunks of steps, with evaluations between them. It reads and writes no files."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradlab.data.task import Task
from gradlab.engine import compiled
from gradlab.engine.compiled import Programs
from gradlab.engine.layout import Layout
from gradlab.engine.prepare import PreparedRun
from gradlab.engine.seed_programs import ChunkKind, Data, Numbers, Span, is_measured, numbers_for
from gradlab.engine.tasks import kept_for_a_task, with_batch_size
from gradlab.engine.update import TrainState
from gradlab.measurements.row import Row
from gradlab.recipe.recipe import Recipe, numbers

MOST_STEPS = 100  # in a chunk: what is lost if the process is killed, and how often progress is shown
ROW_BYTES = 64e6  # the most memory that the rows of a chunk may take on the device


class LoadedRun(NamedTuple):
    """One recipe, ready to train: its data on the device, its numbers, and the layout of its rows.

    lanes: 0, or the number of seeds of several recipes side by side, whose numbers have that leading axis.
    """

    recipe: Recipe
    task: Task
    data: Data
    numbers: Numbers
    seeds: np.ndarray  # (seeds,), uint32: their values
    layout: Layout
    length: int  # steps in a chunk
    lanes: int = 0


class ChunkResult(NamedTuple):
    """What one call of the compiled chunk returned; the leading axis of every array is the seeds."""

    kind: ChunkKind
    steps: np.ndarray  # of the rows, (rows,)
    row: Row  # (seeds, rows, …)
    evaluation: np.ndarray | None  # (seeds, measures) where one was taken at the chunk's first step
    snapshots: dict[str, Any]  # what each one computed, with a leading axis of seeds; in a FIXED_BATCH chunk
    seconds: dict[str, float]  # that each snapshot took
    steps_done: int  # training steps made when this chunk ended
    state: TrainState

    def lanes(self, index: slice) -> "ChunkResult":
        """The part of it that belongs to some of the seeds."""
        pick: Callable[[Any], Any] = lambda tree: jax.tree.map(lambda leaf: leaf[index], tree)
        share = len(self.row.steps[index]) / len(self.row.steps)
        return self._replace(
            seconds={key: share * seconds for key, seconds in self.seconds.items()},
            row=pick(self.row),
            evaluation=None if self.evaluation is None else self.evaluation[index],
            snapshots=pick(self.snapshots),
            state=pick(self.state),
        )

    @property
    def source(self) -> str:
        """The column `source` of the tables: "probe" for the fixed batch, else "batch"."""
        return "probe" if self.kind is ChunkKind.FIXED_BATCH else "batch"


def load_run(run: PreparedRun) -> LoadedRun:
    """Everything that training needs, on the device.

    Raises:
        RecipeError: what `PreparedRun.task` and `layout` raise.
    """
    task, row_layout = run.task, run.layout  # the layout refuses what does not fit into memory
    recipe = with_batch_size(run.recipe, task)
    return LoadedRun(
        recipe=recipe,
        task=task,
        data=_on_device(task, recipe.dtype, jax.config.jax_default_device),  # type: ignore[attr-defined]
        numbers=numbers_for(numbers(recipe), recipe.dtype),
        seeds=np.arange(recipe.seed, recipe.seed + recipe.seeds, dtype=np.uint32),
        layout=row_layout,
        length=_chunk_length(recipe, row_layout, recipe.seeds),
    )


def side_by_side(runs: Sequence[LoadedRun]) -> LoadedRun:
    """Several runs as one, whose leading axis is the seeds of the first, then those of the second, and so on.

    They have equal structures, data and steps; their numbers may differ.
    """
    first = runs[0]
    lanes = sum(len(run.seeds) for run in runs)
    numbers = {
        key: np.concatenate([np.repeat(run.numbers[key], len(run.seeds)) for run in runs])
        for key in first.numbers
    }
    return first._replace(
        numbers=numbers,
        seeds=np.concatenate([run.seeds for run in runs]),
        length=_chunk_length(first.recipe, first.layout, lanes),
        lanes=lanes,
    )


@kept_for_a_task
def _on_device(task: Task, dtype: str, _: Any) -> Data:
    """The arrays of a task on the device that is the default now; floats are of this dtype."""
    cast: Callable[[np.ndarray], np.ndarray] = lambda x: (
        x if np.issubdtype(x.dtype, np.integer) else x.astype(dtype)
    )
    arrays = (cast(task.train_x), task.train_y, cast(task.test_x), task.test_y)
    return Data(*(jnp.asarray(array) for array in arrays))


def compile_run(run: LoadedRun) -> Programs:
    """The programs of this structure, compiled now or before."""
    return compiled.programs(run.recipe, run.numbers, run.data, run.task.form, run.length, run.lanes)


def train(run: LoadedRun, resumed: tuple[int, TrainState] | None = None) -> Iterator[ChunkResult]:
    """All chunks of the run: steps from the beginning, or from `resumed` = (steps done, state), to the final row.

    Every `eval.every` steps there is first a FIXED_BATCH chunk, with the snapshots; then the evaluation, which the next
    chunk carries, because it is stored in the row of the step that follows.
    """
    programs, steps, every = compile_run(run), run.recipe.steps, run.recipe.eval.every
    done, state = resumed or (0, programs.start(run.seeds, run.numbers, run.data))
    while True:
        evaluation = None  # stored in the row of step `done`, which the next chunk measures
        if done % every == 0 or done == steps:
            evaluation = np.asarray(programs.evaluate(state, run.numbers, run.data))
            chunk = _run_chunk(run, programs, state, ChunkKind.FIXED_BATCH, done, done + 1, None)
            snapshots, seconds = _snapshots(run, programs, state, done)
            yield chunk._replace(snapshots=snapshots, seconds=seconds)
        if done == steps:
            yield _run_chunk(run, programs, state, ChunkKind.FINAL, done, done + 1, evaluation)
            return
        stop = min(done + run.length, (done // every + 1) * every, steps)
        chunk = _run_chunk(run, programs, state, ChunkKind.STEPS, done, stop, evaluation)
        done, state = stop, chunk.state
        yield chunk


def _run_chunk(
    run: LoadedRun,
    programs: Programs,
    state: TrainState,
    kind: ChunkKind,
    start: int,
    stop: int,
    evaluation: np.ndarray | None,
) -> ChunkResult:
    """Call the compiled chunk once. A FIXED_BATCH or FINAL chunk only measures a row: `state` is kept as it is."""
    span = Span(*(np.int32(value) for value in (start, stop, run.recipe.steps, kind.value)))
    # the program donates the memory of its state argument, and the caller may still need `state`: pass a copy
    next_state, rows = programs.chunk(jax.tree.map(jnp.copy, state), run.seeds, run.numbers, run.data, span)
    steps = np.arange(start, stop)
    measured = is_measured(run.recipe, steps, kind.value)
    return ChunkResult(
        kind=kind,
        steps=steps[measured],
        row=jax.tree.map(lambda leaf: np.asarray(leaf)[:, : stop - start][:, measured], rows),
        evaluation=evaluation,
        snapshots={},
        seconds={},
        steps_done=stop if kind is ChunkKind.STEPS else start,
        state=next_state if kind is ChunkKind.STEPS else state,
    )


def after_steps(run: LoadedRun, programs: Programs, state: TrainState, count: int) -> TrainState:
    """The state after the first `count` steps, at most those of a chunk, from any state."""
    return _run_chunk(run, programs, state, ChunkKind.STEPS, 0, count, None).state


def _snapshots(
    run: LoadedRun, programs: Programs, state: TrainState, done: int
) -> tuple[dict[str, Any], dict[str, float]]:
    """What the snapshots that are due after `done` steps compute of the state, as NumPy arrays, and their seconds."""
    computed, seconds, total = {}, {}, run.recipe.steps
    for key, take in programs.snapshots.items():
        if done % run.layout.snapshots[key].every == 0 or done == total:
            began = time.perf_counter()
            result = take(state, run.seeds, run.numbers, run.data, np.int32(done), np.int32(total))
            computed[key] = jax.tree.map(np.asarray, result)
            seconds[key] = time.perf_counter() - began
    return computed, seconds


def _chunk_length(recipe: Recipe, layout: Layout, seeds: int) -> int:
    """Steps in a chunk: at most MOST_STEPS, at most eval.every, and few enough for ROW_BYTES.

    It depends only on what the programs are compiled for.
    """
    fitting = int(ROW_BYTES // (layout.row_bytes * seeds))
    return max(1, min(MOST_STEPS, recipe.eval.every, fitting))
