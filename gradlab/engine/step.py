"""One training step and the row that is measured of it: pure functions, traced into those of `seed_programs.py`."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from gradlab.engine.gradients import LossAndGrads, LossInputs, loss_and_grads, loss_only, objective
from gradlab.engine.setup import Setup
from gradlab.engine.update import TrainState, UpdateInputs, UpdateResult, compute_update, penalized
from gradlab.measure.probe import BackwardNorms, Probe, UpdateSignal, in_order
from gradlab.nn import chain
from gradlab.numerics import norms
from gradlab.numerics.norms import LOG10_2, Norms, ScaledNorm, log2_norms
from gradlab.numerics.tree import StackedAxes, Tree
from gradlab.parts.penalties import subject
from gradlab.recipe.recipe import Recipe

COUNTS = ("zeros", "infs", "nans")


class StepInputs(NamedTuple):
    """What varies from step to step: the batch, the step's random key, its index, and how many steps there are."""

    x: Array  # (batch, …)
    y: Array  # (batch,), (batch, time) or (batch, outputs)
    key: Array  # (), a random key
    step: Array  # (), int32
    total_steps: Array  # (), int32


class StepColumns(NamedTuple):
    """One row of the table of steps, () each; gradlab/measure/columns.py defines the columns."""

    loss: Array
    penalty: Array
    learning_rate: Array
    log10_gradient: Array
    log10_unclipped: Array
    log10_clipped: Array
    clip_cosine: Array
    clipped: Array
    weight_zeros: Array
    phase: Array
    evaluations: Array


class Row(NamedTuple):
    """What is measured in one step, packed: a scan stacks one array per kind of measure."""

    layers: Array  # (columns, layers)
    parameters: Array  # (columns, entries): the parameters in order of their paths, a stack's layer by layer
    counts: Array  # (3, entries), whole numbers: zeros, infinities and NaNs of the gradient
    steps: Array  # (len(StepColumns),)
    notes: Array  # (inner metrics,): the blocks' metric_names, block by block; rows of the table of notes
    # (Σ 2·time steps,): log10 of the backward signal at time steps, h_t then c_t, block by block
    times: Array


def init_state(setup: Setup, key: Array, x: Array) -> TrainState:
    """The state before the first step; x (examples, …) is a batch for initializers that look at the data."""
    params, stats = chain.initialize(setup.chain, key)
    if setup.adjust is not None:
        params = setup.adjust(lambda fit: chain.walk(setup.chain, params, stats, x, jax.random.key(0), fit))
    stacked_axes = chain.stacked_axes(setup.chain, params)
    return TrainState(
        params=params,
        stats=stats,
        optimizer=setup.optimizer.init(params, stacked_axes),
        clip=setup.clip.init(params),
        schedule=setup.schedule.init(),
    )


def train_step(
    setup: Setup, recipe: Recipe, state: TrainState, inputs: StepInputs, measured: bool
) -> tuple[TrainState, Row | None]:
    """One update from one batch; the row is measured before it, at θ_t, and is None where not `measured`."""
    loss_inputs = LossInputs(setup, recipe, state.stats, inputs.x, inputs.y, inputs.key)
    stacked_axes = chain.stacked_axes(setup.chain, state.params)
    if measured or not setup.optimizer.gradient_free:
        result = loss_and_grads(loss_inputs, state.params, measured)
    else:
        result = loss_only(loss_inputs, state.params)
    update_inputs = UpdateInputs(
        step=inputs.step,
        total_steps=inputs.total_steps,
        loss=result.loss,
        gradient=result.grads,
        objective=objective(loss_inputs),
        key=inputs.key,
    )
    update = compute_update(setup, state, result.stats, update_inputs, stacked_axes)
    next_state, direction, row = update.state, update.direction, None
    if measured:
        terms = _loss_terms(inputs.y, recipe.accumulate)
        row = _row(setup, state.params, result, update, stacked_axes, inputs.step, terms)
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
    setup: Setup,
    params: Tree,
    result: LossAndGrads,
    update: UpdateResult,
    stacked_axes: StackedAxes,
    step: Array,
    terms: Array | int,
) -> Row:
    """All columns of one step; `terms` is the number of terms in the mean loss, a scalar."""
    assert result.tap_measures is not None
    grad_norms = log2_norms(result.grads, stacked_axes)
    signal = UpdateSignal(
        params=params,
        grads=result.grads,
        norms=grad_norms,
        true_norms=chain.true_norms(setup.chain, result.tap_measures, grad_norms.leaves),
        direction=update.direction,
        step_size=update.step_size,
        stacked_axes=stacked_axes,
    )
    columns = _step_columns(setup, params, result, update, stacked_axes, step, grad_norms)
    backward = chain.backward_norms(setup.chain, result.tap_measures, terms)
    parameters, counts = _parameters(setup.probes, signal)
    return Row(
        layers=_layers(setup, result, backward),
        parameters=parameters,
        counts=counts,
        steps=_stack(list(columns)),
        notes=_flat(
            [
                metrics.metrics[name]
                for block, metrics in zip(setup.chain, result.blocks, strict=True)
                for name in block.metric_names
            ]
        ),
        times=_flat(
            [LOG10_2 * (log2_norms + backward.half_log2_terms).reshape(-1) for log2_norms in backward.time]
        ),
    )


