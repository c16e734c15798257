"""One step of training and what is measured of it: pure functions, traced into the programs of `program.py`."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from gradlab import numerics
from gradlab.build import Setup
from gradlab.models import chain
from gradlab.models.chain import Dummies, Signal, Tree
from gradlab.parts.optimizers import Batch, Given, Move
from gradlab.parts.penalties import subject
from gradlab.parts.schedules import Now
from gradlab.probes.family import Moment, Probe
from gradlab.recipe import Recipe

COUNTS = ("zeros", "infs", "nans")
SEARCH = 2**31 - 1  # the stream of a step's key that a search draws from; blocks have small numbers
STEP_COLUMNS = (
    "loss",
    "penalty",
    "learning_rate",
    "log10_gradient",
    "log10_unclipped",
    "log10_clipped",
    "clip_cosine",
    "clipped",
    "weight_zeros",
    "phase",
    "evaluations",
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
    lead = chain.lead(setup.chain, params)
    return State(
        params, stats, setup.optimizer.init(params, lead), setup.clip.init(params), setup.schedule.init()
    )


def _loss(
    setup: Setup, recipe: Recipe, stats: Tree, x: Array, y: Array, key: Array, **looks: Any
) -> Callable[[Tree, Dummies | None], tuple[Array, Any]]:
    """The batch's mean data loss as a function of the parameters (and the taps' dummies)."""

    def objective(params: Tree, probes: Dummies | None = None) -> tuple[Array, Any]:
        output, after, told = chain.forward(
            setup.chain, params, stats, x, key, train=True, probes=probes, remat=recipe.remat, **looks
        )
        return jnp.mean(setup.loss(output.astype(numerics.compute_dtype(output)), y)), (after, told)

    return objective


def slopes(
    setup: Setup, recipe: Recipe, state: State, x: Array, y: Array, key: Array, measured: bool
) -> Slopes:
    """Loss and gradient on one batch, with taps where `measured`."""
    blanks = chain.dummies(setup.chain, state.params) if measured else None
    ask = _signals(setup.probes) if measured else None
    objective = _loss(setup, recipe, state.stats, x, y, key, ask=ask)
    # the dummies' zeros are differentiated by only where there are taps
    wanted = (0, 1) if measured else (0,)
    (value, (stats, told)), found = jax.value_and_grad(objective, wanted, has_aux=True)(state.params, blanks)
    return Slopes(value, found[0], stats, found[1] if measured else None, told)


def _accumulated(
    setup: Setup, recipe: Recipe, state: State, x: Array, y: Array, key: Array, measured: bool
) -> Slopes:
    """The same over `accumulate` equal micro-batches: mean loss, mean gradient; the first one is measured."""
    parts = recipe.accumulate
    if parts == 1:
        return slopes(setup, recipe, state, x, y, key, measured)
    cut = lambda whole: whole.reshape(parts, len(whole) // parts, *whole.shape[1:])
    (xs, ys), keys = (cut(x), cut(y)), jax.random.split(key, parts)
    first = slopes(setup, recipe, state, xs[0], ys[0], keys[0], measured)

    def add(total: tuple[Array, Tree, Tree], part: Any) -> tuple[tuple[Array, Tree, Tree], None]:
        (loss, grads, stats), (x, y, key) = total, part
        found = slopes(setup, recipe, state._replace(stats=stats), x, y, key, measured=False)
        return (loss + found.loss, jax.tree.map(jnp.add, grads, found.grads), found.stats), None

    rest = (xs[1:], ys[1:], keys[1:])
    (loss, grads, stats), _ = jax.lax.scan(add, (first.loss, first.grads, first.stats), rest)
    return first._replace(loss=loss / parts, grads=jax.tree.map(lambda g: g / parts, grads), stats=stats)


def _forward(setup: Setup, recipe: Recipe, state: State, x: Array, y: Array, key: Array) -> Slopes:
    """Loss and statistics alone, for an optimizer that needs no gradient."""
    value, (stats, told) = _loss(setup, recipe, state.stats, x, y, key)(state.params, None)
    return Slopes(value, jax.tree.map(jnp.zeros_like, state.params), stats, None, told)


def _batch(setup: Setup, recipe: Recipe, stats: Tree, x: Array, y: Array, key: Array) -> Batch:
    """The same batch, for an optimizer that looks at other parameters than θ."""
    objective = _loss(setup, recipe, stats, x, y, key)
    loss = lambda params: objective(params, None)[0]
    return Batch(loss, jax.grad(loss))


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
    rule = setup.optimizer
    if rule.free and not measured:
        back = _forward(setup, recipe, state, *batch, key)
    else:
        back = _accumulated(setup, recipe, state, *batch, key, measured)
    lead = chain.lead(setup.chain, state.params)
    memory = rule.enter(state.optimizer, time[0], back.loss)
    elsewhere = _batch(setup, recipe, state.stats, *batch, key)
    found = back.grads
    if rule.search is not None:
        found, memory = rule.search(state.params, memory, found, jax.random.fold_in(key, SEARCH), elsewhere)
    penalty, grads = jnp.zeros(()), found
    if setup.penalty is not None:
        penalty, grads = _alone(lambda w, g: _penalized(setup, w, g, lead), time[0])(state.params, found)
    clipped, clip_state = grads, state.clip
    record: dict[str, Array] = {}
    if setup.clip.where == "gradient":
        clipped, clip_state, record = setup.clip.apply(grads, state.clip, state.params, lead)
    given = numerics.log2_norms(clipped, lead).whole.log2()  # taken only where the schedule asks for it
    factor, schedule_state = setup.schedule.apply(Now(*time, back.loss, given, setup.lr), state.schedule)
    rate = setup.lr * factor
    held = Given(rate, setup.lr, time[0], back.loss, lead, elsewhere)
    update = lambda g, m, w: rule.update(g, m, w, held)
    if jax.tree.leaves(memory):  # a rule without a memory has no sums
        update = _alone(update, time[0])
    move, optimizer_state = update(clipped, memory, state.params)
    before, after = grads, clipped
    if setup.clip.where == "update":
        own = rate if move.rate is None else move.rate
        before = {path: (own * value).astype(value.dtype) for path, value in move.direction.items()}
        after, clip_state, record = setup.clip.apply(before, state.clip, state.params, lead)
        move = move._replace(direction=after, rate=jnp.ones(()))
    move = _beside(setup, state.params, move, rate, lead)
    next_state = State(state.params, back.stats, optimizer_state, clip_state, schedule_state)
    if "skip" in record:
        kept = lambda old, new: jax.tree.map(lambda one, two: jnp.where(record["skip"], one, two), old, new)
        move = move._replace(direction=kept(jax.tree.map(jnp.zeros_like, move.direction), move.direction))
        next_state = next_state._replace(optimizer=kept(memory, optimizer_state))
    row, applied = None, rate if move.rate is None else move.rate
    if measured:
        norms = numerics.log2_norms(back.grads, lead)
        total = norms.whole
        if setup.penalty is not None or rule.search is not None:
            # of what back-propagation gives, which a search does not use
            own = grads if rule.search is None else _penalized(setup, state.params, back.grads, lead)[1]
            total = numerics.log2_norms(own, lead).whole
        seen = total if before is grads and rule.search is None else numerics.log2_norms(before, lead).whole
        spent = time[0] * rule.cost if rule.spent is None else rule.spent(time[0], memory)
        steps = [
            back.loss,
            penalty,
            rate,
            numerics.LOG10_2 * total.log2(),
            *_clipping(seen, before, after, record, lead),
        ]
        steps += [_zeros(setup, state.params, lead), rule.phase(memory), spent]
        moment = Moment(
            state.params, back.grads, norms, _true(setup, back, norms), move.direction, applied, lead
        )
        parameters, counts = _parameters(setup.probes, moment)
        row = Row(_layers(setup, back, len(batch[1]) // recipe.accumulate), parameters, counts, _stack(steps))
        # everything is measured before the update, which then needs no second copy of the parameters
        # (the rate stays outside: behind a barrier it would change last bits)
        next_state, direction, row = jax.lax.optimization_barrier((next_state, move.direction, row))
        move = move._replace(direction=direction)
    updates = {path: (-applied * value).astype(value.dtype) for path, value in move.direction.items()}
    return next_state._replace(params=optax.apply_updates(next_state.params, updates)), row


def _alone(function: Callable[..., Any], step: Array) -> Callable[..., Any]:
    """`function` as a computation of its own (the branch of a condition that always holds).

    Fused with its neighbours, a sum of products rounds by what these are, so that measuring would change bits.
    """

    def call(*given: Any) -> Any:
        shapes = jax.eval_shape(function, *given)
        blank = lambda: jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
        return jax.lax.cond(step >= 0, lambda: function(*given), blank)

    return call


def _penalized(setup: Setup, params: Tree, grads: Tree, lead: dict[str, int]) -> tuple[Array, Tree]:
    """The penalty, and its gradient added to the data loss's where it is part of the loss."""
    rule = setup.penalty
    if rule is None:
        return jnp.zeros(()), grads
    own = subject(params, lead, rule.mask)
    if not rule.smooth:
        return rule.value(list(own.values())), grads
    value, added = jax.value_and_grad(lambda own: rule.value(list(own.values())))(own)
    return value, grads | {path: grads[path] + one for path, one in added.items()}


