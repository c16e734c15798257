"""The mean of the clipped gradients of single examples, for a clip whose scope is the example."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from gradlab.engine.gradients import StepContext, objective
from gradlab.engine.setup import Frozen
from gradlab.numerics.tree import StackedAxes, Tree
from gradlab.parts.clips.contract import ClipRecord

Sums = tuple[Tree, Any, Array]


def clipped_mean(
    context: StepContext,
    params: Tree,
    stats: Tree,
    clip_state: Any,
    frozen: Frozen,
    stacked_axes: StackedAxes,
) -> tuple[Tree, Any, ClipRecord]:
    """The mean over the batch of each example's clipped gradient, the clip's next state, and its record.

    The gradients of batch_size/accumulate examples are held at a time. record["clipped"] is the fraction of the
    examples whose gradient was clipped, or of their entries, where the clip has groups.
    """
    count, examples = context.recipe.accumulate, len(context.x)
    trained = frozen.without(params)

    def of_example(x: Array, y: Array) -> tuple[Tree, Any, Array]:
        """The clipped gradient of one example's loss, the clip's next state, and the fraction that it acted on."""
        gradient = objective(context._replace(x=x[None], y=y[None]), stats).gradient
        grads = frozen.trained(gradient(params))
        clipped, next_state, record = context.setup.clip.apply(grads, clip_state, trained, stacked_axes)
        return clipped, next_state, record["clipped"]

    def add(sums: Sums, batch: tuple[Array, ...]) -> tuple[Sums, None]:
        grads, next_state, clipped = jax.vmap(of_example, out_axes=(0, None, 0))(*batch)
        total = {path: sums[0][path] + g.sum(0) for path, g in grads.items()}
        return (total, next_state, sums[2] + clipped.sum()), None

    batches = [a.reshape(count, examples // count, *a.shape[1:]) for a in (context.x, context.y)]
    start = (jax.tree.map(jnp.zeros_like, trained), clip_state, jnp.zeros((), jnp.float32))
    (total, next_state, clipped), _ = jax.lax.scan(add, start, tuple(batches))
    mean = {path: value / examples for path, value in total.items()}
    return mean, next_state, {"clipped": clipped / examples}
