"""Schedules: (now, state) -> (factor, state); the factor multiplies the peak `lr`."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array

from gradlab.bounds import NonNegative, Positive
from gradlab.parts.family import Family

schedule = Family("schedule")


class Now(NamedTuple):
    """What a schedule may see of the step that is about to be made."""

    step: Array  # how many updates were made before
    horizon: Array  # the recipe's `steps`
    loss: Array  # mean data loss of the batch
    log2_gradient: Array  # log2 of the norm of the gradient that the optimizer is given
    lr: Array | float  # the peak rate, which the factor multiplies


class Schedule(NamedTuple):
    """Its state before the first step, and the rule."""

    init: Callable[[], Any]
    apply: Callable[[Now, Any], tuple[Array, Any]]


def _of_time(factor: Callable[[Array, Array], Array]) -> Schedule:
    return Schedule(lambda: (), lambda now, state: (factor(now.step, now.horizon), state))


@schedule
def constant() -> Schedule:
    """factor = 1."""
    return _of_time(lambda step, horizon: jnp.ones(()))


@schedule
def linear(end: NonNegative) -> Schedule:
    """factor = 1 + (end − 1)·min(1, t/(T − 1)): from 1 at the first update to `end` at the last, never below 0."""

    def factor(step: Array, horizon: Array) -> Array:
        return 1 + (end - 1) * jnp.minimum(1.0, step / jnp.maximum(horizon - 1, 1))

    return _of_time(factor)


@schedule
def exponential(rate: Positive, period: Positive) -> Schedule:
    """factor = rate^(t/period): multiplied by `rate` every `period` steps, smoothly."""
    return _of_time(lambda step, horizon: rate ** (step / period))
