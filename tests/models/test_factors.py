"""Squared backward factors of normalized and residual networks, and SELU's fixed point, against closed formulas."""

import math

import numpy as np
import pytest

from gradlab.theory.activations import activation
from gradlab.theory.meanfield import chi, length
from tests.models.plain import passes
from tests.theory.reference import batch_factor

WIDE = ("width=400", "depth=20")


def factor(seen):
    """A layer's squared factor, towards the input, without three layers at each end."""
    curve = seen.backward.mean(0)
    layers = np.arange(3, len(curve) - 4)
    return math.exp(-np.polyfit(layers, curve[layers], 1)[0])


def normalized(words, batch, wanted):
    return pytest.param(
        words, batch, wanted, id="-".join(word.partition("=")[2] for word in words), marks=pytest.mark.slow
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "batch", "wanted"),
    [
        pytest.param(("activation=relu", "normalization=batch"), 256, 1.467, id="batch-relu"),
        pytest.param(("activation=relu", "normalization=layer"), 16, 1.0, id="layer-relu"),
        pytest.param(
            ("activation=relu", "normalization=layer", "normalization.place=after"),
            16,
            1.467,
            id="relu-layer",
        ),
        normalized(("activation=linear", "normalization=batch"), 8, 1.2),
        normalized(("activation=relu", "normalization=batch"), 8, 1.7927),
        normalized(("activation=tanh", "normalization=batch"), 32, 1.2085),
        normalized(("activation=tanh", "normalization=layer"), 16, 1.17781),
        normalized(("activation=gelu", "normalization=layer"), 16, 1.07203),
        normalized(("activation=relu", "normalization=rms"), 16, 1.0),
        normalized(("activation=relu", "normalization=rms", "normalization.place=after"), 16, 1.0),
        normalized(("activation=relu", "normalization=group"), 16, 1.0),
        normalized(("activation=relu", "normalization=weight_norm"), 16, 1.0),
        normalized(
            ("activation=relu", "normalization=scaled_standardization", "normalization.gain=1.7128"),
            16,
            1.467,
        ),
    ],
)
def test_a_norm_multiplies_the_squared_gradient_by_its_factor(words, batch, wanted):
    found = passes(*words, *WIDE, f"batch_size={batch}", "initializer=he", networks=6)
    assert factor(found) == pytest.approx(wanted, rel=0.04)


def test_the_factors_above_are_those_of_theory():
    relu = activation({"name": "relu"})
    assert batch_factor(relu, 256) == pytest.approx(1.467, rel=0.01)  # π/(π − 1) at B → ∞
    assert batch_factor(relu, 8) == pytest.approx(1.7927, rel=5e-3)


def ratio(words, networks=6, **changes):
    """ln of the squared backward ratio of the first block's input to the last one's output."""
    curve = passes(*words, networks=networks, **changes).backward
    return float((curve[:, 0] - curve[:, -2]).mean())


BLOCKS, L = ("width=400", "depth=40", "batch_size=16", "initializer=normal"), 40
PRE = (*BLOCKS, "activation=relu", "residual=pre_activation")  # one program: α·W is a number


@pytest.mark.slow
@pytest.mark.parametrize(("alpha", "wanted"), [(1, 1.10e12), (L**-0.5, 2.685), (1 / L, 1.0253)])
def test_a_scaled_branch_multiplies_the_squared_gradient_by_one_plus_alpha_squared(alpha, wanted):
    assert (1 + alpha**2) ** L == pytest.approx(wanted, rel=5e-3)
    found = ratio(PRE, initializer__sigma_w=math.sqrt(2) * alpha)
    assert found == pytest.approx(math.log(wanted), rel=0.1)


@pytest.mark.slow
def test_rezero_lets_the_gradient_through_unchanged():
    curve = passes("width=50", "depth=30", "residual=rezero", networks=2).backward[:, :-1]
    np.testing.assert_array_equal(np.diff(curve), 0)


@pytest.mark.slow
def test_batch_norm_in_the_branch_grows_as_a_power_of_depth():
    words = [word for word in PRE if not word.startswith("batch_size")]
    v, wanted = 2.0, 0.0  # of h_0 = W x over the batch; each block adds 2·Var relu(Z)
    for _ in range(L):
        wanted, v = wanted + math.log1p(1 / v), v + (math.pi - 1) / math.pi
    found = ratio((*words, "normalization=batch", "batch_size=256"), initializer__sigma_w=math.sqrt(2))
    assert found == pytest.approx(wanted, rel=0.1)


def tanh_branch(q):
    """ln of the squared ratio of h + tanh(W h) over L blocks, from E h² = q."""
    tanh, found = activation({"name": "tanh"}), 0.0
    for _ in range(L):
        found, q = found + math.log1p(chi(tanh, q, 1.0)), q + length(tanh, q, 1.0, 0.0)
    return found


@pytest.mark.slow
def test_a_tanh_branch_grows_with_the_root_of_depth():
    assert math.exp(tanh_branch(1.0)) == pytest.approx(575.5, rel=1e-3)
    first = length(activation({"name": "tanh"}), 1.0, 1.0, 0.0)
    found = ratio((*BLOCKS, "activation=tanh", "residual=plain"), networks=3)
    assert found == pytest.approx(tanh_branch(first), rel=0.1)


STOCHASTIC = (
    "width=100",
    "depth=40",
    "batch_size=4",
    "initializer=normal",
    "activation=linear",
    "residual=stochastic_depth",
)
SURVIVE = [1 - layer / L * 0.5 for layer in range(1, L + 1)]


@pytest.mark.slow
def test_stochastic_depth_passes_as_many_blocks_as_survive():
    spread = math.sqrt(sum(p * (1 - p) for p in SURVIVE)) * math.log(2)
    trained = ratio(STOCHASTIC, networks=24)
    assert trained == pytest.approx(sum(SURVIVE) * math.log(2), abs=4 * spread / math.sqrt(24))


@pytest.mark.slow
def test_stochastic_depth_evaluates_the_mean_branch():
    wanted = sum(math.log1p(p * p) for p in SURVIVE)
    assert ratio(STOCHASTIC, train=False) == pytest.approx(wanted, rel=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("depth", [10, pytest.param(160, marks=pytest.mark.slow)])
def test_deepnorm_keeps_gradient_and_signal_at_any_depth(depth):
    words = ("width=100", f"depth={depth}", "batch_size=16", "initializer=he", "activation=relu")
    found = passes(*words, "residual=deepnorm", networks=4)
    assert (
        np.abs(found.backward[:, 1:-1] - found.backward[:, -2:-1]).max() < 1.5
    )  # e^O(1), whatever the depth
    np.testing.assert_allclose(found.var[:, 1:-1], 1, atol=0.05)


@pytest.mark.slow
def test_selu_holds_mean_and_variance_and_expands_its_gradient():
    words = ("width=500", "depth=100", "batch_size=32", "activation=selu", "initializer=lecun")
    found = passes(*words, networks=2)
    assert np.abs(found.mean[:, 50:101]).max() < 0.05
    assert np.abs(found.var[:, 50:101].mean(0) - 1).max() < 0.1
    grown = math.exp((found.backward[:, 0] - found.backward[:, 100]).mean() / 2)
    assert 31.7 / 1.5 < grown < 31.7 * 1.5
