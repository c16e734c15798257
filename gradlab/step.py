"""One step of training and what is measured of it: pure functions, traced into the programs of `program.py`."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from gradlab import numerics
from gradlab.build import Setup
from gradlab.models import chain
from gradlab.models.chain import Backward, Tree
from gradlab.parts.penalties import subject
from gradlab.probes.family import Moment, Probe
from gradlab.recipe import Recipe
from gradlab.scheme import Here, Scheme, State, penalized, scheme
from gradlab.slopes import Scene, Slopes, accumulated, elsewhere, forward

COUNTS = ("zeros", "infs", "nans")
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


class Row(NamedTuple):
    """What one step measured: columns × layers, columns × parameters, their whole counts, step columns.

    notes: the blocks' inner measures; times: log10 of the backward signal at time steps, h_t and c_t.
    """

    layers: Array
    parameters: Array
    counts: Array
    steps: Array
    notes: Array
    times: Array


def initial(setup: Setup, key: Array, x: Array) -> State:
    """The state before the first step; `x` is a batch for initializers that look at the data."""
    params, stats = chain.initialize(setup.chain, key)
    if setup.adjust is not None:
        params = setup.adjust(setup.chain, params, stats, x)
    lead = chain.lead(setup.chain, params)
    return State(
        params, stats, setup.optimizer.init(params, lead), setup.clip.init(params), setup.schedule.init()
    )


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
    scene, lead = Scene(setup, recipe, state.stats, *batch, key), chain.lead(setup.chain, state.params)
    needed = measured or not setup.optimizer.free
    back = accumulated(scene, state.params, measured) if needed else forward(scene, state.params)
    now = Here(*time, back.loss, back.grads, elsewhere(scene), key)
    found = scheme(setup, state, back.stats, now, lead)
    after, direction, row = found.state, found.direction, None
    if measured:
        terms = _terms(batch[1], recipe.accumulate)
        row = _row(setup, state.params, back, found, lead, time[0], terms)
        # everything is measured before the update, which then needs no second copy of the parameters
        # (the rate stays outside: behind a barrier it would change last bits)
        after, direction, row = jax.lax.optimization_barrier((after, direction, row))
    updates = {path: (-found.rate * value).astype(value.dtype) for path, value in direction.items()}
    return after._replace(params=optax.apply_updates(after.params, updates)), row


def _row(
    setup: Setup,
    params: Tree,
    back: Slopes,
    found: Scheme,
    lead: dict[str, int],
    step: Array,
    batch: Array | int,
) -> Row:
    """All columns of one step; `batch` is how many terms the mean loss had."""
    assert back.seen is not None
    rule, norms = setup.optimizer, numerics.log2_norms(back.grads, lead)
    whole = norms.whole  # of the gradient by back-propagation, which a search does not use
    if setup.penalty is not None:
        grads = found.gradient
        if rule.search is not None:
            _, grads = penalized(setup, params, back.grads, lead, step)
        whole = numerics.log2_norms(grads, lead).whole
    same = rule.search is None and found.unclipped is found.gradient
    given = whole if same else numerics.log2_norms(found.unclipped, lead).whole
    steps = [back.loss, found.penalty, found.rate_in_use, numerics.LOG10_2 * whole.log2()]
    steps += _clipping(given, found.unclipped, found.clipped, found.record, lead)
    spent = step * rule.cost if rule.spent is None else rule.spent(step, found.memory)
    steps += [_zeros(setup, params, lead), rule.phase(found.memory), spent]
    true = chain.true_norms(setup.chain, back.seen, norms.leaves)
    moment = Moment(params, back.grads, norms, true, found.direction, found.rate, lead)
    record = chain.backward(setup.chain, back.seen, batch)
    times = [numerics.LOG10_2 * (part + record.half_log2_batch).reshape(-1) for part in record.times]
    return Row(
        _layers(setup, back, record),
        *_parameters(setup.probes, moment),
        _stack(steps),
        _flat(
            [
                told.inner[name]
                for block, told in zip(setup.chain, back.told, strict=True)
                for name in block.told
            ]
        ),
        _flat(times),
    )


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


def _layers(setup: Setup, back: Slopes, record: Backward) -> Array:
    """Columns × layers; where a block has no activation its entry is 0 and the host writes null."""
    signal = [probe for probe in setup.probes if probe.signal]
    all_columns = [column for probe in signal for column in probe.columns]
    present = [column for probe in signal if not probe.active for column in probe.columns]
    columns: dict[str, list[Array]] = {column: [] for column in all_columns}
    for block, told in zip(setup.chain, back.told, strict=True):
        have = all_columns if block.active else present
        values = dict(zip(have, jnp.moveaxis(told.columns, -1, 0), strict=False))
        for column in all_columns:
            columns[column].append(values.get(column, jnp.zeros(block.layers)).reshape(-1))
    rows = [jnp.concatenate(parts) for parts in columns.values()]
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


def _terms(y: Array, parts: int) -> Array | int:
    """How many answers a loss is the mean of, in one of `parts` micro-batches."""
    labels = jnp.issubdtype(y.dtype, jnp.integer) and y.ndim > 1
    return jnp.sum(y[: len(y) // parts] >= 0) if labels else len(y) // parts


def _flat(values: list[Array]) -> Array:
    return jnp.concatenate([value.astype(jnp.float32).reshape(-1) for value in values] or [jnp.zeros(0)])


def _stack(values: list[Array]) -> Array:
    return jnp.stack([value.astype(jnp.float32) for value in values])
