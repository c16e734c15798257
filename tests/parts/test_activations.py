"""Activations: value and slope against float64 NumPy and PyTorch, their steepest slope, extreme inputs."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from omegaconf import OmegaConf

from gradlab.measurements.probe import BlockSignal
from gradlab.measurements.probes.saturation import saturation
from gradlab.parts.activations import Activation, activation
from gradlab.recipe.paths import CONF
from gradlab.theory import activations as theory

USUAL = {
    path.stem: OmegaConf.to_container(OmegaConf.load(path))
    for path in sorted((CONF / "activation").glob("*.yaml"))
}
OTHERS = [
    {"name": "leaky_relu", "slope": 0.3},
    {"name": "elu", "alpha": 0.3},
    {"name": "elu", "alpha": 2.5},
    {"name": "gelu", "approximate": True},
    {"name": "sine", "frequency": 30.0},
    {"name": "step", "low": 0.0},
]
PARTS = [*USUAL.values(), *OTHERS]
named = lambda part: " ".join(map(str, part.values()))
EXTREME = [-1e30, -1e4, -300.0, -30.0, -0.0, 0.0, 1e-30, 30.0, 300.0, 1e4, 1e30]


def both(part, z):
    """φ(z), and what the pre-activation's tap takes for the slope."""
    phi = activation.make(part).phi
    return jax.jvp(phi, (z,), (jnp.ones_like(z),))


def test_every_activation_has_its_file():
    assert USUAL.keys() == activation.makers.keys() == theory.NAMES


