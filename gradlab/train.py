"""The loop, which can be read aloud: chunks of steps, and between them evaluations. It knows nothing of files."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradlab import program, step
from gradlab.build import Setup, build, whole
from gradlab.data.task import Task, labelled
from gradlab.errors import RecipeError
from gradlab.models import chain
from gradlab.models.chain import Block
from gradlab.program import FIXED, LAST, TRAIN, Data, Programs, Span
from gradlab.recipe import Recipe, numbers
from gradlab.scheme import State
from gradlab.step import Row

LONGEST = 100  # steps in a chunk: what a kill can lose, and how often one sees progress
BUFFER = 64e6  # bytes of rows that a chunk may hold on the device


class Layout(NamedTuple):
    """What stands where in a Row: names for the columns, the layers and the parameters."""

    blocks: list[Block]
    columns: list[str]
    active: list[str]  # the columns that only a block with an activation has
    parameter_columns: list[str]
    entries: list[tuple[int, str, int]]  # (layer, parameter, size) of each parameter of each layer
    kernels: list[list[int]]  # of each layer, which entries are its kernels
    notes: list[tuple[int, str]]  # (layer, measure) of each inner measure
    times: list[tuple[int, int]]  # (layer, time steps) of each layer that measures its time steps

    @property
    def names(self) -> list[str]:
        """`input`, `hidden 1` … `hidden L`, `output`."""
        found = []
        for block in self.blocks:
            many = range(1, block.layers + 1)
            found += [block.name] if block.count is None else [f"{block.name} {index}" for index in many]
        return found

    @property
    def inactive(self) -> list[int]:
        """The layers without an activation."""
        flags = [block.active for block in self.blocks for _ in range(block.layers)]
        return [layer for layer, active in enumerate(flags) if not active]


class Chunk(NamedTuple):
    """What one pass over some steps found; every array's leading axis is the seeds.

    steps: the steps of the rows; evaluation: (step, seeds × measures) where one was taken at the chunk's first step.
    """

    steps: np.ndarray
    source: str
    row: Row
    evaluation: np.ndarray | None
    done: int  # steps made so far
    state: State


class Trainer:
    """One recipe, ready to run: its data on the device and its programs."""

    def __init__(self, recipe: Recipe, task: Task) -> None:
        self.recipe = recipe = whole(recipe, task)
        self.task = task
        kind = lambda x: x if np.issubdtype(x.dtype, np.integer) else x.astype(recipe.dtype)
        arrays = (kind(task.train_x), task.train_y, kind(task.test_x), task.test_y)
        self.data = Data(*(jnp.asarray(array) for array in arrays))
        self.numbers = program.numbers_for(numbers(recipe), recipe.dtype)
        self.seeds = np.arange(recipe.seed, recipe.seed + recipe.seeds, dtype=np.uint32)
        self.layout = layout(recipe, task)
        self.length = _length(recipe, self.layout)

    def compile(self) -> Programs:
        """The programs of this structure, compiled now or before."""
        return program.programs(self.recipe, self.numbers, self.data, self.task.form, self.length)

    def chunks(self, resumed: tuple[int, State] | None = None) -> Iterator[Chunk]:
        """All chunks of the run: steps from the beginning (or from where it was left) to the last row."""
        programs, steps = self.compile(), self.recipe.steps
        done, state = resumed or (0, programs.start(self.seeds, self.numbers, self.data))
        while True:
            looks = done % self.recipe.eval.every == 0 or done == steps
            found = np.asarray(programs.evaluate(state, self.numbers, self.data)) if looks else None
            if looks:
                yield self._chunk(programs, state, done, done + 1, FIXED, None)._replace(state=state)
            if done == steps:
                yield self._chunk(programs, state, done, done + 1, LAST, found)._replace(state=state)
                return
            stop = min(done + self.length, _next(done, self.recipe.eval.every), steps)
            chunk = self._chunk(programs, state, done, stop, TRAIN, found)
            done, state = stop, chunk.state
            yield chunk

    def _chunk(
        self, programs: Programs, state: State, start: int, stop: int, mode: int, found: np.ndarray | None
    ) -> Chunk:
        span = Span(*(np.int32(value) for value in (start, stop, self.recipe.steps, mode)))
        # the program takes its state's memory; the one given stays whole, to fall back on
        state, rows = programs.chunk(jax.tree.map(jnp.copy, state), self.seeds, self.numbers, self.data, span)
        made = np.arange(start, stop)
        looked = program.looked(self.recipe, made, mode)
        row = jax.tree.map(lambda leaf: np.asarray(leaf)[:, : stop - start][:, looked], rows)
        done = stop if mode == TRAIN else start
        return Chunk(made[looked], "probe" if mode == FIXED else "batch", row, found, done, state)


def _next(step: int, every: int) -> int:
    return (step // every + 1) * every


def layout(recipe: Recipe, task: Task) -> Layout:
    """The names of everything in a Row, from the shapes alone: nothing is allocated."""
    recipe = whole(recipe, task)
    given: dict[str, Any] = program.numbers_for(numbers(recipe), recipe.dtype)
    setup = build(recipe, given, task.form)
    kind = jnp.int32 if task.vocabulary else jnp.dtype(recipe.dtype)
    x = jax.ShapeDtypeStruct((recipe.batch_size, *task.form.shape), kind)
    start = jax.eval_shape(lambda x: step.initial(setup, jax.random.key(0), x), x)
    params = start.params
    if task.form.each or ":" in recipe.model["name"]:
        _answers(recipe, setup, start, x, task)
    first, offsets = 0, {}
    for block in setup.chain:
        offsets[block.name], first = first, first + block.layers
    entries: list[tuple[int, str, int]] = []
    kernels: list[list[int]] = [[] for _ in range(first)]
    for path in sorted(params):
        name, _, parameter = path.partition("/")
        block = next(one for one in setup.chain if one.name == name)
        size = params[path].size // block.layers
        for layer in range(offsets[name], offsets[name] + block.layers):
            if params[path].ndim - (block.count is not None) >= 2:
                kernels[layer].append(len(entries))
            entries.append((layer, parameter, size))
    return Layout(
        setup.chain,
        step.layer_columns(setup.probes),
        step.active_columns(setup.probes),
        step.parameter_columns(setup.probes),
        entries,
        kernels,
        [
            (offsets[block.name] + l, name)
            for block in setup.chain
            for name in block.told
            for l in range(block.layers)
        ],
        [
            (offsets[block.name] + l, block.times)
            for block in setup.chain
            if block.times
            for l in range(block.layers)
        ],
    )


def _answers(recipe: Recipe, setup: Setup, start: State, x: Any, task: Task) -> None:
    """Refuse a network whose outputs are not what the targets ask for, before they are broadcast to anything."""
    run = lambda params, stats, x: chain.forward(
        setup.chain, params, stats, x, jax.random.key(0), train=False
    )[0]
    found = jnp.shape(jax.eval_shape(run, start.params, start.stats, x))
    wanted = (recipe.batch_size, *task.train_y.shape[1:], task.outputs)
    wanted = wanted if labelled(task.train_y) else wanted[:-1]
    if found != wanted:
        more = "; data=copy and data=reverse are for model=seq2seq" if task.form.each else ""
        raise RecipeError(
            f"model={recipe.model['name']} gives outputs of shape {found}, and data={recipe.data['name']} asks for "
            f"{wanted}{more}"
        )


def _length(recipe: Recipe, layout: Layout) -> int:
    """Steps in a chunk: up to the next evaluation, fewer where rows are long; a number of the structure."""
    layers = sum(block.layers for block in layout.blocks)
    row = 4 * (len(layout.columns) * layers + (len(layout.parameter_columns) + 3) * len(layout.entries))
    row += 4 * (len(layout.notes) + 2 * sum(times for _, times in layout.times))
    fits = int(BUFFER // (row * recipe.seeds))
    return max(1, min(LONGEST, recipe.eval.every, fits))
