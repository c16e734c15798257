"""The backward signal through time: exact where theory is exact, also where it is 10^±119."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

from gradlab.data.task import Form
from gradlab.numerics.norms import LOG10_2
from tests.models.sequences import network

STEPS, WIDTH = 120, 32


def profile(*words, change=lambda params: params, each=False, weigh=None, **numbers):
    """log10 ‖∂L/∂h_t‖ and ‖∂L/∂c_t‖ by time, with a random cotangent at h_T (or `weigh` times ones at each step)."""
    found = network((*words, f"width={WIDTH}"), Form((STEPS, 2), 0, WIDTH, each))
    params = found.start(**numbers) | {"output/linear/kernel": jnp.eye(WIDTH)}
    rng = np.random.default_rng(1)
    x, u = rng.standard_normal((8, STEPS, 2)), rng.standard_normal((8, WIDTH))
    if each:
        u = np.ones((8, STEPS, WIDTH)) * np.asarray(weigh)[:, None]
    seen = found.loss_and_grads(change(params), x.astype(np.float32), u.astype(np.float32))
    return seen.times[0].astype(float) * LOG10_2


def falling(rate, steps=STEPS):
    return math.log10(rate) * np.arange(steps - 1, -1, -1)


def unmoved(params):
    """The same with nothing coming in: the state stays at zero."""
    return params | {"first/input/kernel": 0 * params["first/input/kernel"]}


def weightless(params):
    return unmoved(params) | {"first/recurrent/kernel": 0 * params["first/recurrent/kernel"]}


LINEAR = ("model=rnn", "activation=linear")
CLOSE = 2e-5  # 120 products in float32


@pytest.mark.few(1)
@pytest.mark.parametrize("radius", [0.1, 0.9, 1.0, 1.1, 10.0])
def test_a_linear_rnn_multiplies_the_gradient_by_its_radius_at_each_step(radius):
    hidden, cell = profile(*LINEAR, change=unmoved, model__radius=radius)
    np.testing.assert_allclose(hidden - hidden[-1], falling(radius), atol=CLOSE)
    assert np.isnan(cell).all()


@pytest.mark.slow
@pytest.mark.parametrize("bias", [0.0, 1.0, 4.0])
def test_an_lstm_without_weights_multiplies_the_cell_s_gradient_by_its_forget_gate(bias):
    hidden, cell = profile("model=lstm", change=weightless, model__forget_bias=bias)
    np.testing.assert_allclose(cell - cell[-1], falling(1 / (1 + math.exp(-bias))), atol=CLOSE)
    assert (hidden[:-1] == -np.inf).all()  # no weights: only the last h reaches the loss


@pytest.mark.slow
@pytest.mark.parametrize(
    ("activation", "max_slope"),
    [("tanh", 1.0), ("relu", 1.0), pytest.param("sigmoid", 0.25, marks=pytest.mark.slow)],
)
@pytest.mark.parametrize("radius", [0.7, 1.3])
def test_the_gradient_stays_below_pascanu_s_bound(activation, max_slope, radius):
    hidden, _ = profile("model=rnn", f"activation={activation}", model__radius=radius)
    assert (hidden <= hidden[-1] + falling(radius * max_slope) + 1e-4).all()
    assert np.isfinite(hidden).all() or activation == "relu"


@pytest.mark.slow
def test_units_that_all_die_are_a_true_zero():
    dead = lambda params: params | {"first/input/bias": params["first/input/bias"] - 100}
    hidden, _ = profile("model=rnn", "activation=relu", change=dead)
    assert (hidden[:-1] == -np.inf).all()
    assert np.isfinite(hidden[-1])


@pytest.mark.slow
def test_a_loss_at_an_earlier_step_outshines_the_faint_signal_from_later_ones():
    weigh = np.zeros(STEPS)
    weigh[[40, -1]] = 1
    hidden, _ = profile(*LINEAR, change=unmoved, each=True, weigh=weigh, model__radius=0.1)
    wanted = falling(0.1)
    wanted[:41] = falling(0.1, 41)  # from step 41 back anew: what came from 120 is 1e-79 there
    np.testing.assert_allclose(hidden - hidden[-1], wanted, atol=CLOSE)


@pytest.mark.slow
def test_losses_at_every_step_join_an_exploded_signal_in_its_scale():
    kernel = []

    def looked_at(params):
        kernel.append(np.asarray(params["first/recurrent/kernel"], np.float64))
        return unmoved(params)

    hidden, _ = profile(*LINEAR, change=looked_at, each=True, weigh=np.ones(STEPS), model__radius=10.0)
    signal, wanted = np.zeros((8, WIDTH)), []
    for _ in range(STEPS):
        signal = 1 + signal @ kernel[0].T
        wanted.append(math.log10(np.linalg.norm(signal)))
    np.testing.assert_allclose(hidden, wanted[::-1], atol=CLOSE)


@pytest.mark.slow
def test_a_cut_gradient_is_a_true_zero_before_the_cut():
    hidden, _ = profile("model=rnn", "model.bptt=50")
    assert (hidden[:100] == -np.inf).all()  # steps 101 … 120 are the last part
    assert np.isfinite(hidden[100:]).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "number", "value", "low", "high"),
    [
        ("rnn", "radius", 0.5, 0.40, 0.50),
        ("rnn", "radius", 1.5, 1.0, 1.2),
        ("lstm", "forget_bias", 0.0, 0.6, 0.8),
        ("lstm", "forget_bias", 3.0, 0.95, 1.06),
        pytest.param("gru", "update_bias", 0.0, 0.6, 0.8, marks=pytest.mark.slow),
        pytest.param("gru", "update_bias", 3.0, 0.93, 1.0, marks=pytest.mark.slow),
    ],
)
def test_a_step_s_factor_at_the_start_is_near_the_measured_one_of_the_references(
    name, number, value, low, high
):
    hidden, _ = profile(f"model={name}", **{f"model__{number}": value})
    assert low < 10 ** ((hidden[0] - hidden[-1]) / (STEPS - 1)) < high
