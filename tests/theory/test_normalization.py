"""Batch norm's backward factor at every batch size, against closed forms and Monte Carlo."""

import numpy as np
import pytest

from gradlab.theory.activations import activation
from gradlab.theory.kernel import sampled
from gradlab.theory.meanfield import chi, length
from gradlab.theory.normalization import batch_after
from tests.theory.reference import batch_factor, batch_factor_limit

LIMIT = {
    "linear": (1, 1),
    "relu": (1.46694, 1),
    "leaky_relu": (1.45337, 1),
    "tanh": (1.17781, 1.17781),
    "erf": (1.22570, 1.22570),
    "sigmoid": (1.03359, 0.15283),
    "selu": (1.07157, 1.07157),
    "elu": (1.07901, 1.03590),
    "gelu": (1.31884, 1.07203),
    "silu": (1.21208, 1.06663),
    "softplus": (1.08053, 0.31846),
}


@pytest.mark.few(2)
@pytest.mark.parametrize("name", sorted(LIMIT))
def test_factors_of_batch_and_layer_norm_agree_with_the_reference(name):
    act, (batch, layer) = activation({"name": name, "slope": 0.01, "alpha": 1.0}), LIMIT[name]
    assert batch_factor_limit(act) == pytest.approx(batch, abs=6e-6)
    assert chi(act, 1.0, 1.0) / length(act, 1.0, 1.0, 0.0) == pytest.approx(layer, abs=6e-6)


@pytest.mark.few(2)
@pytest.mark.parametrize("batch", [4, 5, 8, 16, 64, 1000])
def test_a_linear_layer_behind_batch_norm_has_a_closed_factor(batch):
    factor = batch_factor(activation({"name": "linear"}), batch)
    assert factor == pytest.approx((batch - 2) / (batch - 3), rel=1e-10)


@pytest.mark.few(1)
@pytest.mark.parametrize(
    ("name", "batch", "factor"),
    [("relu", 32, 1.5219), ("relu", 64, 1.4931), ("relu", 128, 1.4797), ("tanh", 32, 1.2085)],
)
def test_small_batches_explode_faster(name, batch, factor):
    assert batch_factor(activation({"name": name}), batch) == pytest.approx(factor, abs=2.5e-4)


@pytest.mark.few(1)
@pytest.mark.parametrize(("name", "batch"), [("relu", 5), ("relu", 16), ("tanh", 8), ("selu", 6)])
def test_the_sphere_average_agrees_with_drawn_batches(name, batch):
    act, rng = activation({"name": name}), np.random.default_rng(0)
    x = rng.standard_normal((400_000, batch))
    x -= x.mean(1, keepdims=True)
    y = x / np.sqrt((x * x).mean(1, keepdims=True))
    d, g = act.slope(y), rng.standard_normal(x.shape)
    v = d * (g - g.mean(1, keepdims=True))
    v -= v.mean(1, keepdims=True) + (v * y).mean(1, keepdims=True) * y
    variance = act.phi(y).var(1).mean() * batch / (batch - 1)
    drawn = batch / (batch - 3) * (v * v).sum(1).mean() / (batch - 1) / variance
    assert batch_factor(act, batch) == pytest.approx(drawn, rel=5e-3)  # the draw's own error is 1.5e-3


def test_batch_norm_after_a_linear_activation_is_batch_norm_before_it():
    act = activation({"name": "linear"})
    after = sampled(act, np.array([0.7]), lambda sample: batch_after(sample, 16))[0]
    assert after * np.exp(0.7) == pytest.approx(14 / 13, rel=1e-10)
