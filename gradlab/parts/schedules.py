"""Schedules: (now, state) -> (factor, state); the factor multiplies the peak `lr`.

Most are of time: they begin at the first update and are at their end at the last, T − 1, and there they stay.
Three follow the loss: plateau, loss_power and polyak. Before any of them may stand a warm-up.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from gradlab.parts.family import Family, UserFunction
from gradlab.recipe.bounds import Bound, Flag, Fraction, Many, NonNegative, Number, Positive, Share
from gradlab.recipe.errors import RecipeError

FOLLOWING = ("plateau", "loss_power", "polyak")  # these know no horizon


class ScheduleContext(NamedTuple):
    """What a schedule may see of the step that is about to be made."""

    step: Array  # how many updates were made before
    total_steps: Array  # the recipe's `steps`
    loss: Array  # mean data loss of the batch
    log2_gradient: Array  # log2 of the norm of the gradient that the optimizer is given
    lr: Array | float  # the peak rate, which the factor multiplies


class Schedule(NamedTuple):
    """Its state before the first step, and the rule."""

    init: Callable[[], Any]
    apply: Callable[[ScheduleContext, Any], tuple[Array, Any]]


Time = Callable[[Array, Array], Array]  # (step, horizon) -> factor


def _of_time(factor: Time) -> Schedule:
    return Schedule(lambda: (), lambda now, state: (factor(now.step, now.total_steps), state))


def _paced(made: Schedule, warmup: Array, horizon: Array) -> Schedule:
    """The schedule after a warm-up and over a horizon of its own, with its time starting where the warm-up ends.

    The factor rises as (t + 1)/(warmup + 1) to the schedule's own first one, so that no step is of rate 0
    (Goyal et al. 2017); the state waits. At and after the horizon the factor is the last step's.
    """

    def apply(now: ScheduleContext, state: Any) -> tuple[Array, Any]:
        rest = jnp.maximum(jnp.where(horizon > 0, horizon, now.total_steps) - warmup, 0)
        time = jnp.clip(now.step - warmup, 0, jnp.maximum(rest - 1, 0))
        factor, after = made.apply(now._replace(step=time, total_steps=rest), state)
        rise = jnp.minimum(1.0, (now.step + 1) / (warmup + 1))
        waits = now.step < warmup
        return rise * factor, jax.tree.map(lambda old, new: jnp.where(waits, old, new), state, after)

    return Schedule(made.init, apply)


schedule = Family(
    "schedule",
    own=UserFunction(2, _of_time),  # a function of one's own: (step, horizon) -> factor
    common={"warmup": NonNegative, "horizon": NonNegative},
    wrap=_paced,
)


def _share(step: Array, horizon: Array) -> Array:
    """How much of the way is done: 0 at the first update, 1 at the last and after."""
    return jnp.minimum(1.0, step / jnp.maximum(horizon - 1, 1))


@schedule
def constant() -> Schedule:
    """factor = 1."""
    return _of_time(lambda step, horizon: jnp.ones(()))


@schedule
def linear(end: NonNegative) -> Schedule:
    """factor = 1 + (end − 1)·min(1, t/(T − 1)): from 1 at the first update to `end` at the last, never below 0."""
    return _of_time(lambda step, horizon: 1 + (end - 1) * _share(step, horizon))


@schedule
def polynomial(power: Positive, end: NonNegative) -> Schedule:
    """factor = end + (1 − end)·(1 − u)^power, u = min(1, t/(T − 1)): without the min a complex number after T."""
    return _of_time(lambda step, horizon: end + (1 - end) * (1 - _share(step, horizon)) ** power)


@schedule
def cosine(end: NonNegative) -> Schedule:
    """factor = end + (1 − end)·(1 + cos πu)/2, u = min(1, t/(T − 1)) (Loshchilov & Hutter 2017, one period)."""
    return _of_time(lambda step, horizon: _bow(1.0, end, _share(step, horizon)))


def _bow(start: Any, end: Any, share: Array) -> Array:
    """Half a cosine from `start` to `end`."""
    return end + (start - end) * (1 + jnp.cos(jnp.pi * share)) / 2


@schedule
def one_cycle(start: NonNegative, rise: Fraction, end: NonNegative) -> Schedule:
    """Half a cosine from `start` up to 1 over the share `rise` of the steps, another down to `end` (Smith 2018).

    Its shape and its numbers are Optax's: start = 1/div_factor, end = start/final_div_factor, peak at rise·(T − 1);
    PyTorch's peak is one step before rise·T. The momentum does not cycle.
    """

    def factor(step: Array, horizon: Array) -> Array:
        share = _share(step, horizon)
        up, down = _bow(start, 1.0, share / rise), _bow(1.0, end, (share - rise) / (1 - rise))
        return jnp.where(share < rise, up, down)

    return _of_time(factor)


@schedule
def exponential(rate: Positive, period: Positive, staircase: Flag) -> Schedule:
    """factor = rate^(t/period): multiplied by `rate` every `period` steps, smoothly, or at once as a staircase."""
    return _of_time(lambda step, horizon: rate ** (step // period if staircase else step / period))


@schedule
def step(rate: Positive, period: Positive) -> Schedule:
    """factor = rate^⌊t/period⌋: multiplied by `rate` at the updates number period, 2·period, …"""
    return _of_time(lambda step, horizon: rate ** (step // period))


def _rising(milestones: list[float], **others: float) -> None:
    if any(one >= two for one, two in pairwise(milestones)):
        raise RecipeError(f"schedule.milestones={milestones} must rise; give each step once, in order")


@schedule.checked(_rising)
def milestones(milestones: Annotated[list[float], Many(Bound(float, 0))], rate: Positive) -> Schedule:
    """factor = rate^(how many milestones are ≤ t): a milestone takes effect at the update of its number."""
    places = jnp.asarray(milestones, float)
    return _of_time(lambda step, horizon: rate ** jnp.sum(step >= places))


@schedule
def inverse_sqrt(period: Positive) -> Schedule:
    """factor = 1/√(1 + t/period); with warmup = period it is the Transformer's (Vaswani et al. 2017)."""
    return _of_time(lambda step, horizon: 1 / jnp.sqrt(1 + step / period))


