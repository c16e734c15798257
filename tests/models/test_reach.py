"""‖∂h_T/∂h_t‖: a power of the radius where the network is linear, the Jacobian's norm where it is not."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradlab.data.task import Form
from gradlab.models.reach import reach
from tests.models.sequences import network


def measured(found, params, x):
    blocks = found.setup().chain
    return jax.jit(lambda params, x: reach(blocks, params, {}, x))(params, jnp.asarray(x))


def test_a_linear_layer_reaches_back_by_powers_of_its_radius():
    found = network(("model=rnn", "activation=linear", "width=16"), Form((100, 2), 0, 2, False))
    x = np.random.default_rng(0).standard_normal((3, 100, 2)).astype(np.float32)
    told = measured(found, found.start(model__radius=0.1), x)
    np.testing.assert_allclose(told["first"][0], np.arange(-99, 1), atol=2e-5)  # 1e-99, in float32


def test_it_is_the_norm_of_the_jacobian_in_every_layer():
    with jax.enable_x64(True):
        found = network(("model=gru", "depth=3", "width=4", "dtype=float64"), Form((6, 3), 0, 2, False))
        params = found.random(scale=0.8)
        x = jnp.asarray(np.random.default_rng(1).standard_normal((2, 6, 3)))
        told = measured(found, params, x)
        assert {name: value.shape for name, value in told.items()} == {"first": (1, 6), "upper": (2, 6)}
        wanted = jacobians({path.removeprefix("first/"): value for path, value in params.items()}, x)
    np.testing.assert_allclose(told["first"][0], wanted, rtol=1e-6, atol=1e-7)


def jacobians(own, x):
    """log10 of the same of a GRU, from jax.jacobian of the rest of the steps."""
    sigmoid = jax.nn.sigmoid

    def step(h, x):
        xr, xz, xn = jnp.split(x @ own["input/kernel"] + own["input/bias"], 3)
        hr, hz, hn = jnp.split(h @ own["recurrent/kernel"], 3)
        n, z = jnp.tanh(xn + sigmoid(xr + hr) * (hn + own["recurrent/bias"])), sigmoid(xz + hz)
        return (1 - z) * n + z * h

    def rest(h, xs):
        for one in xs:
            h = step(h, one)
        return h

    squares = np.zeros(6)
    for example in x:
        h = jnp.zeros(4)
        for t in range(6):
            h = step(h, example[t])
            squares[t] += float((jax.jacobian(rest)(h, example[t + 1 :]) ** 2).sum())
    return np.log10(np.sqrt(squares / (2 * 4)))


def test_at_the_last_step_it_is_one_and_a_closed_gate_keeps_it():
    found = network(("model=gru", "width=8"), Form((50, 2), 0, 2, False))
    x = np.ones((2, 50, 2), np.float32)
    told = np.asarray(measured(found, found.start(model__update_bias=30.0), x)["first"][0])
    assert told[-1] == pytest.approx(0, abs=1e-6)
    assert told[0] == pytest.approx(0, abs=1e-5)  # z = 1: h_t = h_{t−1}
    assert math.isfinite(told.sum())
