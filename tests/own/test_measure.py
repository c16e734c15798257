"""`gradlab.measure`: the loss and the gradient of `jax.value_and_grad`, bit for bit, and the rows beside them."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import gradlab
from gradlab.recipe.errors import RecipeError
from tests.models import own_networks as own
from tests.models.test_found_blocks import (
    FEATURES,
    OUTPUTS,
    ResidualNet,
    hidden,
    plain,
    weights,
    x,
)
from tests.models.test_found_blocks import head as head_block

Y = jnp.arange(8) % OUTPUTS


def cross_entropy(output, y):
    return -jnp.mean(jax.nn.log_softmax(output)[jnp.arange(len(y)), y])


def plain_loss(params, x, y):
    return cross_entropy(own.plain(params, x), y)


def penalized(params, x, y):
    return plain_loss(params, x, y) + 1e-3 * sum(jnp.sum(w**2) for w, _ in params)


def equal(tree, other):
    return all(jax.tree.leaves(jax.tree.map(np.array_equal, tree, other)))


@pytest.mark.parametrize(("loss", "stack"), [(plain_loss, False), (penalized, True)])
def test_loss_and_gradient_are_those_of_value_and_grad(loss, stack):
    _, params = plain(weights(6))
    value, grads, row = jax.jit(gradlab.measure(loss, stack=stack))(params, x(), Y)
    expected, expected_grads = jax.jit(jax.value_and_grad(loss))(params, x(), Y)
    assert value == expected
    assert equal(grads, expected_grads)
    assert row.layers == tuple(map(str, range(8)))


def test_the_rows_are_those_of_the_profile():
    _, params = plain(weights(4))
    _, _, row = jax.jit(gradlab.measure(plain_loss))(params, x(), Y)
    blocks = [hidden] * 5 + [head_block]
    expected = gradlab.profile(blocks, x(), lambda output: cross_entropy(output, Y), params=weights(4))
    for name, column in row.columns().items():
        np.testing.assert_allclose(column, getattr(expected, name), atol=2e-5)


def test_norms_are_right_where_the_gradient_underflows():
    scale, depth = 1e-6, 12
    params = [jnp.eye(4) * scale] * depth

    @jax.custom_vjp
    def grown(h):
        return h / scale

    grown.defvjp(lambda h: (h / scale, None), lambda _, cotangent: (cotangent,))

    def loss(params, x):
        for w in params:
            x = grown(x @ w)  # forward as it was, backward smaller by 1e-6
        return jnp.mean(x)

    _, grads, row = jax.jit(gradlab.measure(loss))(params, jnp.ones((2, 4)))
    falls = np.diff(row.columns()["log10_backward"])
    np.testing.assert_allclose(falls, 6, atol=1e-4)  # 66 decades in all
    assert not np.any(grads[0])  # as in plain back-propagation
    assert row.columns()["log10_gradient"][0] < -60


def test_a_module_goes_on_as_with_value_and_grad():
    def loss(model, x, y):
        output = model(x)
        return cross_entropy(output, y), output

    models = [ResidualNet(nnx.Rngs(0)), ResidualNet(nnx.Rngs(0))]
    optimizers = [nnx.Optimizer(model, optax.adam(1e-2), wrt=nnx.Param) for model in models]

    @nnx.jit
    def measured(model, optimizer):
        (value, output), grads, row = gradlab.measure(loss, has_aux=True)(model, x(), Y)
        optimizer.update(model, grads)
        return value, output, row, grads

    @nnx.jit
    def usual(model, optimizer):
        (value, output), grads = nnx.value_and_grad(loss, has_aux=True)(model, x(), Y)
        optimizer.update(model, grads)
        return (
            value,
            output,
            grads,
        )  # a gradient that is not kept is fused with the update, in other last bits

    for _ in range(3):
        value, output, row, grads = measured(models[0], optimizers[0])
        expected, expected_output, expected_grads = usual(models[1], optimizers[1])
        assert value == expected
        np.testing.assert_array_equal(output, expected_output)
        assert equal(grads, expected_grads)
    assert row.layers == ("entry", "blocks.0", "blocks.1", "blocks.2", "head")
    assert equal(*(nnx.state(model, nnx.Param) for model in models))
    for averages, others in zip(*(jax.tree.leaves(nnx.state(m, nnx.BatchStat)) for m in models), strict=True):
        np.testing.assert_allclose(averages, others, rtol=1e-6)
    assert equal(*(nnx.state(model, nnx.RngCount) for model in models))


def test_dropout_keys_of_the_batch_are_the_user_s_own():
    def loss(params, key, x, dummy=None):
        for index, (w, stream) in enumerate(zip(params, jax.random.split(key, len(params)), strict=True)):
            z = x @ w
            z = gradlab.tap(z, dummy) if dummy is not None and index == len(params) - 1 else z
            x = jnp.tanh(z) * jax.random.bernoulli(stream, 0.8, x.shape)
        return jnp.mean(x**2)

    params = [jnp.asarray(w) for w, _ in weights(4)[1:-1]]
    given = (params, jax.random.PRNGKey(3), x()[:, : len(params[0])])
    value, grads, row = jax.jit(gradlab.measure(loss))(*given)
    expected, expected_grads = jax.jit(jax.value_and_grad(loss))(*given)
    assert value == expected
    assert equal(grads, expected_grads)
    last = jax.grad(loss, 3)(*given, jnp.zeros(())) + 0.5 * np.log10(8)  # B = 8, not the length of the key
    assert row.columns()["log10_backward"][-1] == pytest.approx(float(last), abs=1e-5)


def test_an_equinox_module_and_its_gradient():
    eqx = pytest.importorskip("equinox")
    from tests.models.own_equinox import EquinoxNet

    net = EquinoxNet(FEATURES, 3, OUTPUTS, jax.random.key(0))
    loss = lambda net, x, y: cross_entropy(jax.vmap(net)(x), y)
    value, grads, row = eqx.filter_jit(gradlab.measure(loss))(net, x(), Y)
    expected, expected_grads = eqx.filter_jit(eqx.filter_value_and_grad(loss))(net, x(), Y)
    assert value == expected
    assert equal(eqx.filter(grads, eqx.is_array), eqx.filter(expected_grads, eqx.is_array))
    assert row.layers == ("entry", "layers.0", "layers.1", "layers.2", "head")


def test_tied_weights_have_a_gradient_at_each_of_their_places():
    def loss(params, x):
        h = jnp.tanh(x @ params["embed"])
        for w in params["layers"]:
            h = jnp.tanh(h @ w)
        return jnp.mean((h @ params["embed"].T - x) ** 2)

    rng = np.random.default_rng(0)
    kernel = lambda *shape: jnp.asarray(rng.standard_normal(shape) / 2, jnp.float32)
    params = {"embed": kernel(FEATURES, 5), "layers": [kernel(5, 5) for _ in range(3)]}
    _, grads, row = gradlab.measure(loss)(params, x())
    expected = jax.grad(loss)(params, x())
    assert all(
        np.allclose(*pair, rtol=1e-5, atol=1e-7)
        for pair in zip(*map(jax.tree.leaves, (grads, expected)), strict=True)
    )
    assert row.layers == ("embed.0", "layers.0", "layers.1", "layers.2", "embed.1")
    apart = lambda first, last: jnp.mean((hidden_of(params, first, x()) @ last.T - x()) ** 2)

    def hidden_of(params, first, x):
        h = jnp.tanh(x @ first)
        for w in params["layers"]:
            h = jnp.tanh(h @ w)
        return h

    parts = jax.grad(apart, (0, 1))(params["embed"], params["embed"])
    measured = row.columns()["log10_gradient"][[0, -1]]
    np.testing.assert_allclose(measured, [np.log10(np.linalg.norm(part)) for part in parts], atol=1e-5)


def test_a_scan_over_layers_is_measured_layer_by_layer():
    def loss(params, x):
        layer = lambda h, own: (jnp.tanh(h @ own["w"] + own["b"]), None)
        return jnp.mean(jax.lax.scan(layer, x @ params["in"], params["layers"])[0] ** 2)

    rng = np.random.default_rng(0)
    kernel = lambda *shape: jnp.asarray(rng.standard_normal(shape) / 2, jnp.float32)
    params = {"in": kernel(FEATURES, 5), "layers": {"w": kernel(6, 5, 5), "b": kernel(6, 5)}}
    value, grads, row = jax.jit(gradlab.measure(loss))(params, x())
    expected, expected_grads = jax.jit(jax.value_and_grad(loss))(params, x())
    assert value == expected
    assert equal(grads, expected_grads)
    assert row.layers[:3] == ("in", "layers.0", "layers.1")
    norms = np.log10(np.linalg.norm(np.asarray(expected_grads["layers"]["w"], float), axis=(1, 2)))
    np.testing.assert_allclose(row.columns()["log10_gradient"][1:], norms, atol=1e-5)


WRONG = {
    "a loss per example": (lambda params, x: jnp.mean((x @ params) ** 2, 1), "the loss has the shape (8,)"),
    "a pair": (lambda params, x: (jnp.sum(x @ params), x), "the loss is a tuple; it must be one real number"),
    "a whole number": (lambda params, x: jnp.sum(x @ params > 0), "the loss is of dtype int32"),
    "no batch": (lambda params, x: jnp.sum(params**2), "depends on both parameters and the batch"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_loss_is_told_in_one_line(name):
    loss, message = WRONG[name]
    with pytest.raises(RecipeError) as error:
        gradlab.measure(loss)(jnp.ones((FEATURES, 2)), x())
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_no_parameters_are_told():
    with pytest.raises(RecipeError, match="has no parameters"):
        gradlab.measure(lambda params, x: jnp.mean(x))({"count": 3}, x())
