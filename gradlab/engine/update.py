"""From a gradient to an update, in this order: estimate, penalty, clip, schedule, optimizer; then what is never
clipped: decoupled decay, learning-rate factors by path, the proximal step. With clip.where=update the clip comes after
the optimizer.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from gradlab.engine.gradients import LossAndGrads, StepContext, objective
from gradlab.engine.loss_scale import ScaleState, all_finite
from gradlab.engine.per_example import clipped_mean
from gradlab.engine.setup import Frozen, Setup
from gradlab.numerics import norms
from gradlab.numerics.tree import StackedAxes, Tree, select
from gradlab.parts.clips.contract import ClipRecord
from gradlab.parts.optimizers.contract import Objective, Optimizer, OptimizerContext, Update
from gradlab.parts.penalties import Penalty, subject
from gradlab.parts.schedules import ScheduleContext

ESTIMATE_STREAM = 2**31 - 1  # of a step's key, for gradient estimates; the blocks' streams have small numbers


class TrainState(NamedTuple):
    """What training carries from step to step; all randomness comes from the seed and the step."""

    params: Tree
    stats: Tree  # running averages of normalizations
    optimizer: Any  # the states of the optimizer, the clip and the schedule
    clip: Any
    schedule: Any
    probes: dict[str, Any]  # the states of the probes that have one
    loss_scale: ScaleState | None


class UpdateResult(NamedTuple):
    """An update Δθ = −step_size·direction, and how it came about."""

    state: TrainState  # the next state, except `params`, which are still the old ones: train_step applies the update
    direction: Tree
    step_size: Array
    learning_rate: Array  # peak rate times schedule factor, ()
    penalty: Array
    gradient: Tree  # the back-propagated or estimated gradient, with the penalty's
    clip_input: Tree  # the gradient, or with clip.where=update the update
    clip_output: Tree
    clip_record: dict[str, Array]  # what the clip did
    optimizer_before: Any  # the optimizer's state at this step, before its update
    overflowed: Array | None = None  # (): whether loss scaling dropped the step; None where it drops none


def compute_update(
    context: StepContext, state: TrainState, result: LossAndGrads, stacked_axes: StackedAxes
) -> UpdateResult:
    """The update of one step from its loss and gradient, with the running statistics of that pass.

    A step that the clip or loss scaling drops has a direction of zeros, and leaves optimizer, schedule and statistics
    as they were; loss scaling leaves the clip's state too.
    Clip, penalty and optimizer are given the parameters that are trained, and have states for these only.
    """
    setup, stats, optimizer = context.setup, result.stats, context.setup.optimizer
    frozen = setup.frozen(stacked_axes, state.params)
    params, batch_objective = frozen.without(state.params), _objective_of_trained(context, state, frozen)
    optimizer_state = optimizer.begin_step(state.optimizer, context.step, result.loss, params, stacked_axes)
    grads = frozen.trained(result.grads)
    if optimizer.estimator is not None:
        key = jax.random.fold_in(context.key, ESTIMATE_STREAM)
        grads, optimizer_state = optimizer.estimator.estimate(
            params, optimizer_state, grads, key, batch_objective
        )
    # in the place of frozen layers of a stack the penalty is given zeros, which add nothing to it
    penalty, grads = penalized(
        setup.penalty, frozen.trained(params), frozen.trained(grads), stacked_axes, context.step
    )
    grads = frozen.trained(grads)
    clip_output, clip_state, clip_record = _clipped(context, state, grads, frozen, stacked_axes)
    learning_rate, schedule_state = learning_rate_of(
        context, state, optimizer_state, clip_output, result.loss, stacked_axes
    )
    optimizer_context = OptimizerContext(
        learning_rate=learning_rate,
        step=context.step,
        loss=result.loss,
        stacked_axes=stacked_axes,
        objective=batch_objective,
    )
    update, next_optimizer_state = _optimizer_update(
        optimizer, clip_output, optimizer_state, params, optimizer_context
    )

    clip_input = grads
    if setup.clip.where == "update":
        clip_input = update.scaled_direction(learning_rate)
        clip_output, clip_state, clip_record = setup.clip.apply(clip_input, state.clip, params, stacked_axes)
        update = update._replace(direction=clip_output, step_size=jnp.ones(()))
    update = _add_never_clipped(setup, params, update, learning_rate, stacked_axes)
    direction, step_size = frozen.filled(update.direction, state.params), update.step_size_or(learning_rate)
    scale_state, overflowed = state.loss_scale, None
    if scale_state is not None and setup.loss_scale.drops:
        overflowed = ~all_finite(grads)
        scale_state = setup.loss_scale.adjusted(scale_state, ~overflowed)
        clip_state = select(overflowed, state.clip, clip_state)
        clip_record = clip_record | {"skip": overflowed | clip_record.get("skip", False)}
    if "skip" in clip_record:
        # of a dropped step the step size too: a schedule may make it of a loss that is not finite
        zeros = jax.tree.map(jnp.zeros_like, (direction, step_size))
        made = (direction, step_size), next_optimizer_state, schedule_state, stats
        kept = zeros, state.optimizer, state.schedule, state.stats
        (direction, step_size), next_optimizer_state, schedule_state, stats = select(
            clip_record["skip"], kept, made
        )
    return UpdateResult(
        state=state._replace(
            stats=stats,
            optimizer=next_optimizer_state,
            clip=clip_state,
            schedule=schedule_state,
            loss_scale=scale_state,
        ),
        direction=direction,
        step_size=step_size,
        learning_rate=learning_rate,
        penalty=penalty,
        gradient=grads,
        clip_input=clip_input,
        clip_output=clip_output,
        clip_record=clip_record,
        optimizer_before=optimizer_state,
        overflowed=overflowed,
    )


def _clipped(
    context: StepContext, state: TrainState, grads: Tree, frozen: Frozen, stacked_axes: StackedAxes
) -> tuple[Tree, Any, ClipRecord]:
    """What a clip of gradients gives, its next state and its record; without one the gradient as it is."""
    clip = context.setup.clip
    if clip.scope == "example":
        # alone, as its sums over examples are
        clipped: Callable[..., tuple[Tree, Any, ClipRecord]] = _isolated(
            lambda params: clipped_mean(context, params, state.stats, state.clip, frozen, stacked_axes),
            context.step,
        )
        return clipped(state.params)
    if clip.where == "gradient":
        return clip.apply(grads, state.clip, frozen.without(state.params), stacked_axes)
    return grads, state.clip, {}


def _objective_of_trained(context: StepContext, state: TrainState, frozen: Frozen) -> Objective:
    """The batch's loss and gradient as functions of the parameters that are trained."""
    of_all = objective(context, state.stats)
    if not frozen.flags:
        return of_all
    return Objective(
        loss=lambda trained: of_all.loss(frozen.merged(state.params, trained)),
        gradient=lambda trained: frozen.trained(of_all.gradient(frozen.merged(state.params, trained))),
    )


