"""Quadrature is right where functions have kinks or steps."""

import math

import numpy as np
import pytest

from gradlab.theory.activations import NAMES, activation
from gradlab.theory.gaussian import expect
from gradlab.theory.kernel import activation_moments, pair_mean
from tests.theory.reference import expect_pair


def test_a_kinked_slope_is_integrated_to_twelve_digits():
    act, scale, alpha = activation({"name": "selu"}), 1.0507009873554805, 1.6732632423543772
    negative = alpha**2 * math.exp(2) * 0.5 * math.erfc(math.sqrt(2))  # ∫_{z<0} e^{2z} dN
    assert expect(lambda x: act.slope(x) ** 2, 1.0, act.kinks) == pytest.approx(
        scale**2 * (0.5 + negative), rel=1e-12
    )


@pytest.mark.few(2)
@pytest.mark.parametrize("q", [1e-6, 0.3, 1.0, 50.0, 1e6])
def test_the_erf_lengths_and_slopes_follow_their_closed_forms(q):
    act = activation({"name": "erf"})
    length = 2 / math.pi * math.asin(2 * q / (1 + 2 * q))
    assert expect(lambda x: act.phi(x) ** 2, q) == pytest.approx(length, rel=1e-11)
    slope = 4 / math.pi / math.sqrt(1 + 4 * q)
    assert expect(lambda x: act.slope(x) ** 2, q) == pytest.approx(slope, rel=1e-11)


@pytest.mark.few(2)
@pytest.mark.parametrize("c", [-0.9, 0.0, 0.4, 0.99, 0.999999])
def test_the_relu_correlations_follow_the_arc_cosine_kernels(c):
    act, angle = activation({"name": "relu"}), math.acos(c)
    value = (math.sqrt(1 - c * c) + c * (math.pi - angle)) / (2 * math.pi)
    assert expect_pair(act.phi, 2.0, c, act.kinks) == pytest.approx(2.0 * value, abs=1e-9)
    slope = (math.pi - angle) / (2 * math.pi)
    assert expect_pair(act.slope, 2.0, c, act.kinks) == pytest.approx(slope, abs=1e-9)


@pytest.mark.few(5)
@pytest.mark.parametrize("name", sorted(NAMES - {"hard_tanh", "step"}))
def test_each_slope_is_the_derivative_of_its_activation(name):
    act = activation({"name": name, "slope": 0.01, "alpha": 1.3, "frequency": 2.0, "low": -1.0})
    x = np.array([-3.1, -0.7, -0.2, 0.3, 1.9])
    numeric = (act.phi(x + 1e-6) - act.phi(x - 1e-6)) / 2e-6
    np.testing.assert_allclose(act.slope(x), numeric, atol=1e-8)  # the difference's own error is 1e-10


@pytest.mark.few(1)
@pytest.mark.parametrize("name", ["tanh", "gelu", "selu", "relu"])
def test_hermite_spectra_agree_with_the_plane_quadrature(name):
    act, q, c = activation({"name": name}), 0.8, 0.6
    moments = activation_moments(act, np.log([q]))
    exact = expect_pair(act.phi, q, c, act.kinks) / expect(lambda x: act.phi(x) ** 2, q, act.kinks)
    assert pair_mean(moments.phi, np.array([c]))[0] == pytest.approx(exact, abs=1e-6)


def test_lengths_beyond_the_floating_range_are_continued_as_powers():
    moments = activation_moments(activation({"name": "relu"}), np.array([-5000.0, 0.0, 5000.0]))
    np.testing.assert_allclose(moments.log_phi2 - [-5000.0, 0.0, 5000.0], -math.log(2), rtol=1e-10)
