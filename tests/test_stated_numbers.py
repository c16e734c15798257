"""Numbers and claims of docstrings, each computed anew: gains of random blocks, gates, and what never moves."""

import math

import numpy as np
import pytest
from scipy.optimize import brentq

from gradlab.models.rnn import rnn
from gradlab.parts import normalizations, residuals
from gradlab.parts.initializers import kernels
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


def test_pre_activation_of_relu_gains_half_of_the_weights_variance():
    assert squared_gains(*RELU, 2.0, 512, 20, before_weights=True).mean() == pytest.approx(2.0, rel=0.05)
    assert "1 + σ_w²/2" in residuals.pre_activation.__doc__


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