@schedule
def range_(low: Fraction) -> Schedule:
    """factor = low^(1 − u), u = min(1, t/(T − 1)): up to 1, for the range test of `lr-find` (Smith 2017)."""
    return _of_time(lambda step, horizon: low ** (1 - _share(step, horizon)))


@schedule
def plateau(
    rate: Fraction,
    patience: Annotated[float, Bound(float, 1)],
    threshold: Share,
    window: Annotated[float, Bound(float, 1)],
    cooldown: NonNegative,
    low: NonNegative,
) -> Schedule:
    """Times `rate`, not below `low`, when the loss has not fallen below (1 − threshold)·best for `patience` windows.

    A window is the mean of so many batch losses; after a cut, `cooldown` windows do not count. The rule is that of
    `optax.contrib.reduce_on_plateau`: it cuts when the bad windows are `patience`, PyTorch's when they are more.
    The cut holds for the very step whose loss completes the window.
    """

    def init() -> tuple[Array, ...]:
        one, zero = jnp.ones(()), jnp.zeros(())
        return one, jnp.full((), jnp.inf, float), zero, zero, zero, zero

    def apply(now: ScheduleContext, state: tuple[Array, ...]) -> tuple[Array, tuple[Array, ...]]:
        factor, best, bad, rest, total, count = state
        total, count = total + now.loss.astype(total.dtype), count + 1
        full = count >= window
        mean = total / count
        better = mean < (1 - threshold) * best
        waits = rest > 0
        bad_now = jnp.where(better | waits, 0.0, bad + 1)
        cut = bad_now >= patience
        seen = (
            jnp.where(cut, jnp.maximum(factor * rate, low), factor),
            jnp.where(better, mean, best),
            jnp.where(cut, 0.0, bad_now),
            jnp.where(waits, rest - 1, jnp.where(cut, cooldown, 0.0)),
            jnp.zeros(()),
            jnp.zeros(()),
        )
        after = tuple(
            jnp.where(full, new, old).astype(was.dtype)
            for new, old, was in zip(seen, (factor, best, bad, rest, total, count), state, strict=True)
        )
        return after[0], after

    return Schedule(init, apply)


def _ordered(low: float, high: float, **others: float) -> None:
    if low > high:
        raise RecipeError(f"schedule.low={low} is above schedule.high={high}; give a smaller one")


@schedule.checked(_ordered)
def loss_power(rate: Positive, low: NonNegative, high: Positive) -> Schedule:
    """factor = rate^loss within [low, high]: unbounded, a loss of 10⁴ ends training and a negative one speeds it."""

    def apply(now: ScheduleContext, state: Any) -> tuple[Array, Any]:
        factor = jnp.clip(rate**now.loss, low, high)
        return jnp.where(jnp.isnan(factor), low, factor), state

    return Schedule(lambda: (), apply)


@schedule
def polyak(f_star: Number) -> Schedule:
    """lr·factor = (loss − f_star)/‖g‖², at most lr: the step that a convex loss of least value f_star allows.

    ‖g‖ is the length of the gradient that the optimizer is given, so a clip shortens it (Polyak 1987).
    """

    def apply(now: ScheduleContext, state: Any) -> tuple[Array, Any]:
        gap = now.loss - f_star
        share = jnp.log2(jnp.maximum(gap, 0)) - 2 * now.log2_gradient - jnp.log2(now.lr)
        factor = jnp.exp2(jnp.minimum(share, 0))
        return jnp.where((gap > 0) & ~jnp.isnan(factor), factor, 0.0), state

    return Schedule(lambda: (), apply)


def remarks(part: dict[str, Any], steps: int) -> list[str]:
    """What is odd about this schedule over so many steps, in words."""
    told = []
    warmup, own = part["warmup"], part["horizon"]
    end = min(own or steps, steps)
    if own and part["name"] in FOLLOWING:
        told.append(f"schedule={part['name']} follows the loss: schedule.horizon={own:g} means nothing to it")
    elif 0 < own < steps:
        told.append(f"the schedule ends at step {own:g} of {steps}: from there its last factor stays")
    elif own > steps:
        told.append(f"the run ends at step {steps}, before the schedule does at {own:g}")
    if warmup and warmup >= steps:
        told.append(f"the warm-up of {warmup:g} steps is not over when the run ends at step {steps}")
    elif own and warmup >= own:
        told.append(f"the warm-up of {warmup:g} steps leaves nothing of the schedule's horizon of {own:g}")
    late = [one for one in part.get("milestones", []) if one + warmup >= end]
    if late and steps:
        words = ", ".join(f"{one:g}" for one in late)
        after = f" after a warm-up of {warmup:g}" if warmup else ""
        told.append(f"schedule.milestones {words}{after} come after the last step, {end - 1:g}")
    if part["name"] == "step" and steps and part["period"] + warmup >= end:
        told.append(f"schedule.period={part['period']:g} is never over: the factor stays what it is")
    return told
