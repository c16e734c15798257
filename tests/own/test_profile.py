"""`gradlab.profile`: the same profiles for anyone's chain of functions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import gradlab
from gradlab.recipe.errors import RecipeError
from tests.models.own_networks import LinenCompact, NnxNet

B, N = 6, 5
COLUMNS = ("log10_forward", "log10_backward", "log10_gradient", "log10_weight")


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
    found = gradlab.profile(blocks, x, loss, params=params)
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
    stacked, single = (gradlab.profile(each, x, loss, params=params) for each in (blocks, apart))
    for name in COLUMNS:
        np.testing.assert_allclose(getattr(stacked, name), getattr(single, name), atol=1e-6)


def test_norms_are_right_where_float32_is_not():
    depth, gain = 300, 0.25  # orthogonal blocks that take exactly their gain, on the way back only
    keys = jax.random.split(jax.random.key(3), depth)
    params = [jax.random.orthogonal(key, N) for key in keys]

    @jax.custom_vjp
    def shrink(h):
        return h

    shrink.defvjp(lambda h: (h, None), lambda _, cotangent: (gain * cotangent,))
    found = gradlab.profile([lambda w, h: shrink(h) @ w] * depth, jnp.ones((B, N)), jnp.mean, params=params)
    lost = found.log10_backward[-1] - found.log10_backward[0]
    assert lost == pytest.approx((depth - 1) * -np.log10(gain), abs=1e-3)  # 180 decades
    assert found.log10_gradient[0] < -175


def test_a_block_without_a_kernel_has_no_weight_gradient():
    found = gradlab.profile([lambda b, h: h + b], jnp.ones((B, N)), jnp.sum, params=[jnp.ones(N)])
    assert np.isnan(found.log10_gradient[0])
    assert np.isnan(found.log10_weight[0])
    assert (
        found.frame()[["log10_gradient", "log10_weight"]].isna().all(axis=None)
    )  # not measured: null, not NaN


def test_verdict_frame_and_figure_are_of_the_same_numbers():
    blocks, params = network(30, scale=0.5)
    found = gradlab.profile(blocks, jax.random.normal(jax.random.key(2), (B, N)), loss, params=params)
    assert found.verdict == "vanishing"
    frame = found.frame()
    assert list(frame.columns) == ["layer", "name", *COLUMNS]
    assert len(frame) == 31
    np.testing.assert_array_equal(frame.log10_backward, found.log10_backward)
    backward = found.figure().axes[1].lines[0]
    np.testing.assert_allclose(backward.get_ydata(), found.log10_backward)
    assert found.signal.sentence in repr(found)


def test_what_lies_behind_a_nan_is_no_zero():
    net = NnxNet(N, 10, 2, nnx.Rngs(0))
    relu = lambda params, h: jax.nn.relu(h @ params)
    for found in (
        gradlab.profile(net, jnp.full((B, N), jnp.nan), loss),
        gradlab.profile([relu] * 5, jnp.full((B, N), jnp.nan), loss, params=[jnp.eye(N)] * 5),
    ):
        assert found.verdict == "undefined"
        assert np.isnan(found.log10_backward).all()
        assert np.isnan(found.log10_gradient).all()


def test_a_module_is_drawn_anew_for_each_key():
    losses = [
        gradlab.profile(LinenCompact(2, 2), jnp.ones((B, N)), loss, key=jax.random.key(i)).loss
        for i in (0, 1)
    ]
    assert losses[0] != losses[1]


WRONG = {
    "blocks": (
        lambda: gradlab.profile([head], jnp.ones((B, N)), loss, params=[]),
        "as many params as blocks",
    ),
    "shape": (
        lambda: gradlab.profile([head], jnp.ones((B, N)), loss, params=[jnp.ones((3, 2))]),
        "of shape (6, 5)",
    ),
    "parameters": (
        lambda: gradlab.profile(
            LinenCompact(0, 2), jnp.ones((B, N)), loss, params={"Dense_0": {"kernel": jnp.ones((3, 3))}}
        ),
        "does not take an input of shape (6, 5), float32: Scope",
    ),
    "whole numbers": (
        lambda: gradlab.profile(NnxNet(9, 1, 2, nnx.Rngs(0)), jnp.ones((B, N), int), loss),
        "x holds whole numbers",
    ),
    "output": (
        lambda: gradlab.profile(
            [lambda p, h: (h @ p).argmax(1)], jnp.ones((B, N)), loss, params=[jnp.ones((N, 2))]
        ),
        "returns int32, through which no gradient passes",
    ),
    "loss": (
        lambda: gradlab.profile([head], jnp.ones((B, N)), lambda h: h.sum(1), params=[jnp.ones((N, 2))]),
        "it must be one real number",
    ),
    "loss's argument": (
        lambda: gradlab.profile(
            [head], jnp.ones((B, N)), lambda h: h["logits"].sum(), params=[jnp.ones((N, 2))]
        ),
        "the loss does not take the network's output",
    ),
    "network": (lambda: gradlab.profile(3, jnp.ones((B, N)), loss), "got int"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_told_in_one_line(name):
    call, message = WRONG[name]
    with pytest.raises(RecipeError) as error:
        call()
    assert message in str(error.value)
    assert "\n" not in str(error.value)
