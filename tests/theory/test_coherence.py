"""What a residual net's mean direction does, against a reference and a wide drawn network."""

import math

import numpy as np
import pytest

from gradlab.theory.coherence import alike_at_loss, at_loss
from gradlab.theory.mlp import predict
from tests.theory.network import DATA, SCALE, draw_networks, part, recipe


@pytest.mark.slow
def test_the_loss_gradient_is_random_along_the_logits_only_while_they_are_small():
    assert at_loss(10, 1e-8)[0] == pytest.approx(1, rel=0.03)
    largest, variance = 1.53875, 0.34434  # of ten normal draws
    sure = (largest**2 + variance - 2 / 10 + 1) / 1.8
    assert at_loss(10, 1e8)[0] == pytest.approx(sure, rel=0.03)


def test_gradients_at_the_loss_are_alike_where_all_examples_are_given_to_one_class():
    assert alike_at_loss(10, 1e-8, 0.0) == pytest.approx(1 / 9, rel=1e-6)
    # p = e_k for all: gᵀg' over labels i, j is (1 − [i = k] − [j = k] + [i = j]), its size 2·9/10
    products = [(1 - (i == 0) - (j == 0) + (i == j)) ** 2 for i in range(10) for j in range(10)]
    assert alike_at_loss(10, 1e8, 1.0) == pytest.approx(np.mean(products) / 1.8**2, rel=1e-3)


def test_gradients_at_the_loss_are_as_alike_as_drawn_ones():
    random = np.random.default_rng(1)
    first, fresh = random.standard_normal((2, 40_000, 10))
    logits = 2 * np.stack([first, 0.6 * first + 0.8 * fresh])
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    g = p - np.eye(10)[random.integers(0, 10, (2, 40_000))]
    drawn = np.mean(np.sum(g[0] * g[1], -1) ** 2) / np.mean(np.sum(g * g, -1)) ** 2
    assert alike_at_loss(10, 4.0, 0.6) == pytest.approx(drawn, rel=0.03)


@pytest.mark.slow
def test_a_relu_residual_net_explodes_faster_than_its_gain():
    settings = recipe(activation=part("relu"), residual=part("plain"))
    prediction = predict(settings, DATA)
    drawn = draw_networks(settings)[1][:, 0]
    extrapolated = 20 * 2 * math.log(prediction.gain)
    assert prediction.gain == pytest.approx(math.sqrt(1.5), rel=1e-6)
    assert drawn.mean() > extrapolated + 3
    assert prediction.log10_backward[0] * SCALE == pytest.approx(drawn.mean(), abs=0.7)
    assert "faster than the gain" in prediction.note


def test_without_a_mean_the_residual_factor_is_one_plus_chi():
    settings = recipe(activation=part("linear"), residual=part("scaled"), width=10**8)
    prediction = predict(settings, DATA)
    np.testing.assert_allclose(prediction.log10_gain * SCALE, math.log(1 + 1 / 20), rtol=1e-9)
    assert prediction.log10_backward[0] * SCALE == pytest.approx(20 * math.log(1 + 1 / 20), rel=1e-5)
