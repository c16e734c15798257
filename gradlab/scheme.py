"""From a gradient to an update, in this order: search, penalty, clip, schedule, optimizer; and beside them decay,
factors by path, the proximal step.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from gradlab import numerics
from gradlab.build import Setup
from gradlab.models.chain import Tree
from gradlab.parts.optimizers import Batch, Given, Move
from gradlab.parts.penalties import subject
from gradlab.parts.schedules import Now

SEARCH = 2**31 - 1  # the stream of a step's key that a search draws from; blocks have small numbers


class State(NamedTuple):
    """What training carries from step to step; all randomness comes from the seed and the step."""

    params: Tree
    stats: Tree
    optimizer: Any
    clip: Any
    schedule: Any


class Here(NamedTuple):
    """Of the step that is about to be made: its number, the run's length, the batch's loss and its gradient."""

    step: Array
    horizon: Array
    loss: Array
    gradient: Tree
    batch: Batch
    key: Array


class Scheme(NamedTuple):
    """How an update came about. Δθ = −rate·direction; `unclipped` and `clipped`: what the clip was given and gave."""

    state: State  # with all but the parameters moved on
    direction: Tree
    rate: Array
    rate_in_use: Array  # peak times schedule
    penalty: Array
    gradient: Tree  # in use, with the penalty's
    unclipped: Tree
    clipped: Tree
    record: dict[str, Array]  # what the clip says it did
    memory: Any  # the optimizer's state at this step, before its update


def scheme(setup: Setup, state: State, stats: Tree, now: Here, lead: dict[str, int]) -> Scheme:
    """The update of one step, which takes the running statistics to `stats`; a dropped step changes none of them."""
    rule, params = setup.optimizer, state.params
    memory = rule.enter(state.optimizer, now.step, now.loss, params, lead)
    grads = now.gradient
    if rule.search is not None:
        key = jax.random.fold_in(now.key, SEARCH)
        grads, memory = rule.search(params, memory, grads, key, now.batch)
    penalty, grads = penalized(setup, params, grads, lead, now.step)
    clipped, clip = grads, state.clip
    record: dict[str, Array] = {}
    if setup.clip.where == "gradient":
        clipped, clip, record = setup.clip.apply(grads, state.clip, params, lead)

    norm = numerics.log2_norms(clipped, lead).whole.log2()  # taken only where the schedule asks for it
    peak = setup.lr if rule.pace is None else rule.pace(memory, setup.lr)
    factor, schedule = setup.schedule.apply(Now(now.step, now.horizon, now.loss, norm, peak), state.schedule)
    rate = peak * factor
    given = Given(rate, now.step, now.loss, lead, now.batch)
    update = lambda grads, memory, params: rule.update(grads, memory, params, given)
    if jax.tree.leaves(memory):  # a rule without a memory has no sums
        update = _alone(update, now.step)
    move, optimizer = update(clipped, memory, params)

    before, after = grads, clipped
    if setup.clip.where == "update":
        before = move.scaled(rate)
        after, clip, record = setup.clip.apply(before, state.clip, params, lead)
        move = move._replace(direction=after, rate=jnp.ones(()))
    move = _beside(setup, params, move, rate, lead)
    if "skip" in record:
        kept = lambda old, new: jax.tree.map(lambda one, two: jnp.where(record["skip"], one, two), old, new)
        move = move._replace(direction=kept(jax.tree.map(jnp.zeros_like, move.direction), move.direction))
        optimizer, stats = kept(memory, optimizer), kept(state.stats, stats)
    return Scheme(
        State(state.params, stats, optimizer, clip, schedule),
        move.direction,
        move.paced(rate),
        rate,
        penalty,
        grads,
        before,
        after,
        record,
        memory,
    )


def penalized(
    setup: Setup, params: Tree, grads: Tree, lead: dict[str, int], step: Array
) -> tuple[Array, Tree]:
    """The penalty, and its gradient added to the data loss's where it is part of the loss."""
    rule = setup.penalty
    if rule is None:
        return jnp.zeros(()), grads

    def both(params: Tree, grads: Tree) -> tuple[Array, Tree]:
        own = subject(params, lead, rule.mask)
        if not rule.smooth:
            return rule.value(list(own.values())), grads
        value, added = jax.value_and_grad(lambda own: rule.value(list(own.values())))(own)
        return value, grads | {path: grads[path] + one for path, one in added.items()}

    found: tuple[Array, Tree] = _alone(both, step)(params, grads)
    return found


def _alone(function: Callable[..., Any], step: Array) -> Callable[..., Any]:
    """`function` as a computation of its own (the branch of a condition that always holds).

    Fused with its neighbours, a sum of products rounds by what these are, so that measuring would change bits.
    """

    def call(*given: Any) -> Any:
        shapes = jax.eval_shape(function, *given)
        blank = lambda: jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
        return jax.lax.cond(step >= 0, lambda: function(*given), blank)

    return call


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
    direction = move._replace(direction=direction).scaled(rate)
    for path, w in subject(params, lead, rule.mask).items():
        after, least = w - direction[path], rate * rule.shrink * factors.get(path, 1.0)
        direction[path] = w - (jnp.sign(after) * jnp.maximum(jnp.abs(after) - least, 0)).astype(w.dtype)
    return Move(direction, jnp.ones(()))
