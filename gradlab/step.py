"""One step of training and what is measured of it: pure functions, traced into the programs of `program.py`."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from gradlab import numerics
from gradlab.build import Setup
from gradlab.models import chain
from gradlab.models.chain import Dummies, Signal, Tree
from gradlab.parts.schedules import Now
from gradlab.probes.family import Moment, Probe
from gradlab.recipe import Recipe

COUNTS = ("zeros", "infs", "nans")
STEP_COLUMNS = (
    "loss",
    "penalty",
    "learning_rate",
    "log10_gradient",
    "log10_clipped",
    "clip_cosine",
    "clipped",
)


class State(NamedTuple):
    """What training carries from step to step; all randomness comes from the seed and the step."""

    params: Tree
    stats: Tree
    optimizer: Any
    clip: Any
    schedule: Any


class Row(NamedTuple):
    """What one step measured: columns × layers, columns × parameters, their whole counts, step columns."""

    layers: Array
    parameters: Array
    counts: Array
    steps: Array


class Slopes(NamedTuple):
    """One backward pass: the loss, its gradient by path, new statistics, and what the taps and signals told."""

    loss: Array
    grads: Tree
    stats: Tree
    seen: Dummies | None
    told: list[Array]


def initial(setup: Setup, key: Array, x: Array) -> State:
    """The state before the first step; `x` is a batch for initializers that look at the data."""
    params, stats = chain.initialize(setup.chain, key)
    if setup.adjust is not None:
        params = setup.adjust(setup.chain, params, stats, x)
    return State(params, stats, setup.optimizer.init(params), setup.clip.init(params), setup.schedule.init())


def slopes(
    setup: Setup, recipe: Recipe, state: State, x: Array, y: Array, key: Array, measured: bool
) -> Slopes:
    """Loss and gradient on one batch, with taps where `measured`."""
    blanks = chain.dummies(setup.chain, state.params) if measured else None

    def objective(params: Tree, probes: Dummies | None) -> tuple[Array, Any]:
        output, stats, told = chain.forward(
            setup.chain,
            params,
            state.stats,
            x,
            key,
            train=True,
            probes=probes,
            ask=_signals(setup.probes) if measured else None,
            remat=recipe.remat,
        )
        return jnp.mean(setup.loss(output.astype(numerics.compute_dtype(output)), y)), (stats, told)

    # the dummies' zeros are differentiated by only where there are taps
    wanted = (0, 1) if measured else (0,)
    (value, (stats, told)), found = jax.value_and_grad(objective, wanted, has_aux=True)(state.params, blanks)
    return Slopes(value, found[0], stats, found[1] if measured else None, told)


def _signals(probes: list[Probe]) -> chain.Ask:
    """All signal probes as one question: a block's answers are one vector, so that a scan stacks one array."""

    def ask(signal: Signal) -> Array:
        asked = [probe for probe in probes if probe.signal and (signal.slope is not None or not probe.active)]
        told = {column: value for probe in asked for column, value in probe.signal(signal).items()}  # type: ignore[misc]
        return jnp.stack([value.astype(jnp.float32) for value in told.values()] or [jnp.zeros(())])

    return ask


def take(
    setup: Setup,
    recipe: Recipe,
    state: State,
    batch: tuple[Array, Array],
    key: Array,
    time: tuple[Array, Array],
    measured: bool,
) -> tuple[State, Row | None]:
    """One update from one batch at `time` = (step, horizon); the row is measured before it, at θ_t."""
    back = slopes(setup, recipe, state, *batch, key, measured)
    lead = chain.lead(setup.chain, state.params)
    penalty, grads = _penalized(setup, state.params, back.grads, lead)
    clipped, clip_state, record = setup.clip.apply(grads, state.clip, state.params, lead)
    given = numerics.log2_norms(clipped, lead).whole.log2()  # taken only where the schedule asks for it
    factor, schedule_state = setup.schedule.apply(Now(*time, back.loss, given, setup.lr), state.schedule)
    rate = setup.lr * factor
    direction, optimizer_state = setup.optimizer.update(clipped, state.optimizer, state.params)
    after = State(state.params, back.stats, optimizer_state, clip_state, schedule_state)
    row = None
    if measured:
        norms = numerics.log2_norms(back.grads, lead)
        whole = norms.whole if setup.penalty is None else numerics.log2_norms(grads, lead).whole
        steps = [back.loss, penalty, rate, *_clipping(whole, grads, clipped, record, lead)]
        moment = Moment(state.params, back.grads, norms, _true(setup, back, norms), direction, rate, lead)
        parameters, counts = _parameters(setup.probes, moment)
        row = Row(_layers(setup, back, len(batch[1])), parameters, counts, _stack(steps))
        # everything is measured before the update, which then needs no second copy of the parameters
        after, direction, row = jax.lax.optimization_barrier((after, direction, row))
    updates = {path: (-rate * value).astype(value.dtype) for path, value in direction.items()}
    return after._replace(params=optax.apply_updates(after.params, updates)), row


