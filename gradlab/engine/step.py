"""One training step and the row that is measured of it: pure functions, traced into those of `seed_programs.py`."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from gradlab.engine import loss_scale
from gradlab.engine.gradients import LossAndGrads, StepContext, loss_and_grads, loss_only
from gradlab.engine.setup import Setup
from gradlab.engine.update import TrainState, UpdateResult, compute_update, penalized
from gradlab.measurements import probing
from gradlab.measurements.columns import LOSS_SCALE, Column
from gradlab.measurements.probe import UpdateSignal
from gradlab.measurements.row import Row, RowValues, pack, row_columns
from gradlab.nn import chain
from gradlab.numerics import norms
from gradlab.numerics.norms import LOG10_2, Norms, ScaledNorm, log2_norms
from gradlab.numerics.taps import SCOPE
from gradlab.numerics.tree import StackedAxes, Tree
from gradlab.parts.penalties import subject
from gradlab.recipe.errors import RecipeError


class StepColumns(NamedTuple):
    """What every step has in the table of steps, () each; gradlab/measurements/columns.py defines the columns."""

    loss: Array
    penalty: Array
    learning_rate: Array
    log10_gradient: Array
    log10_unclipped: Array
    log10_clipped: Array
    clip_cosine: Array
    clipped: Array
    weight_zeros: Array
    evaluations: Array
    phase: Array


def init_state(setup: Setup, key: Array, x: Array) -> TrainState:
    """The state before the first step; x (examples, …) is a batch for initializers that look at the data."""
    params, stats = chain.initialize(setup.chain, key)
    if setup.adjust is not None:
        params = setup.adjust(lambda fit: chain.walk(setup.chain, params, stats, x, jax.random.key(0), fit))
    stacked_axes = chain.stacked_axes(setup.chain, params)
    trained = setup.frozen(stacked_axes, params).without(params)
    return TrainState(
        params=params,
        stats=stats,
        optimizer=setup.optimizer.init(trained, stacked_axes),
        clip=setup.clip.init(trained),
        schedule=setup.schedule.init(),
        loss_scale=setup.loss_scale.init(),
        probes={
            key: jax.tree.map(jnp.asarray, probe.init(params))
            for key, probe in setup.probes.items()
            if probe.init
        },
    )


def train_step(context: StepContext, state: TrainState, measured: bool) -> tuple[TrainState, Row | None]:
    """One update from one batch; the row is measured before it, at θ_t, and is None where not `measured`."""
    setup = context.setup
    if state.loss_scale is not None:
        context = context._replace(loss_exponent=state.loss_scale.exponent)
    stacked_axes = chain.stacked_axes(setup.chain, state.params)
    if measured or not setup.optimizer.gradient_free:
        result = loss_and_grads(context, state.params, state.stats, measured)
    else:
        result = loss_only(context, state.params, state.stats)
    update = compute_update(context, state, result, stacked_axes)
    next_state, direction, row = update.state, update.direction, None
    if measured:
        row, probe_states = _row(context, state, result, update, stacked_axes)
        next_state = next_state._replace(probes=probe_states)
        # finish all measurements before the parameters are overwritten, so that no second copy of them is needed
        # (the step size stays outside: inside the barrier it would change last bits)
        next_state, direction, row = norms.barrier((next_state, direction, row))
    updates = {path: (-update.step_size * value).astype(value.dtype) for path, value in direction.items()}
    return next_state._replace(params=optax.apply_updates(next_state.params, updates)), row


def _loss_terms(y: Array, micro_batches: int) -> Array | int:
    """The number of terms, (), in the mean loss of the measured micro-batch: its examples, or labelled time steps."""
    label_per_step = jnp.issubdtype(y.dtype, jnp.integer) and y.ndim > 1
    return jnp.sum(y[: len(y) // micro_batches] >= 0) if label_per_step else len(y) // micro_batches


def _row(
    context: StepContext,
    state: TrainState,
    result: LossAndGrads,
    update: UpdateResult,
    stacked_axes: StackedAxes,
) -> tuple[Row, dict[str, Any]]:
    """All columns of one step, and the next states of the probes that have one."""
    assert result.tap_measures is not None
    setup = context.setup
    with jax.named_scope(f"{SCOPE}gradient"):
        grad_norms = log2_norms(result.grads, stacked_axes)
    signal = UpdateSignal(
        params=state.params,
        grads=result.grads,
        norms=grad_norms,
        true_norms=chain.true_norms(
            setup.chain, result.tap_measures, grad_norms.leaves, is_mean=context.recipe.accumulate > 1
        ),
        direction=update.direction,
        step_size=update.step_size,
        learning_rate=update.learning_rate,
        stacked_axes=stacked_axes,
        layers_of=chain.layers_of(setup.chain, state.params),
        kernels=frozenset(chain.kernel_paths(setup.chain, state.params)),
        layers=sum(block.layers for block in setup.chain),
        loss=result.loss,
        optimizer=update.optimizer_before,
    )
    terms = _loss_terms(context.y, context.recipe.accumulate)
    steps = _step_columns(context, state.params, result, update, stacked_axes, grad_norms)._asdict()
    steps |= {column.name: update.clip_record[column.name] for column in clip_columns(setup)}
    if state.loss_scale is not None:
        steps |= loss_scale.columns(state.loss_scale, update.overflowed)
    backward = chain.backward_norms(setup.chain, result.tap_measures, terms)
    shapes = chain.row_shapes(setup.chain, state.params)
    by_update, probe_states = probing.update_values(
        setup.probes, state.probes, context.is_due, signal, shapes
    )
    of_signal, vectors = _signal_columns(setup, result)
    by_layer = of_signal | probing.backward_values(setup.probes, context.is_due, backward)
    values = RowValues(
        layers=by_layer | by_update["layer"],
        parameters=by_update["parameter"],
        steps=steps | by_update["step"],
        vectors=vectors | by_update["vector"],
        notes=[
            metrics.metrics[name]
            for block, metrics in zip(setup.chain, result.blocks, strict=True)
            for name in block.metric_names
        ],
        times=[LOG10_2 * (log2_norms + backward.log2_sqrt_terms) for log2_norms in backward.time],
    )
    return pack(row_columns(setup.probes.values(), more_columns(setup)), values), probe_states


def more_columns(setup: Setup) -> list[Column]:
    """The columns of the table of steps that not every run has: those of its clips and of its loss scaling."""
    return [*clip_columns(setup), *LOSS_SCALE[setup.loss_scale.kind]]


def clip_columns(setup: Setup) -> list[Column]:
    """The columns of a chain of clips in the table of steps, one for each clip."""
    return [
        Column(f"clipped_{name}", f"`clipped` of the clip {name} by itself", unit="fraction", kind="step")
        for name in setup.clip.names
    ]


def _step_columns(
    context: StepContext,
    params: Tree,
    result: LossAndGrads,
    update: UpdateResult,
    stacked_axes: StackedAxes,
    grad_norms: Norms,
) -> StepColumns:
    setup, optimizer = context.setup, context.setup.optimizer
    norm = grad_norms.global_norm  # of the gradient by back-propagation, which an estimate does not replace
    if setup.penalty is not None:
        grads = update.gradient
        if optimizer.estimator is not None or setup.freeze:
            frozen = setup.frozen(stacked_axes, params)
            _, added = penalized(
                setup.penalty,
                frozen.trained(params),
                frozen.without(result.grads),
                stacked_axes,
                context.step,
            )
            grads = result.grads | added
        norm = log2_norms(grads, stacked_axes).global_norm
    same = optimizer.estimator is None and not setup.freeze and update.clip_input is update.gradient
    unclipped = norm if same else log2_norms(update.clip_input, stacked_axes).global_norm
    clipped, cosine = _clipped_norm(unclipped, update, stacked_axes)
    return StepColumns(
        loss=result.loss,
        penalty=update.penalty,
        learning_rate=update.learning_rate,
        log10_gradient=LOG10_2 * norm.log2(),
        log10_unclipped=LOG10_2 * unclipped.log2(),
        log10_clipped=LOG10_2 * clipped.log2(),
        clip_cosine=cosine,
        clipped=update.clip_record["clipped"],
        weight_zeros=_weight_zeros(setup, params, stacked_axes),
        evaluations=optimizer.evaluations(context.step, update.optimizer_before),
        phase=optimizer.phase(update.optimizer_before),
    )


def _weight_zeros(setup: Setup, params: Tree, stacked_axes: StackedAxes) -> Array:
    """The fraction of penalized parameters that are exactly zero; NaN where no penalty makes any.

    A frozen parameter is not penalized.
    """
    if setup.penalty is None or not setup.penalty.sparse:
        return jnp.full((), jnp.nan)
    trained = setup.frozen(stacked_axes, params).only_trained(params)
    penalized_params = list(subject(trained, stacked_axes, setup.penalty.mask).values())
    zeros = sum(jnp.sum(w == 0) for w in penalized_params)
    return jnp.asarray(zeros / sum(w.size for w in penalized_params))


def _clipped_norm(
    before: ScaledNorm, update: UpdateResult, stacked_axes: StackedAxes
) -> tuple[ScaledNorm, Array]:
    """The norm of the clip's output, and the cosine between its output and its input, whose norm is `before`."""
    clip_input, clipped = update.clip_input, update.clip_output
    if clipped is clip_input:
        return before, jnp.ones(())
    after = log2_norms(clipped, stacked_axes).global_norm
    # from unit vectors, so that no product leaves the dtype
    dot = sum(
        jnp.vdot(norms.scale(g, -before.exponent), norms.scale(clipped[path], -after.exponent))
        for path, g in clip_input.items()
    )
    cosine = jnp.clip(dot / (before.mantissa * after.mantissa), -1, 1)
    return after, jnp.where(before.mantissa == 0, 1.0, cosine)  # the cosine of a zero gradient counts as 1


