"""The figures of the update: they draw what was measured, with the number that it is compared with."""

import numpy as np
import pytest

from gradlab.figures import optimizer_state, update_ratio
from gradlab.figures.registry import run_figures
from gradlab.recipe.errors import RecipeError
from tests import runs
from tests.figures.frames import data, legend, marked, render

STEPS = [0, 50, 100]


def run_of(folder, ratio=None, **moments):
    """A run of ten layers with the ratio of shape (steps, layers), and the moments of each layer's kernels."""
    more = dict(moments) if ratio is None else {"log10_update_ratio": ratio} | moments
    layers = [runs.layer_table(np.zeros((3, 10)), STEPS, **more)]
    return runs.opened(folder, layers, [runs.step_table([2.3, 1.0, 0.1], STEPS)])


def ratios():
    return -3.0 + 0.1 * np.arange(30).reshape(3, 10)


def test_the_ratio_is_drawn_as_measured_with_the_usual_one(tmp_path):
    figure = update_ratio.run_figure(run_of(tmp_path / "run", ratios()), "title")
    by_depth, by_step = figure.axes
    drawn = [line.get_ydata() for line in data(by_depth)]
    usual, lines = drawn[0], drawn[1:]
    np.testing.assert_allclose(usual, [-3, -3])
    np.testing.assert_allclose(lines, ratios(), atol=1e-6)
    np.testing.assert_allclose(data(by_step)[1].get_ydata(), ratios()[:, 0], atol=1e-6)
    assert {"usual: 10⁻³", "step 0", "step 50", "step 100", "layer 0", "layer 9"} <= set(legend(figure))
    render(figure, tmp_path)


def test_an_infinite_ratio_and_one_of_zero_stand_at_the_edges(tmp_path):
    values = ratios()
    values[1, 3], values[2, 4] = np.inf, -np.inf
    figure = update_ratio.run_figure(run_of(tmp_path / "run", values), "")
    assert marked(figure)[0] == {"inf", "zero"}
    render(figure, tmp_path)


def test_the_effective_step_is_drawn_beside_one_and_moments_only_where_there_are_some(tmp_path):
    values = ratios()
    figure = optimizer_state.run_figure(run_of(tmp_path / "sgd", log10_effective_step=values), "")
    (panel,) = figure.axes
    *lines, one = [line.get_ydata() for line in data(panel)]
    np.testing.assert_allclose(lines, values, atol=1e-6)
    np.testing.assert_allclose(one, [0, 0])
    both = run_of(tmp_path / "adam", log10_effective_step=values, log10_first_moment=values - 5)
    figure = optimizer_state.run_figure(both, "")
    assert [panel.get_title(loc="left") for panel in figure.axes] == [
        "Average of gradients",
        "Effective step",
    ]
    render(figure, tmp_path)


@pytest.mark.parametrize("name", ["update_ratio", "optimizer_state"])
def test_a_run_without_the_measure_says_what_to_record(tmp_path, name):
    run = run_of(tmp_path / "run", log10_update=ratios())
    assert not run_figures()[name].is_available(run)
    with pytest.raises(RecipeError, match=rf"probe=\[standard,{name}\]"):
        run_figures()[name].draw(run, "")
