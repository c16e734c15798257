"""The tap: right far outside float32's range, and not a bit of the training gradient changed by it."""

import math
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradlab.engine.gradients import loss_and_grads
from gradlab.numerics.norms import LOG10_2
from tests import measures
from tests.driver import FEATURES, RICH, batch, driver, tree
from tests.engine.test_step import CASES
from tests.reference import network

DEEP = ("depth=200", "width=16", "optimizer=momentum")
COLUMNS = ("log10_forward", "log10_backward", "log10_backward_z")
# 200 layers of float32 products: the relative error of a norm stays below 2e-4
CLOSE = 1e-4


def deep(activation, state, data, **numbers):
    """What gradlab measures, and signals and kernel gradients by the reference."""
    network_driver = driver(f"activation={activation}", *DEEP)
    part = network_driver.recipe.activation | {
        key.partition("__")[2]: value for key, value in numbers.items()
    }
    recipe = replace(network_driver.recipe, activation=part)
    params = tree(state.params)
    expected = network(recipe, params, {}, *data)
    gradient = [
        row["log10_gradient"] for row in measures.kernels(200, params, expected.grads, params, "float32")
    ]
    return (
        network_driver.train_step(state, data, **numbers),
        measures.signals(recipe, expected),
        np.array(gradient),
    )


def kernel_gradients(taken):
    return np.array([taken.parameters[layer, "linear/kernel"]["log10_gradient"] for layer in range(202)])


@pytest.mark.slow
def test_a_gradient_of_1e_minus_130_is_measured():
    state = driver("activation=sigmoid", *DEEP).random(gain=1.0)
    taken, expected, gradient = deep("sigmoid", state, batch())
    assert taken.layers["log10_backward"][0] < -120
    for column in COLUMNS:
        np.testing.assert_allclose(taken.layers[column], expected[column], atol=CLOSE)
    np.testing.assert_allclose(kernel_gradients(taken), gradient, atol=CLOSE)
    first = taken.parameters[0, "linear/kernel"]
    assert first["zeros"] == 16 * FEATURES  # of the gradient that training gets
    assert (first["log10_update"], first["update_lost"]) == (-math.inf, 1)


@pytest.mark.slow
@pytest.mark.parametrize(("slope", "beyond"), [(1.0, 50), (0.5, 30)])
def test_a_gradient_of_1e58_is_measured_while_the_loss_is_finite(slope, beyond):
    state = driver("activation=leaky_relu", *DEEP).random(gain=2.0, bias=0.0)
    small = {"input/linear/kernel": state.params["input/linear/kernel"] * 1e-35}  # room to grow in
    state = state._replace(params=state.params | small)
    taken, expected, gradient = deep("leaky_relu", state, batch(), activation__slope=slope)
    assert np.isfinite(taken.steps["loss"])
    assert taken.layers["log10_backward"][0] > beyond
    for column in COLUMNS:
        np.testing.assert_allclose(taken.layers[column], expected[column], atol=CLOSE)
    np.testing.assert_allclose(kernel_gradients(taken), gradient, atol=CLOSE)
    entries = {key: taken.parameters[0, "linear/kernel"][key] for key in ("infs", "nans")}
    assert entries == {"infs": 16 * FEATURES if beyond == 50 else 0, "nans": 0}


def test_where_the_forward_signal_underflows_it_is_a_zero_and_the_backward_signal_is_right():
    state = driver("activation=leaky_relu", *DEEP).random(gain=0.1, bias=0.0)
    taken, expected, gradient = deep("leaky_relu", state, batch(), activation__slope=1.0)
    clear, gone = expected["log10_forward"] > -36, expected["log10_forward"] < -39
    np.testing.assert_allclose(
        taken.layers["log10_forward"][clear], expected["log10_forward"][clear], atol=CLOSE
    )
    assert (taken.layers["log10_forward"][gone] == -math.inf).all()
    np.testing.assert_allclose(taken.layers["log10_backward"], expected["log10_backward"], atol=CLOSE)
    assert taken.layers["log10_backward"][0] < -200
    # h times the scaled cotangent, which is above 1e-10, must be a normal number
    representable = np.append(True, expected["log10_forward"][:-1] > -26)
    np.testing.assert_allclose(kernel_gradients(taken)[representable], gradient[representable], atol=CLOSE)


def test_a_signal_that_is_cut_is_a_true_zero_from_there_back():
    state = driver("activation=leaky_relu", *DEEP).random(gain=1.4, bias=0.0)
    params = {path: np.array(value) for path, value in state.params.items()}
    params["hidden/linear/kernel"][99], params["hidden/linear/bias"][99] = 0, 1  # layer 100 is a constant
    state = state._replace(params=state.params | params)
    taken = driver("activation=leaky_relu", *DEEP).train_step(state, batch(), activation__slope=0.0)
    for column in COLUMNS[1:]:
        assert (taken.layers[column][:100] == -math.inf).all()
        assert np.isfinite(taken.layers[column][100:201]).all()
    gradient = kernel_gradients(taken)
    assert (gradient[:100] == -math.inf).all()
    assert np.isfinite(gradient[100:]).all()


