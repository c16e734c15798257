"""Chunks of gradlab's own program, ready to be timed."""

from collections.abc import Callable

import jax
import numpy as np

from gradlab.commands.compose.grid import grid
from gradlab.data.task import Task
from gradlab.engine.checks import check
from gradlab.engine.compiled import TRAIN, Span
from gradlab.engine.loop import Trainer
from gradlab.engine.tasks import load_task

NEVER = 1_000_000  # steps between two measurements


def trainer_of(*words: str, steps: int, task: Task | None = None) -> Trainer:
    """The recipe on its data, or on this task, in chunks of `steps` steps."""
    recipe = grid([*words, f"steps={NEVER}"], check).recipes[0]
    made = Trainer(recipe, load_task(recipe) if task is None else task)
    made.length = steps
    return made


def chunk(*words: str, steps: int, task: Task | None = None) -> Callable[[], object]:
    """A function that makes `steps` steps of the recipe and fetches their rows, as training does."""
    trainer = trainer_of(*words, steps=steps, task=task)
    programs = trainer.compile()
    state = programs.start(trainer.seeds, trainer.numbers, trainer.data)
    at = 1  # step 0 is always measured

    def work() -> object:
        nonlocal state, at
        span = Span(*(np.int32(value) for value in (at, at + steps, NEVER, TRAIN)))
        state, rows = programs.chunk(state, trainer.seeds, trainer.numbers, trainer.data, span)
        at += steps
        return jax.tree.map(np.asarray, rows)

    return work
