"""Numbers and claims of docstrings, each computed anew: gains of random blocks, gates, and what never moves."""

import math

import numpy as np
import pytest
from scipy.optimize import brentq

from gradlab.models.rnn import rnn
from gradlab.parts import activations, normalizations, residuals
from gradlab.parts.initializers import kernels
from gradlab.parts.losses import functions as losses
from gradlab.store.read import open_run
from tests.recipes import launch, tiny

RELU = (lambda z: np.maximum(z, 0), lambda z: (z > 0).astype(float))
LINEAR = (lambda z: z, np.ones_like)


def squared_gains(phi, slope, sigma2, width, blocks, before_weights=False):
    """‖∂L/∂h_{l−1}‖²/‖∂L/∂h_l‖² of blocks h' = h + f(h), from the last block to the first."""
    random = np.random.default_rng(0)
    h, weights, inputs = random.standard_normal((8, width)), [], []
    for _ in range(blocks):
        w = random.standard_normal((width, width)) * math.sqrt(sigma2 / width)
        z = h if before_weights else h @ w
        h = h + (phi(z) @ w if before_weights else phi(z))
        weights.append(w)
        inputs.append(z)
    g = random.standard_normal((8, width))
    gains = []
    for w, z in zip(weights[::-1], inputs[::-1], strict=True):
        back = (g @ w.T) * slope(z) if before_weights else (g * slope(z)) @ w.T
        gains.append(np.linalg.norm(g + back) ** 2 / np.linalg.norm(g) ** 2)
        g = g + back
    return np.array(gains)


def test_a_plain_block_with_a_branch_of_mean_zero_gains_one_more_than_its_branch():
    assert squared_gains(*LINEAR, 1.0, 512, 20).mean() == pytest.approx(2.0, rel=0.03)


def test_plain_relu_blocks_gain_more_because_their_means_add_up():
    s = brentq(lambda s: s**3 - s**2 - 2 * s + 2 - 2 / math.pi, 1.5, 2)
    assert s**2 == pytest.approx(2.90, abs=0.005)
    gains = squared_gains(*RELU, 2.0, 1024, 50)
    assert gains[:3].mean() == pytest.approx(2.0, rel=0.05)
    assert gains[25:46].mean() == pytest.approx(s**2, rel=0.05)
    assert "2.90" in residuals.plain.__doc__


def test_scaled_relu_blocks_grow_with_the_root_of_depth_because_their_means_add_up():
    """m <- m + α·E relu(z), q <- q + α²·E relu(z)² + 2α·m·E relu(z) with z ~ N(0, 2q), α = 1/√L."""
    grown = []
    for depth in (10_000, 40_000):
        m, log_q, alpha = 1 / math.sqrt(math.pi), 0.0, depth**-0.5  # m relative to √q
        for _ in range(depth):
            factor = 1 + alpha**2 + 2 * alpha * m / math.sqrt(math.pi)
            m, log_q = (m + alpha / math.sqrt(math.pi)) / math.sqrt(factor), log_q + math.log(factor)
        grown.append(log_q / 2)
    assert (grown[1] - grown[0]) / 100 == pytest.approx(1 / math.sqrt(math.pi), rel=0.01)
    assert "e^√(L/π)" in residuals.scaled.__doc__


def test_pre_activation_of_relu_gains_half_of_the_weights_variance():
    assert squared_gains(*RELU, 2.0, 512, 20, before_weights=True).mean() == pytest.approx(2.0, rel=0.05)
    assert "1 + σ_w²/2" in residuals.pre_activation.__doc__


@pytest.mark.parametrize(("before", "squared"), [(True, 1.0), (False, 1.467)])
def test_layer_norm_before_relu_keeps_the_squared_gradient_and_behind_it_does_not(before, squared):
    random, width = np.random.default_rng(0), 2000
    norm = lambda x: (x - x.mean(1, keepdims=True)) / x.std(1, keepdims=True)
    h = np.maximum(random.standard_normal((64, width)), 0)
    h = h if before else norm(h)
    w = random.standard_normal((width, width)) / math.sqrt(width)
    z, g = h @ w, random.standard_normal((64, width))
    phi, slope = RELU
    inner = _norm_back(z, g * slope(norm(z))) if before else _norm_back(phi(z), g) * slope(z)
    back = inner @ w.T
    assert (back**2).sum() / (g**2).sum() == pytest.approx(squared, rel=0.05)