def test_a_gradient_that_is_infinite_from_the_start_is_recorded_as_such():
    state = driver("activation=leaky_relu", *DEEP).random(gain=4.0, bias=0.0)
    taken = driver("activation=leaky_relu", *DEEP).train_step(state, batch(), activation__slope=1.0)
    forward = taken.layers["log10_forward"]
    first = int(np.flatnonzero(~np.isfinite(forward))[0])
    assert 55 < first < 80  # 4^l leaves float32's range at l = 64
    assert (np.diff(forward[:first]) > 0).mean() > 0.9
    assert not np.isfinite(taken.steps["loss"])
    assert not np.isfinite(taken.layers["log10_backward"]).any()
    assert not (taken.layers["var"][first - 3 : first] <= 0).any()  # too large, not zero


STRUCTURES = {
    "plain": CASES["gelu"],  # layer norm after, plain residual, value clip, penalty
    "rich": RICH,
    "adam": ("optimizer=adam", "normalization=batch", "penalty=l2"),  # sums of products in small arrays
}


def same_bits(a, b):
    """Whether two trees are equal to the last bit."""
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return all(np.asarray(x).tobytes() == np.asarray(y).tobytes() for x, y in pairs)


@pytest.fixture(scope="module", params=STRUCTURES)
def structure(request):
    return driver(*STRUCTURES[request.param])


@pytest.mark.slow
def test_measuring_changes_no_bit_of_the_trained_state(structure):
    measured = bare = structure.random()
    for at in range(8):
        data = batch(seed=at)
        measured = structure.train_step(measured, data, at=at, key=at).state
        bare = structure.train_step(bare, data, at=at, key=at, measured=False).state
        assert same_bits(measured, bare), at
    assert not same_bits(measured.params, structure.random().params)


@pytest.mark.slow
@pytest.mark.parametrize("words", [RICH, (*RICH, "remat=true")], ids=["rich", "rich, remat"])
def test_the_training_gradient_is_plain_back_propagation_s(words):
    network_driver = driver(*words)
    state, data = network_driver.random(), batch()
    with_taps, without = (network_driver.loss_and_grads(state, data, measured) for measured in (True, False))
    assert with_taps.tap_measures is not None
    assert without.tap_measures is None
    assert same_bits(
        (with_taps.loss, with_taps.grads, with_taps.stats), (without.loss, without.grads, without.stats)
    )


@pytest.fixture(scope="module")
def scaled():
    """The backward pass of a loss times 2**k."""
    network_driver = driver("activation=tanh", "probe=backward")

    def run(state, x, y, factor):
        setup = network_driver._setup(network_driver.numbers())
        loss = lambda output, labels: factor * setup.loss(output, labels)
        context = network_driver.context(network_driver.numbers(), x, y, jax.random.key(0))
        context = context._replace(setup=setup._replace(loss=loss))
        return loss_and_grads(context, state.params, state.stats, measured=True)

    run = jax.jit(run)
    state, (x, y) = network_driver.random(), batch()
    return {k: run(state, x, y, jnp.float32(2.0**k)) for k in (0, -40, -60, 40, 60)}


@pytest.mark.slow
@pytest.mark.parametrize("k", [-40, -60, 40, 60])
def test_a_loss_times_a_power_of_two_has_its_gradient_times_the_same(scaled, k):
    once, times = scaled[0], scaled[k]
    for path, value in once.grads.items():
        np.testing.assert_array_equal(
            np.asarray(value, np.float64) * 2.0**k, np.asarray(times.grads[path], np.float64)
        )
    for a, b in zip(once.tap_measures.taps[1:], times.tap_measures.taps[1:], strict=True):
        np.testing.assert_allclose(np.asarray(b.signal) - np.asarray(a.signal), k, atol=2e-5)


@pytest.mark.slow
def test_parameters_gradients_are_measured_where_they_were_scaled(scaled):
    for k in (-60, 60):
        for record in scaled[k].tap_measures.taps[:-1]:
            norms = np.asarray(record.params)
            assert (np.asarray(record.incoming_exponent) != 0).all()
            bias = np.asarray(record.params)[..., 0]
            assert (np.abs(bias - k) < 12).all(), norms


@pytest.mark.slow
def test_the_tap_s_units_are_those_of_the_columns(scaled):
    hidden = scaled[0].tap_measures.taps[1].signal
    network_driver = driver("activation=tanh", "probe=backward")
    taken = network_driver.train_step(network_driver.random(), batch())
    expected = LOG10_2 * (np.asarray(hidden) + 0.5 * math.log2(len(batch()[1])))
    np.testing.assert_allclose(taken.layers["log10_backward"][:4], expected, atol=1e-6)
