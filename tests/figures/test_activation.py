"""The figure of the activation: E φ′² against an independent integral, and the product over depth."""

import numpy as np
import pytest

from gradlab.figures import activation as figure_of
from gradlab.recipe.errors import RecipeError
from gradlab.store.read import open_run
from gradlab.theory.activations import activation
from gradlab.theory.slopes import hidden_slopes, mean_square_slope
from tests import runs
from tests.figures.frames import legend


def slow(act, q):
    """E φ′(√q·z)² as a Riemann sum."""
    z = np.linspace(-10, 10, 400_001)
    density = np.exp(-z * z / 2) / np.sqrt(2 * np.pi)
    return float(np.sum(act.slope(np.sqrt(q) * z) ** 2 * density) * (z[1] - z[0]))


@pytest.mark.parametrize("name", ["tanh", "relu", "gelu", "selu", "hard_tanh", "softsign"])
@pytest.mark.parametrize("q", [0.01, 1.0, 40.0])
def test_the_mean_squared_slope_is_that_of_a_slow_sum(name, q):
    act = activation({"name": name})
    assert float(mean_square_slope(act, np.array(q))) == pytest.approx(slow(act, q), rel=2e-4)


def test_a_layer_s_q_follows_from_the_signal_below():
    recipe = runs.recipe(depth=2, width=64, initializer={"name": "normal", "sigma_w": 1.5, "sigma_b": 0.2})
    found = hidden_slopes(recipe, runs.DATA, np.log10([2.0, 0.5]))
    q = 1.5**2 * np.array([4.0, 0.25]) + 0.2**2
    np.testing.assert_allclose(found.q, q)
    act = activation({"name": "tanh"})
    np.testing.assert_allclose(found.factor, [1.5**2 * slow(act, value) for value in q], rtol=1e-5)


def test_the_product_over_depth_is_the_running_product_of_the_factors(tmp_path):
    run = open_run(runs.simple(tmp_path / "run", depth=6))  # orthogonal, tanh, a forward signal of 1
    figure = figure_of.run_figure(run, "")
    (line,) = [line for line in figure.axes[2].get_lines() if line.get_label() == "_product"]
    step = 0.5 * np.log10(slow(activation({"name": "tanh"}), 1.0))
    np.testing.assert_allclose(line.get_ydata(), [(6 - layer) * step for layer in range(1, 7)], rtol=1e-4)
    points = figure.axes[1].collections[0].get_offsets()
    np.testing.assert_allclose(points[:, 0], np.ones(6))
    assert "product of √(σ_w²·E φ′²)" in legend(figure)


def test_a_network_with_a_norm_has_the_curves_and_no_layers(tmp_path):
    path = runs.simple(tmp_path / "run", normalization={"name": "layer", "place": "before", "epsilon": 1e-5})
    figure = figure_of.run_figure(open_run(path), "")
    assert len(figure.axes) == 2
    assert not figure.axes[1].collections


def test_an_activation_that_is_not_known_is_refused(tmp_path):
    run = open_run(runs.simple(tmp_path / "run", activation={"name": "mine"}))
    with pytest.raises(RecipeError, match="has no activation"):
        figure_of.run_figure(run, "")
