"""From a gradient to an update, in this order: estimate, penalty, clip, schedule, optimizer; then what no clip sees:
decoupled decay, learning-rate factors by path, the proximal step.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from gradlab.engine.setup import Setup
from gradlab.numerics import norms
from gradlab.numerics.tree import StackedAxes, Tree
from gradlab.parts.optimizers.contract import Objective, OptimizerContext, Update
from gradlab.parts.penalties import Penalty, subject
from gradlab.parts.schedules import ScheduleContext

ESTIMATE_STREAM = 2**31 - 1  # of a step's key, for gradient estimates; the blocks' streams have small numbers


class TrainState(NamedTuple):
    """What training carries from step to step; all randomness comes from the seed and the step."""

    params: Tree
    stats: Tree
    optimizer: Any
    clip: Any
    schedule: Any


class StepContext(NamedTuple):
    """Inputs to one update beside the state: step index, total steps, batch loss and gradient, objective, key."""

    step: Array
    total_steps: Array
    loss: Array
    gradient: Tree
    objective: Objective
    key: Array


class UpdateResult(NamedTuple):
    """An update Δθ = −step_size·direction, and how it came about."""

    state: TrainState  # after the step, but for the parameters, which are still those before it
    direction: Tree
    step_size: Array
    learning_rate: Array  # in use: peak times schedule
    penalty: Array
    gradient: Tree  # in use, with the penalty's
    unclipped: Tree  # what the clip is given: the gradient, or the update
    clipped: Tree  # what it gives back
    clip_record: dict[str, Array]  # what the clip says it did
    optimizer_before: Any  # the optimizer's state at this step, before its update


def compute_update(
    setup: Setup, state: TrainState, stats: Tree, context: StepContext, stacked_axes: StackedAxes
) -> UpdateResult:
    """The update of one step, with the running statistics taken to `stats`.

    A step that the clip drops has a direction of zeros, and leaves the optimizer and the statistics as they were.
    """
    optimizer, params = setup.optimizer, state.params
    memory = optimizer.begin_step(state.optimizer, context.step, context.loss, params, stacked_axes)
    grads = context.gradient
    if optimizer.estimate_gradient is not None:
        key = jax.random.fold_in(context.key, ESTIMATE_STREAM)
        grads, memory = optimizer.estimate_gradient(params, memory, grads, key, context.objective)
    penalty, grads = penalized(setup.penalty, params, grads, stacked_axes, context.step)
    clipped, clip = grads, state.clip
    clip_record: dict[str, Array] = {}
    if setup.clip.where == "gradient":
        clipped, clip, clip_record = setup.clip.apply(grads, state.clip, params, stacked_axes)

    rate, schedule = _learning_rate(setup, state, memory, clipped, context, stacked_axes)
    optimizer_context = OptimizerContext(
        learning_rate=rate,
        step=context.step,
        loss=context.loss,
        stacked_axes=stacked_axes,
        objective=context.objective,
    )
    rule = lambda grads, memory, params: optimizer.update(grads, memory, params, optimizer_context)
    if jax.tree.leaves(memory):  # an optimizer without state has no sums
        rule = _isolated(rule, context.step)
    update, after = rule(clipped, memory, params)

    unclipped = grads
    if setup.clip.where == "update":
        unclipped = update.scaled_direction(rate)
        clipped, clip, clip_record = setup.clip.apply(unclipped, state.clip, params, stacked_axes)
        update = update._replace(direction=clipped, step_size=jnp.ones(()))
    update = _unclipped_parts(setup, params, update, rate, stacked_axes)
    if "skip" in clip_record:
        keep = partial(_select, clip_record["skip"])
        update = update._replace(
            direction=keep(jax.tree.map(jnp.zeros_like, update.direction), update.direction)
        )
        after, stats = keep(memory, after), keep(state.stats, stats)
    return UpdateResult(
        state=TrainState(state.params, stats, after, clip, schedule),
        direction=update.direction,
        step_size=update.step_size_or(rate),
        learning_rate=rate,
        penalty=penalty,
        gradient=grads,
        unclipped=unclipped,
        clipped=clipped,
        clip_record=clip_record,
        optimizer_before=memory,
    )


def _learning_rate(
    setup: Setup,
    state: TrainState,
    memory: Any,
    clipped: Tree,
    context: StepContext,
    stacked_axes: StackedAxes,
) -> tuple[Array, Any]:
    """Peak rate times schedule, and the schedule's next state."""
    # computed only where the schedule asks for it: XLA drops what nobody reads
    norm = norms.log2_norms(clipped, stacked_axes).global_norm.log2()
    peak_of = setup.optimizer.peak_lr
    peak = setup.lr if peak_of is None else peak_of(memory, setup.lr)
    moment = ScheduleContext(context.step, context.total_steps, context.loss, norm, peak)
    factor, schedule = setup.schedule.apply(moment, state.schedule)
    return peak * factor, schedule


