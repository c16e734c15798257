"""Fixed points and critical lines agree with an independent reference, to all its printed digits."""

import math

import pytest

from gradlab.theory.activations import activation
from gradlab.theory.meanfield import chi, critical_weight, fixed_length, length, length_slope
from tests.theory.reference import depth_scale, fixed_correlation

BIASES = (0.0, 0.0025, 0.05, 0.25, 1.0)
CRITICAL = {
    "tanh": (1.0, 1.26009, 1.76095, 2.40149, 3.44321),
    "erf": (0.785398, 0.987412, 1.37584, 1.88055, 2.71838),
    "sigmoid": (103.0, 103.01, 103.13, 103.61, 105.37),
    "selu": (0.47677, 0.67570, 0.90177, 1.10174, 1.31771),
    "elu": (1.0, 1.28113, 1.53372, 1.70593, 1.84410),
    "softsign": (1.0, 1.85246, 3.14125, 4.69253, 7.11514),
    "hard_tanh": (1.0, 1.01779, 1.16554, 1.47173, 2.07271),
    "relu": (2.0,) * 5,
    "linear": (1.0,) * 5,
}
SETTLED = [  # activation, σ_w², σ_b², q*, χ, c*, ξ_c
    ("relu", 1.76, 0.05, 0.4167, 0.88, 1, 7.823),
    ("leaky_relu", 1.76, 0.05, 0.417, 0.88009, 1, 7.829),
    ("tanh", 2, 0, 0.618, 1.10553, 0, 21.72),
    ("tanh", 1.76, 0.05, 0.5695, 0.99980, 1, 4912),
    ("erf", 1, 0, 0.1419, 1.01690, 0, 120.5),
    ("erf", 2, 0, 0.8808, 1.19737, 0, 12.34),
    ("erf", 1.76, 0.05, 0.7874, 1.10009, 0.5734, 13.65),
    ("sigmoid", 1 / 3, 0, 0.08503, 0.02001, 1, 0.2556),
    ("sigmoid", 1, 0, 0.2647, 0.05572, 1, 0.3463),
    ("sigmoid", 2, 0, 0.5553, 0.10098, 1, 0.4361),
    ("sigmoid", 1.76, 0.05, 0.5374, 0.08935, 1, 0.414),
    ("selu", 1, 0, 1, 1.07157, 0, 33.6),
    ("selu", 1.76, 0.05, 84.96, 1.08888, 0.8671, 19.08),
    ("elu", 1.76, 0.05, 4.288, 1.04102, 0.8124, 29.31),
    ("gelu", 1.76, 0.05, 0.1028, 0.53548, 1, 1.601),
    ("silu", 1.76, 0.05, 0.09413, 0.47790, 1, 1.354),
    ("softplus", 1, 0, 0.8563, 0.28872, 1, 0.805),
    ("softplus", 1.76, 0.05, 4.983, 0.63113, 1, 2.173),
]


@pytest.mark.few(3)
@pytest.mark.parametrize("name", sorted(CRITICAL))
def test_the_edge_of_chaos_lies_where_the_reference_has_it(name):
    act = activation({"name": name, "alpha": 1.0})
    weights = [critical_weight(act, bias) for bias in BIASES]
    digits = 8e-5 if name == "sigmoid" else 8e-6  # as many as the reference prints: 103.0, else six
    assert weights == pytest.approx(CRITICAL[name], rel=digits)


@pytest.mark.few(4)
@pytest.mark.parametrize(("name", "weight", "bias", "q", "factor", "c", "depth"), SETTLED)
def test_fixed_points_agree_with_the_reference(name, weight, bias, q, factor, c, depth):
    act = activation({"name": name, "slope": 0.01, "alpha": 1.0})
    settled = fixed_length(act, weight, bias)
    assert settled == pytest.approx(q, rel=6e-4)  # four digits are printed
    assert chi(act, settled, weight) == pytest.approx(factor, abs=6e-6)
    assert fixed_correlation(act, settled, weight, bias) == pytest.approx(c, abs=6e-5)
    assert depth_scale(act, settled, weight, bias) == pytest.approx(depth, rel=6e-4)


@pytest.mark.parametrize(("name", "weight", "q"), [("linear", 2, math.inf), ("gelu", 2, 0), ("relu", 1, 0)])
def test_a_length_without_a_fixed_point_dies_or_grows(name, weight, q):
    assert fixed_length(activation({"name": name}), weight, 0.0) == q


@pytest.mark.parametrize(
    ("name", "weight", "bias", "q"),
    [("gelu", 1.98305826, 0.17292239, 3.5616), ("silu", 1.98800468, 0.55514317, 14.3202)],
)
def test_gelu_and_silu_are_critical_at_their_half_stable_point_only(name, weight, bias, q):
    act = activation({"name": name})
    assert chi(act, q, weight) == pytest.approx(1, abs=1e-5)
    assert length(act, q, weight, bias) == pytest.approx(q, rel=1e-5)
    assert length_slope(act, q, weight) == pytest.approx(1, abs=1e-4)


def test_selu_keeps_its_length_and_expands_its_gradient():
    act = activation({"name": "selu"})
    assert length(act, 1.0, 1.0, 0.0) == pytest.approx(1, abs=1e-13)
    assert length_slope(act, 1.0, 1.0) == pytest.approx(0.783, abs=5e-4)
