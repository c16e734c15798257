"""Chunks of gradlab's own program, ready to be timed."""

from collections.abc import Callable

import jax
import numpy as np

from gradlab.commands.compose.grid import grid
from gradlab.data.task import Task
from gradlab.engine.loop import LoadedRun, compile_run, load_run
from gradlab.engine.prepare import prepare
from gradlab.engine.seed_programs import ChunkKind, Span
from gradlab.engine.tasks import load_task

NEVER = 1_000_000  # steps between two measurements


def loaded(*words: str, steps: int, task: Task | None = None) -> LoadedRun:
    """The recipe on its data, or on this task, in chunks of `steps` steps."""
    recipe = grid([*words, f"steps={NEVER}"]).recipes[0]
    run = load_run(prepare(recipe, load_task if task is None else lambda _: task))
    return run._replace(length=steps)


def chunk(*words: str, steps: int, task: Task | None = None) -> Callable[[], object]:
    """A function that makes `steps` steps of the recipe and fetches their rows, as training does."""
    run = loaded(*words, steps=steps, task=task)
    programs = compile_run(run)
    state = programs.start(run.seeds, run.numbers, run.data)
    at = 1  # step 0 is always measured

    def work() -> object:
        nonlocal state, at
        span = Span(*(np.int32(value) for value in (at, at + steps, NEVER, ChunkKind.STEPS.value)))
        state, rows = programs.chunk(state, run.seeds, run.numbers, run.data, span)
        at += steps
        return jax.tree.map(np.asarray, rows)

    return work