def penalized(
    penalty: Penalty | None, params: Tree, grads: Tree, stacked_axes: StackedAxes, step: Array
) -> tuple[Array, Tree]:
    """The penalty's value, (), and `grads` with its gradient added where it is part of the loss.

    params and grads: leaves of any shape, by path.
    """
    if penalty is None:
        return jnp.zeros(()), grads

    def value_and_sum(params: Tree, grads: Tree) -> tuple[Array, Tree]:
        penalized_params = subject(params, stacked_axes, penalty.mask)
        value_of = lambda tree: penalty.value(list(tree.values()))
        if not penalty.smooth:
            return value_of(penalized_params), grads
        value, added = jax.value_and_grad(value_of)(penalized_params)
        return value, grads | {path: grads[path] + term for path, term in added.items()}

    result: tuple[Array, Tree] = _isolated(value_and_sum, step)(params, grads)
    return result


def _isolated(function: Callable[..., Any], step: Array) -> Callable[..., Any]:
    """`function` as a computation of its own: the branch of a condition that always holds.

    This is a fusion barrier that bit-equality depends on. XLA fuses a sum of products (a moment of Adam, a penalty's
    gradient) with its neighbours and may contract it to fused multiply-adds, which round differently; which
    neighbours there are depends on what is measured in the same step. Inside a branch the computation is compiled
    alone, so that measuring changes no bit of training. The compiler cannot know that `step` is never negative.
    """

    def call(*arguments: Any) -> Any:
        shapes = jax.eval_shape(function, *arguments)
        zeros = lambda: jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
        return jax.lax.cond(step >= 0, lambda: function(*arguments), zeros)

    return call


def _select(condition: Array, on_true: Any, on_false: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), on_true, on_false)


def _unclipped_parts(
    setup: Setup, params: Tree, update: Update, rate: Array, stacked_axes: StackedAxes
) -> Update:
    """The update with what no clip sees: decoupled decay, factors by path, and the proximal step last of all."""
    direction, penalty = dict(update.direction), setup.penalty
    decays = [update.decay or {}]
    if penalty is not None and penalty.decay is not None:
        shrunk = subject(params, stacked_axes, penalty.mask)
        decays.append({path: penalty.decay * w for path, w in shrunk.items()})
    unit = 1.0 if update.step_size is None else rate
    for path, decay in [item for tree in decays for item in tree.items()]:
        direction[path] = direction[path] + (unit * decay).astype(decay.dtype)
    factors = setup.factors(stacked_axes, params)
    direction |= {
        path: jnp.where(factor == 0, 0, factor * direction[path]).astype(direction[path].dtype)
        for path, factor in factors.items()
    }
    if penalty is None or penalty.proximal is None:
        return update._replace(direction=direction)
    direction = update._replace(direction=direction).scaled_direction(rate)
    for path, w in subject(params, stacked_axes, penalty.mask).items():
        moved, threshold = w - direction[path], rate * penalty.proximal * factors.get(path, 1.0)
        direction[path] = w - (jnp.sign(moved) * jnp.maximum(jnp.abs(moved) - threshold, 0)).astype(w.dtype)
    return Update(direction, jnp.ones(()))