def _signal_columns(setup: Setup, result: LossAndGrads) -> tuple[dict[str, Array], dict[str, Array]]:
    """The columns of the signal probes, (layers,), and their vectors, (layers, size).

    Where a block has no activation an entry is 0, null in the table.
    """
    all_columns = probing.signal_columns(setup.probes, True)
    columns: dict[str, list[Array]] = {column.name: [] for column in all_columns if not column.size}
    vectors: dict[str, list[Array]] = {column.name: [] for column in all_columns if column.size}
    for block, metrics in zip(setup.chain, result.blocks, strict=True):
        names = [c.name for c in probing.signal_columns(setup.probes, block.active) if not c.size]
        if names and len(names) != metrics.columns.shape[-1]:
            raise RecipeError(
                f"block {block.name} has active={block.active}; a block with an activation returns its slope, and one "
                "without has active=False"
            )
        values = dict(zip(names, jnp.moveaxis(metrics.columns, -1, 0), strict=bool(names)))
        for name, parts in columns.items():
            parts.append(values.get(name, jnp.zeros(block.layers)).reshape(-1))
        for column in (column for column in all_columns if column.size):
            value = metrics.vectors.get(column.name, jnp.zeros((block.layers, column.size)))
            vectors[column.name].append(value.reshape(-1, column.size))
    joined: Any = lambda parts: {name: jnp.concatenate(arrays) for name, arrays in parts.items()}
    return joined(columns), joined(vectors)