def _beside(setup: Setup, params: Tree, move: Move, rate: Array, lead: dict[str, int]) -> Move:
    """The move with what no clip sees: decoupled decay, factors by path, and the proximal step of all."""
    direction, rule = dict(move.direction), setup.penalty
    added = [move.decay or {}]
    if rule is not None and rule.decay is not None:
        added.append({path: rule.decay * w for path, w in subject(params, lead, rule.mask).items()})
    unit = 1.0 if move.rate is None else rate
    for path, value in [pair for tree in added for pair in tree.items()]:
        direction[path] = direction[path] + (unit * value).astype(value.dtype)
    factors = setup.factors(lead, params)
    direction |= {
        path: jnp.where(one == 0, 0, one * direction[path]).astype(direction[path].dtype)
        for path, one in factors.items()
    }
    if rule is None or rule.shrink is None:
        return move._replace(direction=direction)
    own = rate if move.rate is None else move.rate
    direction = {path: (own * value).astype(value.dtype) for path, value in direction.items()}
    for path, w in subject(params, lead, rule.mask).items():
        after, least = w - direction[path], rate * rule.shrink * factors.get(path, 1.0)
        direction[path] = w - (jnp.sign(after) * jnp.maximum(jnp.abs(after) - least, 0)).astype(w.dtype)
    return Move(direction, jnp.ones(()))


def _zeros(setup: Setup, params: Tree, lead: dict[str, int]) -> Array:
    """The share of penalized parameters that are exactly zero; NaN where no penalty makes any."""
    if setup.penalty is None or not setup.penalty.sparse:
        return jnp.full((), jnp.nan)
    own = list(subject(params, lead, setup.penalty.mask).values())
    return jnp.asarray(sum(jnp.sum(w == 0) for w in own) / sum(w.size for w in own))


def _clipping(
    whole: numerics.Length, grads: Tree, clipped: Tree, record: dict[str, Array], lead: dict[str, int]
) -> list[Array]:
    """log10 of the norm before and after the clip, their cosine, the share of entries changed."""
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