def _penalized(setup: Setup, params: Tree, grads: Tree, lead: dict[str, int]) -> tuple[Array, Tree]:
    """The penalty, and its gradient added to the data loss's."""
    if setup.penalty is None:
        return jnp.zeros(()), grads
    kernels = {path: value for path, value in params.items() if value.ndim - lead[path] >= 2}
    rule = setup.penalty
    value, added = jax.value_and_grad(lambda kernels: rule(list(kernels.values())))(kernels)
    return value, grads | {path: grads[path] + own for path, own in added.items()}


def _clipping(
    whole: numerics.Length, grads: Tree, clipped: Tree, record: dict[str, Array], lead: dict[str, int]
) -> list[Array]:
    """log10 of the global norm before and after the clip, their cosine, the share of entries changed."""
    before = numerics.LOG10_2 * whole.log2()
    if clipped is grads:
        return [before, before, jnp.ones(()), record["clipped"]]
    after = numerics.log2_norms(clipped, lead).whole
    # from unit vectors, so that no product leaves the dtype
    dot = sum(
        jnp.vdot(numerics.scale(g, -whole.exponent), numerics.scale(clipped[path], -after.exponent))
        for path, g in grads.items()
    )
    lengths = whole.fraction * after.fraction
    cosine = jnp.clip(dot / lengths, -1, 1)
    cosine = jnp.where(whole.fraction == 0, 1.0, cosine)  # nothing has no direction to lose
    return [before, numerics.LOG10_2 * after.log2(), cosine, record["clipped"]]


def _true(setup: Setup, back: Slopes, norms: numerics.Norms) -> Tree:
    assert back.seen is not None
    return chain.true_norms(setup.chain, back.seen, norms.leaves)


def layer_columns(probes: list[Probe]) -> list[str]:
    """The columns of `Row.layers`, in order."""
    signal = [column for probe in probes if probe.signal for column in probe.columns]
    return signal + [column for probe in probes if probe.backward for column in probe.columns]


def active_columns(probes: list[Probe]) -> list[str]:
    """Those of them that only a block with an activation has."""
    return [column for probe in probes if probe.active for column in probe.columns]


def parameter_columns(probes: list[Probe]) -> list[str]:
    """The columns of `Row.parameters`, in order; counts are apart."""
    return [column for probe in probes if probe.moment for column in probe.columns if column not in COUNTS]


def _layers(setup: Setup, back: Slopes, batch: int) -> Array:
    """Columns × layers; where a block has no activation its entry is 0 and the host writes null."""
    assert back.seen is not None
    signal = [probe for probe in setup.probes if probe.signal]
    all_columns = [column for probe in signal for column in probe.columns]
    present = [column for probe in signal if not probe.active for column in probe.columns]
    columns: dict[str, list[Array]] = {column: [] for column in all_columns}
    for block, told in zip(setup.chain, back.told, strict=True):
        have = all_columns if block.active else present
        values = dict(zip(have, jnp.moveaxis(told, -1, 0), strict=False))
        for column in all_columns:
            columns[column].append(values.get(column, jnp.zeros(block.layers)).reshape(-1))
    rows = [jnp.concatenate(parts) for parts in columns.values()]
    record = chain.backward(setup.chain, back.seen, batch)
    rows += [value for probe in setup.probes if probe.backward for value in probe.backward(record).values()]
    return _stack(rows) if rows else jnp.zeros((0, sum(block.layers for block in setup.chain)))


def _parameters(probes: list[Probe], moment: Moment) -> tuple[Array, Array]:
    """Columns × entries; entries are the parameters by path, and along a stack its layers."""
    told = {
        column: value for probe in probes if probe.moment for column, value in probe.moment(moment).items()
    }
    flat = {
        column: jnp.concatenate([value[path].reshape(-1) for path in sorted(value)])
        for column, value in told.items()
    }
    floats = [value for column, value in flat.items() if column not in COUNTS]
    counts = [value for column, value in flat.items() if column in COUNTS]
    return (
        _stack(floats) if floats else jnp.zeros((0, 0)),
        jnp.stack(counts) if counts else jnp.zeros((0, 0), jnp.int32),
    )


def _stack(values: list[Array]) -> Array:
    return jnp.stack([value.astype(jnp.float32) for value in values])
