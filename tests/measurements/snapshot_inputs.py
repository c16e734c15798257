"""What a snapshot may use of a small network at its start, computed at once; and its columns."""

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp

from gradlab.engine import seed_programs
from gradlab.engine.gradients import StepContext
from gradlab.engine.loop import load_run
from gradlab.engine.prepare import prepare
from gradlab.engine.setup import make_setup
from gradlab.measurements.snapshot import SnapshotInputs, snapshot
from tests.recipes import recipe


@cache
def _loaded(words: tuple[str, ...]) -> Any:
    run = load_run(prepare(recipe(*words)))
    start = lambda: seed_programs.start(
        run.recipe, run.task.form, jnp.uint32(run.recipe.seed), run.numbers, run.data
    )
    return run, jax.jit(start)()


def inputs(words: tuple[str, ...], step: int = 0, **changes: Any) -> SnapshotInputs:
    """Those of `gradlab run WORDS` at the start, with changes of the state's parameters or optimizer."""
    run, state = _loaded(words)
    state = state._replace(**changes)
    setup = make_setup(run.recipe, run.numbers, run.task.form)
    context = StepContext(
        setup=setup,
        recipe=run.recipe,
        x=run.data.train_x[: run.recipe.batch_size],
        y=run.data.train_y[: run.recipe.batch_size],
        key=jax.random.fold_in(seed_programs.streams(jnp.uint32(run.recipe.seed)).dropout, step),
        step=jnp.int32(step),
        total_steps=jnp.int32(run.recipe.steps),
        every_probe=True,
    )
    return seed_programs._snapshot_inputs(context, state, run.task.form)


def computed(name: str, words: tuple[str, ...], options: tuple[str, ...] = (), **changes: Any) -> Any:
    """What the snapshot `name` computes there; its options are those of its file but for `options`."""
    part = recipe(*words, f"probe=[standard,{name}]", *options).snapshots[name]
    made = snapshot.make(part)
    _loaded(words)  # outside the trace

    def compute() -> Any:
        return made.compute(inputs(words, **changes))

    result = jax.jit(compute)()
    return result if made.finish is None else made.finish(result)
