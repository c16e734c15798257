"""Optimizers and the penalty against their formulas in float64, twenty steps down a valley."""

from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gradlab.parts.optimizers import optimizer
from gradlab.parts.penalties import penalty
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
named = lambda part: " ".join(map(str, part.values()))


@lru_cache
def walk(name):
    """gradlab's own walk down ½Σ c x², for any numbers of this optimizer."""

    def run(numbers):
        moves = optimizer.make({"name": name} | numbers)

        def body(carry, step):
            x, memory = carry
            direction, memory = moves.update({"x": CURVATURE * x}, memory, {"x": x})
            x = optax.apply_updates({"x": x}, {"x": -RATE * direction["x"]})["x"]
            return (x, memory), x

        x = jnp.array([1.0, -2.0, 3.0])
        return jax.lax.scan(body, (x, moves.init({"x": x})), jnp.arange(STEPS))[1]

    return jax.jit(run)


@pytest.mark.parametrize("part", OPTIMIZERS, ids=named)
def test_twenty_steps_are_the_formula_s(part):
    x, rule = {"x": np.array([1.0, -2.0, 3.0])}, rules.Optimizer(part)
    wanted = []
    for _ in range(STEPS):
        x = {"x": x["x"] + rule.move({"x": CURVATURE * x["x"]}, RATE)["x"]}
        wanted.append(x["x"])
    found = walk(part["name"])({key: value for key, value in part.items() if key != "name"})
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=2e-5)  # float32's rounding, twenty times


def test_a_penalty_is_half_the_strength_times_the_squares():
    kernels = [jnp.array([[1.0, 2.0], [3.0, 4.0]]), jnp.full((2, 2, 2), 0.5)]
    rule = penalty.make({"name": "l2", "strength": 0.3})
    value, grads = jax.value_and_grad(rule)(kernels)
    assert float(value) == pytest.approx(0.15 * (30 + 2))
    for kernel, grad in zip(kernels, grads, strict=True):
        np.testing.assert_allclose(grad, 0.3 * kernel, rtol=1e-6)
    assert penalty.make({"name": "none"}) is None
