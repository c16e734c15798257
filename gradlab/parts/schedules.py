"""Schedules: (context, state) -> (factor, state); the factor multiplies the peak learning rate `lr`.

Most depend on the step alone: t counts the updates that were made before, 0 at the first and T − 1 at the last of T.
linear, polynomial and cosine fall over T updates, as Optax's and PyTorch's do: the last update is made at t = T − 1,
before the end is reached, and still moves; past a horizon T they stay at their end. one_cycle and range reach their
end at the last update. Three follow the loss: plateau, loss_power and polyak. Each may begin with a warm-up.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from gradlab.numerics.tree import select
from gradlab.parts.family import Family, UserFunction
from gradlab.recipe.bounds import Bound, Flag, Fraction, Many, NonNegative, Number, Positive, Share
from gradlab.recipe.errors import RecipeError

FOLLOWING = ("plateau", "loss_power", "polyak")  # these follow the loss and use no total_steps


class ScheduleContext(NamedTuple):
    """What a schedule may see of the step that is about to be taken, all scalars.

    step: how many updates were made before; total_steps: the recipe's `steps`, or the schedule's own horizon.
    loss: mean data loss of the batch; log2_gradient: log2 of the norm of the gradient that the optimizer is given.
    peak_lr: the peak learning rate, which the factor multiplies.
    """

    step: Array
    total_steps: Array
    loss: Array
    log2_gradient: Array
    peak_lr: Array | float


class Schedule(NamedTuple):
    """init: () -> state before the first step; apply: (context, state) -> (factor, state), the factor a scalar."""

    init: Callable[[], Any]
    apply: Callable[[ScheduleContext, Any], tuple[Array, Any]]


StepFactor = Callable[[Array, Array], Array]  # (step, total steps) -> factor


class PlateauState(NamedTuple):
    """What a plateau schedule carries, () each; counts are floats, as the numbers that they are compared with."""

    factor: Array
    best: Array  # the lowest mean loss of a window
    bad_windows: Array  # without a new lowest loss, in a row
    cooling: Array  # windows of cooldown left
    total_loss: Array  # of the window that is not full yet
    losses: Array  # how many of them


def _stateless(factor: StepFactor) -> Schedule:
    """The schedule of a function (step, total steps) -> factor; past the last step the factor stays as it was there."""

    def apply(context: ScheduleContext, state: Any) -> tuple[Array, Any]:
        last = jnp.maximum(context.total_steps - 1, 0)
        return factor(jnp.minimum(context.step, last), context.total_steps), state

    return Schedule(lambda: (), apply)


def _falling(shape: Callable[[Array], Array]) -> Schedule:
    """The schedule whose factor is a function of u = min(1, t/T)."""

    def apply(context: ScheduleContext, state: Any) -> tuple[Array, Any]:
        total_steps = jnp.where(context.total_steps > 0, context.total_steps, 1)
        return shape(jnp.minimum(1.0, context.step / total_steps)), state

    return Schedule(lambda: (), apply)


def _with_warmup(schedule: Schedule, warmup: Array, horizon: Array) -> Schedule:
    """The schedule after a warm-up, over `horizon` steps in all (0: the recipe's).

    The factor rises as (t + 1)/(warmup + 1) to the schedule's first factor, so that no step has the rate 0
    (Goyal et al. 2017); the schedule's state and its own steps begin after the warm-up. From the horizon on, the factor
    stays that of the schedule's end.
    """

    def apply(context: ScheduleContext, state: Any) -> tuple[Array, Any]:
        total_steps = jnp.maximum(jnp.where(horizon > 0, horizon, context.total_steps) - warmup, 0)
        step = jnp.clip(context.step - warmup, 0, total_steps)
        factor, after = schedule.apply(context._replace(step=step, total_steps=total_steps), state)
        rise = jnp.minimum(1.0, (context.step + 1) / (warmup + 1))
        waits = context.step < warmup
        return rise * factor, select(waits, state, after)

    return Schedule(schedule.init, apply)


schedule = Family(
    "schedule",
    user_function=UserFunction(2, _stateless),  # a user-defined function: (step, total steps) -> factor
    common={"warmup": NonNegative, "horizon": NonNegative},
    wrap=_with_warmup,
)


def _progress(step: Array, total_steps: Array) -> Array:
    """The fraction of the steps that are done: 0 at the first update, 1 at the last and after."""
    return jnp.minimum(1.0, step / jnp.maximum(total_steps - 1, 1))


@schedule
def constant() -> Schedule:
    """factor = 1."""
    return _stateless(lambda step, total_steps: jnp.ones(()))


@schedule
def linear(end: NonNegative) -> Schedule:
    """factor = 1 + (end − 1)·min(1, t/T): from 1 at the first update to `end` after T of them."""
    return _falling(lambda u: 1 + (end - 1) * u)


@schedule
def polynomial(power: Positive, end: NonNegative) -> Schedule:
    """factor = end + (1 − end)·(1 − u)^power, u = min(1, t/T): without the min a complex number after T."""
    return _falling(lambda u: end + (1 - end) * (1 - u) ** power)


@schedule
def cosine(end: NonNegative) -> Schedule:
    """factor = end + (1 − end)·(1 + cos πu)/2, u = min(1, t/T) (Loshchilov & Hutter 2017, one period)."""
    return _falling(lambda u: _half_cosine(1.0, end, u))


def _half_cosine(start: float, end: float, progress: Array) -> Array:
    """Half a cosine from `start` at progress 0 to `end` at progress 1."""
    return end + (start - end) * (1 + jnp.cos(jnp.pi * progress)) / 2


@schedule
def one_cycle(start: NonNegative, rise: Fraction, end: NonNegative) -> Schedule:
    """Half a cosine from `start` up to 1 over the fraction `rise` of the steps, another down to `end` (Smith 2018).

    It ends at the last update, u = t/(T − 1). Its shape and its numbers are Optax's: start = 1/div_factor,
    end = start/final_div_factor, peak at rise·(T − 1);
    PyTorch's peak is one step before rise·T. The momentum does not cycle.
    """

    def factor(step: Array, total_steps: Array) -> Array:
        progress = _progress(step, total_steps)
        up = _half_cosine(start, 1.0, progress / rise)
        down = _half_cosine(1.0, end, (progress - rise) / (1 - rise))
        return jnp.where(progress < rise, up, down)

    return _stateless(factor)


@schedule
def exponential(rate: Positive, period: Positive, staircase: Flag) -> Schedule:
    """factor = rate^(t/period): multiplied by `rate` every `period` steps, smoothly, or at once as a staircase."""
    return _stateless(lambda step, total_steps: rate ** (step // period if staircase else step / period))


@schedule
def step(rate: Positive, period: Positive) -> Schedule:
    """factor = rate^⌊t/period⌋: multiplied by `rate` at the updates number period, 2·period, …"""
    return _stateless(lambda step, total_steps: rate ** (step // period))


def _check_rising(milestones: list[float], **other_values: float) -> None:
    """Refuse milestones out of order.

    Raises:
        RecipeError: a milestone is not above the one before it.
    """
    if any(first >= second for first, second in pairwise(milestones)):
        raise RecipeError(f"schedule.milestones={milestones} must rise; give each step once, in order")


@schedule.checked(_check_rising)
def milestones(milestones: Annotated[list[float], Many(Bound(float, 0))], rate: Positive) -> Schedule:
    """factor = rate^(how many milestones are ≤ t): a milestone takes effect at the update of its number."""
    steps = jnp.asarray(milestones, float)
    return _stateless(lambda step, total_steps: rate ** jnp.sum(step >= steps))


@schedule
def inverse_sqrt(period: Positive) -> Schedule:
    """factor = 1/√(1 + t/period); with warmup = period it is the Transformer's (Vaswani et al. 2017)."""
    return _stateless(lambda step, total_steps: 1 / jnp.sqrt(1 + step / period))


@schedule
def range_(low: Fraction) -> Schedule:
    """factor = low^(1 − u), u = min(1, t/(T − 1)): up to 1, for the range test of `lr-find` (Smith 2017)."""
    return _stateless(lambda step, total_steps: low ** (1 - _progress(step, total_steps)))


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

    The loss of a window is the mean of `window` batch losses; after a cut, `cooldown` windows do not count. The rule is
    that of `optax.contrib.reduce_on_plateau`: it cuts when `patience` windows were bad, PyTorch's when more were.
    The cut applies to the very step whose loss completes the window.
    """

    def init() -> PlateauState:
        unit, zero = jnp.ones(()), jnp.zeros(())
        return PlateauState(unit, jnp.full((), jnp.inf, float), zero, zero, zero, zero)

    def apply(context: ScheduleContext, state: PlateauState) -> tuple[Array, PlateauState]:
        within = state._replace(
            total_loss=state.total_loss + context.loss.astype(state.total_loss.dtype), losses=state.losses + 1
        )
        mean = within.total_loss / within.losses
        better = mean < (1 - threshold) * state.best
        waits = state.cooling > 0
        bad_windows = jnp.where(better | waits, 0.0, state.bad_windows + 1)
        cut = bad_windows >= patience
        after = PlateauState(
            factor=jnp.where(cut, jnp.maximum(state.factor * rate, low), state.factor),
            best=jnp.where(better, mean, state.best),
            bad_windows=jnp.where(cut, 0.0, bad_windows),
            cooling=jnp.where(waits, state.cooling - 1, jnp.where(cut, cooldown, 0.0)),
            total_loss=jnp.zeros(()),
            losses=jnp.zeros(()),
        )
        chosen = select(within.losses >= window, after, within)
        chosen = jax.tree.map(lambda new, old: new.astype(old.dtype), chosen, state)
        return chosen.factor, chosen

    return Schedule(init, apply)


def _check_bounds(low: float, high: float, **other_values: float) -> None:
    """Refuse bounds that cross.

    Raises:
        RecipeError: low is above high.
    """
    if low > high:
        raise RecipeError(f"schedule.low={low} is above schedule.high={high}; give a smaller one")


@schedule.checked(_check_bounds)
def loss_power(rate: Positive, low: NonNegative, high: Positive) -> Schedule:
    """factor = rate^loss within [low, high].

    Without bounds (for rate < 1) a loss of 10⁴ would end training and a negative one speed it up.
    """

    def apply(context: ScheduleContext, state: Any) -> tuple[Array, Any]:
        factor = jnp.clip(rate**context.loss, low, high)
        return jnp.where(jnp.isnan(factor), low, factor), state

    return Schedule(lambda: (), apply)


@schedule
def polyak(f_star: Number) -> Schedule:
    """lr·factor = (loss − f_star)/‖g‖², at most lr: the step for a convex loss whose minimum is f_star (Polyak 1987).

    ‖g‖ is the norm of the gradient that the optimizer is given, so a clip changes it.
    """

    def apply(context: ScheduleContext, state: Any) -> tuple[Array, Any]:
        gap = context.loss - f_star
        log2_factor = jnp.log2(jnp.maximum(gap, 0)) - 2 * context.log2_gradient - jnp.log2(context.peak_lr)
        factor = jnp.exp2(jnp.minimum(log2_factor, 0))
        return jnp.where((gap > 0) & ~jnp.isnan(factor), factor, 0.0), state

    return Schedule(lambda: (), apply)


def remarks(part: dict[str, Any], steps: int) -> list[str]:
    """What is odd about this schedule over `steps` steps, one sentence each."""
    sentences = []
    warmup, horizon = part["warmup"], part["horizon"]
    end = min(horizon or steps, steps)
    if horizon and part["name"] in FOLLOWING:
        sentences.append(
            f"schedule={part['name']} follows the loss: schedule.horizon={horizon:g} has no effect on it"
        )
    elif 0 < horizon < steps:
        sentences.append(f"the schedule ends at step {horizon:g} of {steps}: after it the last factor stays")
    elif horizon > steps:
        sentences.append(f"the run ends at step {steps}, before the schedule does at {horizon:g}")
    if warmup and warmup >= steps:
        sentences.append(f"the warm-up of {warmup:g} steps is not over when the run ends at step {steps}")
    elif horizon and warmup >= horizon:
        sentences.append(
            f"the warm-up of {warmup:g} steps leaves nothing of the schedule's horizon of {horizon:g}"
        )
    late = [milestone for milestone in part.get("milestones", []) if milestone + warmup >= end]
    if late and steps:
        numbers = ", ".join(f"{milestone:g}" for milestone in late)
        after = f" after a warm-up of {warmup:g}" if warmup else ""
        sentences.append(f"schedule.milestones {numbers}{after} come after the last step, {end - 1:g}")
    if part["name"] == "step" and steps and part["period"] + warmup >= end:
        sentences.append(
            f"schedule.period={part['period']:g} is never over: the factor stays at its first value"
        )
    return sentences