def _norm_back(x, g):
    """The derivative of the normalization at x, applied to g."""
    y = (x - x.mean(1, keepdims=True)) / x.std(1, keepdims=True)
    along = (g * y).mean(1, keepdims=True) * y
    return (g - g.mean(1, keepdims=True) - along) / x.std(1, keepdims=True)


def test_slopes_and_variances_of_the_docstrings():
    z = np.linspace(-8, 8, 4001)
    assert np.gradient(1 / (1 + np.exp(-z)), z).max() == pytest.approx(1 / 4, abs=1e-5)
    assert "1/4" in activations.sigmoid.__doc__
    assert np.gradient(np.vectorize(math.erf)(z), z).max() == pytest.approx(2 / math.sqrt(math.pi), abs=1e-4)
    assert "2/√π" in activations.erf.__doc__
    drawn = np.random.default_rng(0).standard_normal(2_000_000)
    assert drawn[np.abs(drawn) < 2].var() == pytest.approx(0.7737, abs=2e-3)
    assert "0.7737" in kernels.truncated_normal.__doc__
    # of PyTorch's Linear: U(−1/√fan_in, 1/√fan_in), which is He's with a = √5
    assert 2 / (1 + math.sqrt(5) ** 2) == pytest.approx(1 / 3)
    p = np.array([1.0, 0.0])
    assert np.linalg.norm(p - [0.0, 1.0]) == pytest.approx(math.sqrt(2))
    assert "√2" in losses.cross_entropy.__doc__


@pytest.mark.parametrize(("gain", "isometry"), [(1.0, True), (2.0, False)])
def test_looks_linear_is_an_isometry_for_gain_one(gain, isometry):
    random = np.random.default_rng(0)
    w0 = gain * np.linalg.qr(random.standard_normal((16, 16)))[0]
    z = random.standard_normal((4, 16))
    out = np.concatenate([np.maximum(z, 0), np.maximum(-z, 0)], axis=1) @ np.concatenate([w0, -w0])
    np.testing.assert_allclose(out, z @ w0, atol=1e-12)
    assert np.allclose(np.linalg.norm(out, axis=1), np.linalg.norm(z, axis=1)) == isometry


def test_layer_norm_behind_relu_and_the_gain_of_scaled_standardization():
    variance = 1 - 1 / math.pi  # of relu's output over its second moment
    assert f"{1 / variance:.3f}" == "1.467"
    assert "1.467" in normalizations.layer.__doc__
    assert f"{math.sqrt(2 / variance):.4f}" == "1.7129"
    assert "1.7129" in normalizations.scaled_standardization.__doc__


@pytest.mark.few(2)
@pytest.mark.parametrize(
    ("activation", "starts"), [("tanh", False), ("sigmoid", True), ("relu", False), ("softplus", True)]
)
def test_weights_of_zeros_move_where_the_activation_of_zero_is_none(tmp_path, activation, starts):
    words = (
        "initializer=zeros",
        f"activation={activation}",
        "probe=[backward,weight]",
        "snapshot=[]",
        "lr=0.5",
    )
    layers = open_run(launch(tiny(tmp_path, *words)).folder).layers
    last = layers[(layers.step == layers.step.max()) & (layers.source == "batch")]
    assert bool((last.log10_weight > -np.inf).any()) == starts
    assert "only the output's bias" in kernels.zeros.__doc__


def test_a_small_spectral_radius_does_not_keep_a_gradient_from_growing():
    """Only σ_max < 1 does: with ρ = 0.9 and σ_max = 9 it grows by orders of magnitude before it vanishes."""
    w = np.array([[0.9, 9.0], [0.0, 0.9]])
    assert max(abs(np.linalg.eigvals(w))) == pytest.approx(0.9)
    g, norms = np.array([1.0, 0.0]), []
    for _ in range(300):
        g = g @ w
        norms.append(np.linalg.norm(g))
    assert max(norms) > 30
    assert norms[-1] < 1e-6
    assert "σ_max" in rnn.__doc__


def test_the_forget_gate_of_bias_zero_is_a_half():
    assert 1 / (1 + math.exp(-0.0)) == 0.5
