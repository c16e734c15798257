"""What must hold of the mlp's gradient whatever the numbers: identities of mathematics, and dropout's."""

import jax
import numpy as np
import pytest

from gradlab.nn import chain
from tests import measures
from tests.driver import BATCH, LINEAR, RICH, batch, driver, tree
from tests.reference import network

KERNELS = ("input/linear/kernel", "hidden/linear/kernel", "output/linear/kernel")
LEAKY = ("activation=leaky_relu", "depth=200", "width=16", "optimizer=momentum")


def gradient(taken):
    """The gradient itself: the momentum after its first step."""
    return tree(taken.state.optimizer.trace)


@pytest.mark.slow
@pytest.mark.parametrize(("words", "slope"), [(LINEAR, None), (LEAKY, 0.5)])
def test_weights_times_their_gradient_is_the_same_in_every_layer_of_a_homogeneous_net(words, slope):
    found = driver(*words)
    state = found.random(gain=1.2, bias=0.0)
    grads = gradient(
        found.train_step(state, batch(), **({} if slope is None else {"activation__slope": slope}))
    )
    weights = tree(state.params)
    products = [(weights[path] * grads[path]).sum(axis=(-2, -1)) for path in KERNELS]
    products = np.concatenate([np.atleast_1d(one) for one in products])  # Euler: each is Σ logits·∂L/∂logits
    np.testing.assert_allclose(products, products.mean(), rtol=2e-5)


def test_an_orthogonal_linear_net_has_the_same_backward_norm_everywhere():
    found = driver(*LINEAR)
    taken = found.train_step(found.start(), batch())  # orthogonal is the default
    for column in ("log10_backward", "log10_backward_z"):
        np.testing.assert_allclose(np.diff(taken.layers[column][:5]), 0, atol=1e-6)


def test_the_output_biases_gradient_sums_to_zero():
    found = driver(*LINEAR)
    bias = gradient(found.train_step(found.random(), batch()))["output/linear/bias"]
    assert abs(bias.sum()) < 1e-7 * len(bias) * np.abs(bias).max() + 1e-8


def test_permuting_hidden_units_changes_no_norm():
    found = driver(*LINEAR)
    state = found.random()
    params = {path: np.array(value) for path, value in state.params.items()}
    order = np.random.default_rng(1).permutation(8)
    params["hidden/linear/kernel"][1] = params["hidden/linear/kernel"][1][:, order]
    params["hidden/linear/bias"][1] = params["hidden/linear/bias"][1][order]
    params["hidden/linear/kernel"][2] = params["hidden/linear/kernel"][2][order]
    old, new = (
        found.train_step(one, batch()) for one in (state, state._replace(params=state.params | params))
    )
    for column in old.layers:
        np.testing.assert_allclose(
            new.layers[column], old.layers[column], rtol=1e-5, atol=1e-5, err_msg=column
        )
    for key, columns in old.parameters.items():
        assert new.parameters[key]["log10_gradient"] == pytest.approx(columns["log10_gradient"], abs=2e-6)


@pytest.fixture(scope="module")
def normalized():
    """Weights and gradient of a net whose linear layers stand before batch norm."""
    found = driver(*RICH)
    state = found.random()
    return tree(state.params), tree(found.loss_and_grads(state, batch(), measured=True).grads)


@pytest.mark.slow
@pytest.mark.parametrize("path", KERNELS[:2])
def test_before_batch_norm_weights_are_orthogonal_to_their_gradient(normalized, path):
    w, g = (one[path].reshape(-1, *one[path].shape[-2:]) for one in normalized)
    cosines = (w * g).sum((1, 2)) / np.sqrt((w * w).sum((1, 2)) * (g * g).sum((1, 2)))
    assert np.abs(cosines).max() < 1e-4  # ε = 1e-5 beside variances of about 1


@pytest.mark.slow
@pytest.mark.parametrize("prefix", ["input", "hidden"])
def test_a_bias_before_batch_norm_has_no_gradient(normalized, prefix):
    _, grads = normalized
    bias, kernel = (np.abs(grads[f"{prefix}/linear/{name}"]).max() for name in ("bias", "kernel"))
    assert bias < 1e-5 * kernel


@pytest.fixture(scope="module")
def dropped():
    """A step with dropout, and every layer's signal from the same masks."""
    found = driver("activation=tanh", "dropout=0.3", "width=16")
    state, data = found.random(), batch()
    ask = lambda signal: signal.h.reshape(-1)

    def signals(params, x, key, train):
        setup = found._setup(found.numbers())
        return chain.forward(setup.chain, params, {}, x, key, train=train, measure=ask)[2]

    run = jax.jit(signals, static_argnums=3)
    told = {
        (key, train): [
            *np.concatenate(
                [np.atleast_2d(one) for one in run(state.params, data[0], jax.random.key(key), train)[:2]]
            )
        ]
        for key in (0, 1)
        for train in (True, False)
    }
    masks = {
        key: [h.reshape(BATCH, 16) != 0 for h in told[key, True]] for key in (0, 1)
    }  # tanh is never exactly zero
    return found, state, data, told, masks


@pytest.mark.slow
def test_dropout_drops_its_share_anew_in_every_layer_and_step(dropped):
    *_, masks = dropped
    drawn = np.array([[mask.ravel() for mask in masks[key]] for key in (0, 1)]).reshape(10, -1)
    assert drawn.mean() == pytest.approx(0.7, abs=5 * np.sqrt(0.21 / drawn.size))
    likeness = np.corrcoef(drawn) - np.eye(10)
    assert np.abs(likeness).max() < 5 / np.sqrt(drawn.shape[1])


@pytest.mark.slow
def test_what_dropout_keeps_is_scaled_so_that_the_mean_is_preserved(dropped):
    *_, told, masks = dropped
    kept = masks[0][0].ravel()
    np.testing.assert_allclose(told[0, True][0][kept], told[0, False][0][kept] / 0.7, rtol=1e-6)


@pytest.mark.slow
def test_evaluation_drops_nothing_and_needs_no_key(dropped):
    *_, told, _ = dropped
    np.testing.assert_array_equal(told[0, False], told[1, False])
    assert (np.array(told[0, False]) != 0).all()


@pytest.mark.slow
def test_the_measures_under_dropout_are_the_reference_s_with_the_same_masks(dropped):
    found, state, data, _, masks = dropped
    wanted = network(
        found.recipe, tree(state.params), {}, *data, masks=[mask.astype(float) for mask in masks[0]]
    )
    taken = found.train_step(state, data, key=0)
    assert taken.steps["loss"] == pytest.approx(wanted.loss, abs=1e-6)
    for column, values in measures.signals(found.recipe, wanted).items():
        np.testing.assert_allclose(taken.layers[column], values, atol=2e-5, err_msg=column)