def _step_columns(
    setup: Setup,
    params: Tree,
    result: LossAndGrads,
    update: UpdateResult,
    stacked_axes: StackedAxes,
    step: Array,
    grad_norms: Norms,
) -> StepColumns:
    optimizer = setup.optimizer
    norm = grad_norms.global_norm  # of the gradient by back-propagation, which an estimate does not replace
    if setup.penalty is not None:
        grads = update.gradient
        if optimizer.estimate_gradient is not None:
            _, grads = penalized(setup.penalty, params, result.grads, stacked_axes, step)
        norm = log2_norms(grads, stacked_axes).global_norm
    same = optimizer.estimate_gradient is None and update.clip_input is update.gradient
    unclipped = norm if same else log2_norms(update.clip_input, stacked_axes).global_norm
    clipped, cosine = _clipped_norm(unclipped, update, stacked_axes)
    if optimizer.evals_so_far is None:
        evaluations = step * optimizer.evals_per_step
    else:
        evaluations = optimizer.evals_so_far(step, update.optimizer_before)
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
        phase=optimizer.phase(update.optimizer_before),
        evaluations=evaluations,
    )


def _weight_zeros(setup: Setup, params: Tree, stacked_axes: StackedAxes) -> Array:
    """The fraction of penalized parameters that are exactly zero; NaN where no penalty makes any."""
    if setup.penalty is None or not setup.penalty.sparse:
        return jnp.full((), jnp.nan)
    penalized_params = list(subject(params, stacked_axes, setup.penalty.mask).values())
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


def layer_columns(probes: list[Probe]) -> list[str]:
    """The columns of `Row.layers`, in order."""
    signal = [column for probe in probes if probe.signal for column in probe.columns]
    return signal + [column for probe in probes if probe.backward for column in probe.columns]


def active_columns(probes: list[Probe]) -> list[str]:
    """The layer columns that only a block with an activation has."""
    return [column for probe in probes if probe.active for column in probe.columns]


def parameter_columns(probes: list[Probe]) -> list[str]:
    """The columns of `Row.parameters`, in order, without those of `Row.counts`."""
    return [column for probe in probes if probe.update for column in probe.columns if column not in COUNTS]


def _layers(setup: Setup, result: LossAndGrads, backward: BackwardNorms) -> Array:
    """Columns × layers; where a block has no activation its entry is 0 and the host writes null."""
    signal = [probe for probe in setup.probes if probe.signal]
    all_columns = [column for probe in signal for column in probe.columns]
    without_activation = [column for probe in signal if not probe.active for column in probe.columns]
    columns: dict[str, list[Array]] = {column: [] for column in all_columns}
    for block, metrics in zip(setup.chain, result.blocks, strict=True):
        measured = all_columns if block.active else without_activation
        values = dict(zip(measured, jnp.moveaxis(metrics.columns, -1, 0), strict=bool(measured)))
        for column in all_columns:
            columns[column].append(values.get(column, jnp.zeros(block.layers)).reshape(-1))
    rows = [jnp.concatenate(parts) for parts in columns.values()]
    for probe in setup.probes:
        if probe.backward:
            rows += in_order(probe, probe.backward(backward))
    return _stack(rows) if rows else jnp.zeros((0, sum(block.layers for block in setup.chain)))


def _parameters(probes: list[Probe], signal: UpdateSignal) -> tuple[Array, Array]:
    """Columns × entries, measures and counts apart; entries are the parameters by path, a stack's layer by layer."""
    measures: list[Array] = []
    counts: list[Array] = []
    for probe in probes:
        if probe.update:
            trees = in_order(probe, probe.update(signal))
            for column, tree in zip(probe.columns, trees, strict=True):
                flat = jnp.concatenate([tree[path].reshape(-1) for path in sorted(tree)])
                (counts if column in COUNTS else measures).append(flat)
    return (
        _stack(measures) if measures else jnp.zeros((0, 0)),
        jnp.stack(counts) if counts else jnp.zeros((0, 0), jnp.int32),
    )


def _flat(values: list[Array]) -> Array:
    return jnp.concatenate([value.astype(jnp.float32).reshape(-1) for value in values] or [jnp.zeros(0)])


def _stack(values: list[Array]) -> Array:
    return jnp.stack([value.astype(jnp.float32) for value in values])