def _optimizer_update(
    optimizer: Optimizer, grads: Tree, state: Any, params: Tree, context: OptimizerContext
) -> tuple[Update, Any]:
    """The optimizer's update and its next state; compiled alone where it has running sums (see `_isolated`)."""

    def rule(grads: Tree, state: Any, params: Tree) -> tuple[Update, Any]:
        return optimizer.update(grads, state, params, context)

    has_sums = bool(jax.tree.leaves(state))
    result: tuple[Update, Any] = (_isolated(rule, context.step) if has_sums else rule)(grads, state, params)
    return result


def learning_rate_of(
    context: StepContext,
    state: TrainState,
    optimizer_state: Any,
    clip_output: Tree,
    loss: Array,
    stacked_axes: StackedAxes,
) -> tuple[Array, Any]:
    """Peak rate times schedule factor, (), and the schedule's next state."""
    # XLA removes this computation unless the schedule uses it
    norm = norms.log2_norms(clip_output, stacked_axes).global_norm.log2()
    setup, peak_of = context.setup, context.setup.optimizer.peak_lr
    peak = setup.lr if peak_of is None else peak_of(optimizer_state, setup.lr)
    schedule_context = ScheduleContext(
        step=context.step,
        total_steps=context.total_steps,
        loss=loss,
        log2_gradient=norm,
        peak_lr=peak,
    )
    factor, schedule_state = setup.schedule.apply(schedule_context, state.schedule)
    return peak * factor, schedule_state


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
        value_of: Callable[[Tree], Array] = lambda tree: penalty.value(list(tree.values()))
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


def _add_never_clipped(
    setup: Setup, params: Tree, update: Update, learning_rate: Array, stacked_axes: StackedAxes
) -> Update:
    """The update with what is never clipped: decoupled decay, then factors by path, then the proximal step."""
    direction, penalty = dict(update.direction), setup.penalty
    decays = [update.decay or {}]
    if penalty is not None and penalty.decay is not None:
        shrunk = subject(params, stacked_axes, penalty.mask)
        decays.append({path: penalty.decay * w for path, w in shrunk.items()})
    # the decay is multiplied by the learning rate once: here, or with the direction where step_size is None
    decay_factor = 1.0 if update.step_size is None else learning_rate
    for tree in decays:
        for path, decay in tree.items():
            direction[path] = direction[path] + (decay_factor * decay).astype(decay.dtype)
    factors = setup.factors(stacked_axes, params)
    direction |= {
        path: jnp.where(factor == 0, 0, factor * direction[path]).astype(direction[path].dtype)
        for path, factor in factors.items()
    }
    if penalty is None or penalty.proximal is None:
        return update._replace(direction=direction)
    direction = update._replace(direction=direction).scaled_direction(learning_rate)
    for path, w in subject(params, stacked_axes, penalty.mask).items():
        moved, threshold = w - direction[path], learning_rate * penalty.proximal * factors.get(path, 1.0)
        direction[path] = w - (jnp.sign(moved) * jnp.maximum(jnp.abs(moved) - threshold, 0)).astype(w.dtype)
    return Update(direction, jnp.ones(()))
