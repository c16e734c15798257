"""Taps, norms and the Optax transformation that one places by hand; the examples of the docstrings."""

import doctest

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradlab
from gradlab.nn import equations
from gradlab.own import by_hand, loss, network, transformation


@pytest.mark.parametrize("module", [by_hand, loss, network, transformation, equations])
def test_the_examples_run(module):
    assert doctest.testmod(module, extraglobs={"gradlab": gradlab, "jnp": jnp}).failed == 0


def test_a_tap_measures_the_gradient_that_passes_and_changes_nothing():
    w = jax.random.normal(jax.random.key(0), (4, 4))
    h = jax.random.normal(jax.random.key(1), (8, 4))
    plain = lambda h: jnp.mean(jnp.tanh(h @ w) ** 2)
    tapped = lambda h, dummy: plain(gradlab.tap(h, dummy))
    grad, measured = jax.grad(tapped, (0, 1))(h, jnp.zeros(()))
    np.testing.assert_array_equal(grad, jax.grad(plain)(h))
    assert measured == pytest.approx(np.log10(np.linalg.norm(np.asarray(grad, float))), abs=1e-6)


def test_norms_are_right_where_the_squares_are_not():
    tree = {"small": jnp.full((3, 3), 1e-30), "large": [jnp.full(4, 1e30)], "zero": jnp.zeros(2)}
    found = jax.jit(gradlab.norms)(tree)
    assert found.keys() == {"small", "large/0", "zero"}
    np.testing.assert_allclose(
        [found["small"], found["large/0"]], [-30 + np.log10(3), 30 + np.log10(2)], rtol=1e-6
    )
    assert found["zero"] == -np.inf


def test_the_recording_changes_no_update():
    params = {"w": jnp.ones(4), "b": jnp.ones(2)}
    grads = {"w": jnp.full(4, 3e25), "b": jnp.full(2, 2.0)}
    recording = optax.chain(gradlab.record_norms(), optax.clip(1.0), gradlab.record_norms(), optax.adam(0.1))
    usual = optax.chain(optax.clip(1.0), optax.adam(0.1))
    state, other = recording.init(params), usual.init(params)
    assert all(np.isnan(value) for value in state[0].log10.values())
    for _ in range(2):
        updates, state = jax.jit(recording.update)(grads, state, params)
        expected, other = jax.jit(usual.update)(grads, other, params)
        assert all(np.array_equal(updates[name], expected[name]) for name in params)
    raw, clipped = ({name: float(value) for name, value in state[place].log10.items()} for place in (0, 2))
    assert raw["w"] == pytest.approx(np.log10(6e25), abs=1e-5)
    assert clipped == pytest.approx({"w": np.log10(2), "b": 0.5 * np.log10(2)}, abs=1e-6)