@pytest.mark.few(3)
@pytest.mark.parametrize("part", PARTS, ids=named)
def test_value_and_slope_are_those_of_float64_numpy(part):
    z = np.random.default_rng(0).normal(scale=2, size=(64, 8))
    with jax.enable_x64(True):
        value, slope = both(part, jnp.asarray(z))
    wanted = theory.activation(part)
    np.testing.assert_allclose(value, wanted.phi(z), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(slope, wanted.slope(z), rtol=1e-9, atol=1e-12)


@pytest.mark.few(2)
@pytest.mark.parametrize("part", [one for one in PARTS if one["name"] != "step"], ids=named)
def test_the_slope_is_the_finite_difference(part):
    z = np.array([[-9.1, -3.3, -1.2, -0.41, 0.23, 0.87, 1.9, 4.2]])
    with jax.enable_x64(True):
        phi = activation.make(part).phi
        numeric = (phi(jnp.asarray(z + 1e-6)) - phi(jnp.asarray(z - 1e-6))) / 2e-6
        slope = both(part, jnp.asarray(z))[1]
    np.testing.assert_allclose(slope, numeric, atol=2e-6)  # sin 30z bends 27 000 times as much as sin z


@pytest.mark.few(2)
@pytest.mark.parametrize("part", PARTS, ids=named)
def test_the_steepest_slope_is_right_to_seven_digits(part):
    with jax.enable_x64(True):
        max_slope = activation.make(part).max_slope
        z = jnp.concatenate([jnp.linspace(-12, 12, 400_001), jnp.array([-1e-12, 40.0, 1e4])])
        slope = np.abs(np.asarray(both(part, z)[1]))
    if max_slope is not None:
        assert float(slope.max()) == pytest.approx(float(max_slope), rel=1e-7)
    elif part["name"] != "squared_relu":  # straight pieces: nothing between off and on
        assert len(np.unique(slope)) <= 2


@pytest.mark.few(2)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64"])
@pytest.mark.parametrize("part", PARTS, ids=named)
def test_extreme_inputs_give_numbers(part, dtype):
    """As many entries as it widens to, in the input's dtype, no NaN in value, slope or gradient."""
    with jax.enable_x64(dtype == "float64"):
        z = jnp.array([EXTREME], dtype)
        made = activation.make(part)
        value, slope = both(part, z)
        grad = jax.grad(lambda z: made.phi(z).sum())(z)
        assert value.dtype == slope.dtype == z.dtype
        assert value.shape == slope.shape == (1, made.width_factor * len(EXTREME))
        usual = np.tile(np.abs(np.asarray(z, float)) < 2e4, made.width_factor)
        assert np.isfinite(np.asarray(value, float)[usual]).all()
        assert np.isfinite(np.asarray(slope, float)[usual]).all()
        assert np.isfinite(np.asarray(grad, float)).all() or part.get("approximate")  # z³ is infinite
        assert not np.isnan(np.asarray(value, float)).any()


@pytest.mark.few(2)
@pytest.mark.parametrize("part", PARTS, ids=named)
def test_its_numbers_may_be_traced(part):
    z = jnp.linspace(-3, 3, 24).reshape(2, 12)
    numbers = {key: value for key, value in part.items() if type(value) is float}

    @jax.jit
    def traced(numbers):
        made = activation.make(part | numbers)
        return made.phi(z), jnp.zeros(()) if made.max_slope is None else jnp.asarray(made.max_slope)

    value, max_slope = traced({key: jnp.float32(value) for key, value in numbers.items()})
    np.testing.assert_allclose(value, activation.make(part).phi(z), rtol=1e-5, atol=1e-6)
    assert float(max_slope) == pytest.approx(float(activation.make(part).max_slope or 0.0))


def test_pytorch_has_the_same():
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    theirs = {
        "sigmoid": torch.sigmoid,
        "tanh": torch.tanh,
        "relu": functional.relu,
        "leaky_relu": partial(functional.leaky_relu, negative_slope=0.01),
        "gelu": functional.gelu,
        "gelu True": partial(functional.gelu, approximate="tanh"),
        "selu": functional.selu,
        "elu": functional.elu,
        "elu 2.5": partial(functional.elu, alpha=2.5),
        "silu": functional.silu,
        "mish": functional.mish,
        "softplus": functional.softplus,
        "erf": torch.erf,
        "hard_tanh": functional.hardtanh,
        "softsign": functional.softsign,
    }
    z = np.random.default_rng(1).normal(scale=2, size=500)
    for name, phi in theirs.items():
        part = USUAL.get(name) or next(one for one in OTHERS if named(one) == name)
        x = torch.tensor(z, requires_grad=True)
        phi(x).sum().backward()
        with jax.enable_x64(True):
            value, slope = both(part, jnp.asarray(z))
        np.testing.assert_allclose(value, phi(x).detach(), rtol=1e-8, atol=1e-8, err_msg=name)
        np.testing.assert_allclose(slope, x.grad, rtol=1e-8, atol=1e-8, err_msg=name)


def test_crelu_s_halves_are_relu_s_of_both_signs_and_its_slopes_tell_which_are_off():
    z = jnp.array([[-2.0, 0.0, 3.0]])
    value, slope = both({"name": "crelu"}, z)
    assert value.tolist() == [[0, 0, 3, 2, 0, 0]]
    assert slope.tolist() == [[0, 0, 1, -1, 0, 0]]
    told = saturation().signal(BlockSignal(value, slope, None))
    assert float(told["dead"]) == pytest.approx(4 / 6)
    assert float(told["saturated"]) == 0


@pytest.mark.slow
def test_a_step_is_a_threshold_whose_gradient_is_let_straight_through():
    z = jnp.array([-1e30, -1.5, -0.2, 0.0, 0.7, 1.5])
    for low, slope in ((-1.0, 1.0), (0.0, 0.5), (0.3, 0.35)):
        value, found = both({"name": "step", "low": low}, z)
        assert value.tolist() == [float(np.float32(low))] * 4 + [1.0] * 2
        np.testing.assert_allclose(found, [0, 0, slope, slope, slope, 0], rtol=1e-6)


@pytest.mark.slow
def test_hard_tanh_saturates_on_its_flat_pieces():
    z = jnp.array([[-3.0, 0.5], [2.0, -0.5]])
    made = activation.make(USUAL["hard_tanh"])
    told = saturation().signal(BlockSignal(z, both(USUAL["hard_tanh"], z)[1], made.max_slope))
    assert (float(told["saturated"]), float(told["dead"])) == (0.5, 0.5)


@pytest.mark.slow
def test_a_function_of_one_s_own_is_an_activation():
    made = activation.make(activation.check({"name": "jax.numpy:arctan"}))
    assert isinstance(made, Activation)
    assert made.phi(jnp.ones(3)).shape == (3,)
    assert (made.max_slope, made.width_factor) == (None, 1)
