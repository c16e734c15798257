"""Optimizers, schedules and the penalty against their formulas in float64, twenty steps down a valley."""

from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gradlab.parts.optimizers import optimizer
from gradlab.parts.penalties import penalty
from gradlab.parts.schedules import Now, schedule
from tests import rules

STEPS, RATE = 20, 0.05
CURVATURE = np.array([0.1, 1.0, 10.0])
OPTIMIZERS = [
    {"name": "sgd"},
    {"name": "momentum", "decay": 0.9},
    {"name": "momentum", "decay": 0.0},
    {"name": "adam", "b1": 0.9, "b2": 0.999, "eps": 1e-8},
    {"name": "adam", "b1": 0.5, "b2": 0.9, "eps": 1e-2},
]
SCHEDULES = [
    {"name": "constant"},
    {"name": "linear", "end": 0.0},
    {"name": "linear", "end": 1.5},
    {"name": "exponential", "rate": 0.5, "period": 7.0},
    {"name": "exponential", "rate": 1.1, "period": 1.0},
]
named = lambda part: " ".join(map(str, part.values()))


@lru_cache
def walk(name, pace):
    """gradlab's own walk down ½Σ c x², for any numbers of this optimizer and this schedule."""

    def run(numbers, paces):
        moves = optimizer.make({"name": name} | numbers)
        rate = schedule.make({"name": pace} | paces)

        def body(carry, step):
            x, memory, state = carry
            direction, memory = moves.update({"x": CURVATURE * x}, memory, {"x": x})
            factor, state = rate.apply(Now(step, jnp.int32(STEPS), jnp.zeros(()), jnp.zeros(()), RATE), state)
            x = optax.apply_updates({"x": x}, {"x": -RATE * factor * direction["x"]})["x"]
            return (x, memory, state), (x, factor)

        x = jnp.array([1.0, -2.0, 3.0])
        return jax.lax.scan(body, (x, moves.init({"x": x}), rate.init()), jnp.arange(STEPS))[1]

    return jax.jit(run)


@pytest.mark.parametrize("pace", SCHEDULES, ids=named)
@pytest.mark.parametrize("part", OPTIMIZERS, ids=named)
def test_twenty_steps_are_the_formula_s(part, pace):
    x, rule = {"x": np.array([1.0, -2.0, 3.0])}, rules.Optimizer(part)
    wanted, factors = [], []
    for step in range(STEPS):
        factors.append(rules.factor(pace, step, STEPS))
        x = {"x": x["x"] + rule.move({"x": CURVATURE * x["x"]}, RATE * factors[-1])["x"]}
        wanted.append(x["x"])
    numbers = [{key: value for key, value in one.items() if key != "name"} for one in (part, pace)]
    found, paced = walk(part["name"], pace["name"])(*numbers)
    np.testing.assert_allclose(paced, factors, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=2e-5)  # float32's rounding, twenty times


def test_a_linear_schedule_begins_at_one_and_ends_at_its_end():
    apply = schedule.make({"name": "linear", "end": 0.25}).apply
    factor = lambda step, horizon: float(
        apply(Now(jnp.int32(step), jnp.int32(horizon), None, None, 1.0), ())[0]
    )
    assert (factor(0, 20), factor(19, 20), factor(25, 20)) == (1.0, 0.25, 0.25)
    assert factor(0, 1) == 1.0  # a single step
    assert factor(0, 0) == 1.0  # none


def test_a_penalty_is_half_the_strength_times_the_squares():
    kernels = [jnp.array([[1.0, 2.0], [3.0, 4.0]]), jnp.full((2, 2, 2), 0.5)]
    rule = penalty.make({"name": "l2", "strength": 0.3})
    value, grads = jax.value_and_grad(rule)(kernels)
    assert float(value) == pytest.approx(0.15 * (30 + 2))
    for kernel, grad in zip(kernels, grads, strict=True):
        np.testing.assert_allclose(grad, 0.3 * kernel, rtol=1e-6)
    assert penalty.make({"name": "none"}) is None
