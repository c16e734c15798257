"""`gradlab.profile`: the same profiles for anyone's chain of functions."""

import doctest

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab
from gradlab.nn import profile as module

B, N = 6, 5


def layer(params, h):
    return jnp.tanh(h @ params["w"] + params["b"])


def head(params, h):
    return h @ params


def network(depth, scale=1.0):
    keys = jax.random.split(jax.random.key(1), depth)
    hidden = [{"w": scale * jax.random.orthogonal(key, N), "b": jnp.full(N, 0.1)} for key in keys]
    return [layer] * depth + [head], [*hidden, jnp.arange(2.0 * N).reshape(N, 2) / N]


def loss(output):
    return jnp.mean(jnp.sum(output**2, 1))


def slowly(params, x):
    """The profiles in NumPy float64, by hand."""
    *hidden, last = [jax.tree.map(lambda leaf: np.asarray(leaf, float), own) for own in params]
    signals = [np.asarray(x, float)]
    for own in hidden:
        signals.append(np.tanh(signals[-1] @ own["w"] + own["b"]))
    output = signals[-1] @ last
    delta = 2 * output / len(x)
    backward, gradient = [delta], [signals[-1].T @ delta]
    delta = delta @ last.T
    for own, out, given in zip(hidden[::-1], signals[:0:-1], signals[-2::-1], strict=True):
        backward.append(delta)
        inner = delta * (1 - out**2)
        gradient.append(given.T @ inner)
        delta = inner @ own["w"].T
    rms = [np.linalg.norm(h) / np.sqrt(h.size) for h in [*signals[1:], output]]
    return rms, [np.sqrt(len(x)) * np.linalg.norm(d) for d in backward[::-1]], gradient[::-1]


def test_the_profiles_are_those_of_back_propagation_by_hand():
    blocks, params = network(4)
    x = jax.random.normal(jax.random.key(2), (B, N))
    found = gradlab.profile(blocks, params, x, loss)
    forward, backward, gradient = slowly(params, x)
    np.testing.assert_allclose(10**found.log10_forward, forward, rtol=2e-6)  # float32 against float64
    np.testing.assert_allclose(10**found.log10_backward, backward, rtol=2e-6)
    np.testing.assert_allclose(10**found.log10_gradient, [np.linalg.norm(g) for g in gradient], rtol=2e-6)
    weights = [np.linalg.norm(own["w"]) for own in params[:-1]] + [np.linalg.norm(params[-1])]
    np.testing.assert_allclose(10**found.log10_weight, weights, rtol=2e-6)


@pytest.mark.slow
def test_a_stack_tells_what_single_blocks_tell():
    blocks, params = network(3)
    x = jnp.ones((B, N))
    apart = [lambda own, h: layer(own, h) for _ in range(3)] + [head]  # three functions: nothing to stack
    stacked, single = gradlab.profile(blocks, params, x, loss), gradlab.profile(apart, params, x, loss)
    for one, other in zip(stacked, single, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_norms_are_right_where_float32_is_not():
    depth, gain = 300, 0.25  # orthogonal blocks that take exactly their gain, on the way back only
    keys = jax.random.split(jax.random.key(3), depth)
    params = [jax.random.orthogonal(key, N) for key in keys]

    @jax.custom_vjp
    def shrink(h):
        return h

    shrink.defvjp(lambda h: (h, None), lambda _, cotangent: (gain * cotangent,))
    found = gradlab.profile([lambda w, h: shrink(h) @ w] * depth, params, jnp.ones((B, N)), jnp.mean)
    lost = found.log10_backward[-1] - found.log10_backward[0]
    assert lost == pytest.approx((depth - 1) * -np.log10(gain), abs=1e-3)  # 180 decades
    assert found.log10_gradient[0] < -175


def test_a_block_without_a_kernel_has_no_weight_gradient():
    found = gradlab.profile([lambda b, h: h + b], [jnp.ones(N)], jnp.ones((B, N)), jnp.sum)
    assert np.isnan(found.log10_gradient[0])
    assert np.isnan(found.log10_weight[0])


def test_blocks_and_params_must_match():
    with pytest.raises(ValueError, match="as many blocks as params"):
        gradlab.profile([head], [], jnp.ones((B, N)), loss)


@pytest.mark.slow
def test_the_example_runs():
    assert doctest.testmod(module).failed == 0
