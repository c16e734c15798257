"""The loop, which can be read aloud: chunks of steps, and between them evaluations. It knows nothing of files."""

from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradlab.data.task import Task
from gradlab.engine import compiled
from gradlab.engine.compiled import ChunkKind, Data, Numbers, Programs, Span
from gradlab.engine.layout import Layout, layout
from gradlab.engine.step import Row
from gradlab.engine.tasks import with_batch_size
from gradlab.engine.update import TrainState
from gradlab.recipe.recipe import Recipe, numbers

LONGEST = 100  # steps in a chunk: what a kill can lose, and how often one sees progress
ROW_BYTES = 64e6  # of rows that a chunk may hold on the device


class LoadedRun(NamedTuple):
    """One recipe, ready to train: its data on the device, its numbers, and the layout of its rows."""

    recipe: Recipe
    task: Task
    data: Data
    numbers: Numbers
    seeds: np.ndarray  # uint32
    layout: Layout
    length: int  # steps in a chunk


class Chunk(NamedTuple):
    """What one call of the compiled chunk made; every array's leading axis is the seeds."""

    kind: ChunkKind
    steps: np.ndarray  # of the rows, (rows,)
    row: Row  # (seeds, rows, …)
    evaluation: np.ndarray | None  # (seeds, measures) where one was taken at the chunk's first step
    steps_done: int  # so far
    state: TrainState

    @property
    def source(self) -> str:
        """The batch that the rows are measured on, as the tables name it."""
        return "probe" if self.kind is ChunkKind.FIXED_BATCH else "batch"


def load_run(recipe: Recipe, task: Task) -> LoadedRun:
    """Everything that training `recipe` on `task` needs, on the device."""
    recipe = with_batch_size(recipe, task)
    cast = lambda x: x if np.issubdtype(x.dtype, np.integer) else x.astype(recipe.dtype)
    arrays = (cast(task.train_x), task.train_y, cast(task.test_x), task.test_y)
    rows = layout(recipe, task)
    return LoadedRun(
        recipe=recipe,
        task=task,
        data=Data(*(jnp.asarray(array) for array in arrays)),
        numbers=compiled.numbers_for(numbers(recipe), recipe.dtype),
        seeds=np.arange(recipe.seed, recipe.seed + recipe.seeds, dtype=np.uint32),
        layout=rows,
        length=_chunk_length(recipe, rows),
    )


def compile_run(run: LoadedRun) -> Programs:
    """The programs of this structure, compiled now or before."""
    return compiled.programs(run.recipe, run.numbers, run.data, run.task.form, run.length)


def train(run: LoadedRun, resumed: tuple[int, TrainState] | None = None) -> Iterator[Chunk]:
    """All chunks of the run: steps from the beginning, or from `resumed` = (steps done, state), to the final row."""
    programs, steps, every = compile_run(run), run.recipe.steps, run.recipe.eval.every
    done, state = resumed or (0, programs.start(run.seeds, run.numbers, run.data))
    while True:
        evaluation = None
        if done % every == 0 or done == steps:
            evaluation = np.asarray(programs.evaluate(state, run.numbers, run.data))
            yield _chunk(run, programs, state, ChunkKind.FIXED_BATCH, done, done + 1, None)
        if done == steps:
            yield _chunk(run, programs, state, ChunkKind.FINAL, done, done + 1, evaluation)
            return
        stop = min(done + run.length, (done // every + 1) * every, steps)
        chunk = _chunk(run, programs, state, ChunkKind.STEPS, done, stop, evaluation)
        done, state = stop, chunk.state
        yield chunk


def _chunk(
    run: LoadedRun,
    programs: Programs,
    state: TrainState,
    kind: ChunkKind,
    start: int,
    stop: int,
    evaluation: np.ndarray | None,
) -> Chunk:
    """One call of the compiled chunk; the rows of a chunk that is no steps leave `state` as it was."""
    span = Span(*(np.int32(value) for value in (start, stop, run.recipe.steps, kind.value)))
    # the program takes its state's memory; the one given stays whole, to fall back on
    after, rows = programs.chunk(jax.tree.map(jnp.copy, state), run.seeds, run.numbers, run.data, span)
    steps = np.arange(start, stop)
    measured = compiled.is_measured(run.recipe, steps, kind.value)
    return Chunk(
        kind=kind,
        steps=steps[measured],
        row=jax.tree.map(lambda leaf: np.asarray(leaf)[:, : stop - start][:, measured], rows),
        evaluation=evaluation,
        steps_done=stop if kind is ChunkKind.STEPS else start,
        state=after if kind is ChunkKind.STEPS else state,
    )


def _chunk_length(recipe: Recipe, layout: Layout) -> int:
    """Steps in a chunk: up to the next evaluation, fewer where rows are long; a number of the structure."""
    layers = sum(block.layers for block in layout.blocks)
    row = 4 * (len(layout.columns) * layers + (len(layout.parameter_columns) + 3) * len(layout.entries))
    row += 4 * (len(layout.notes) + 2 * sum(time_steps for _, time_steps in layout.times))
    fitting = int(ROW_BYTES // (row * recipe.seeds))
    return max(1, min(LONGEST, recipe.eval.every, fitting))
