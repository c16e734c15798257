"""The figure of the Jacobian: singular values as they were measured, and moments alone where there are no others."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from gradlab.figures import jacobian
from gradlab.figures.registry import run_figures
from gradlab.recipe.errors import RecipeError
from gradlab.store.read import open_run
from tests import runs
from tests.figures.frames import data, legend, marked, render

STEPS = [0, 10, 20, 30]
SPECTRA = np.array([[0.2, 0.1, -0.5], [0.3, 0.0, -1.0], [0.4, -0.1, -1.5], [0.5, -0.2, -2.0]])
MOMENTS = {
    "jacobian_mean_square": [1.0, 1.1, 1.2, 1.3],
    "isometry": [0.5, 1.0, 2.0, 4.0],
    "jacobian_condition": [5.0, 20.0, 80.0, None],
}


def measured(spectra=(), **moments):
    """What the figure reads of a run of one seed; None was not measured."""
    columns = {name: pd.array(values, dtype="Float64") for name, values in (MOMENTS | moments).items()}
    rows = [
        (0, step, "probe", 3, "log10_singular_value", index, value)
        for step, values in zip(STEPS, spectra, strict=False)
        for index, value in enumerate(values)
    ]
    names = ["seed", "step", "source", "layer", "measure", "index", "value"]
    vectors = pd.DataFrame(rows, columns=names)
    steps = pd.DataFrame({"seed": 0, "step": STEPS, "source": "probe", **columns})
    return SimpleNamespace(steps=steps, vectors=vectors)


def drawn(panel):
    return [line.get_ydata() for line in data(panel) if line.get_label() != "_one"]


def test_singular_values_stand_at_three_steps_and_both_measures_as_log10(tmp_path):
    figure = jacobian.run_figure(measured(SPECTRA), "a title")
    spectrum, over_steps = figure.axes
    np.testing.assert_allclose(drawn(spectrum), SPECTRA[[0, 1, 3]])
    assert data(spectrum)[0].get_xdata().tolist() == [0, 1, 2]
    isometry, condition = drawn(over_steps)
    np.testing.assert_allclose(isometry, np.log10(MOMENTS["isometry"]), atol=1e-6)
    np.testing.assert_allclose(condition, np.log10([5, 20, 80]), atol=1e-6)
    assert data(over_steps)[1].get_xdata().tolist() == [0, 10, 20]
    assert {"s at step 0", "s at step 10", "s at step 30", "s = 1: length kept"} <= set(legend(figure))
    render(figure, tmp_path)


def test_of_a_wide_network_only_the_moments_are_drawn(tmp_path):
    figure = jacobian.run_figure(measured(jacobian_condition=[None] * 4), "")
    (panel,) = figure.axes
    np.testing.assert_allclose(drawn(panel), [np.log10(MOMENTS["isometry"])], atol=1e-6)
    assert legend(figure) == ["isometry: Var s²/(mean s²)²"]
    render(figure, tmp_path)


def test_a_singular_value_of_zero_and_an_exact_isometry_stand_at_the_edge(tmp_path):
    spectra = SPECTRA.copy()
    spectra[0, 2] = -np.inf
    isometry = [0.0, -1e-7, 1.0, 2.0]  # below 0 by rounding
    figure = jacobian.run_figure(measured(spectra, isometry=isometry), "")
    assert marked(figure) == [{"zero"}, {"zero"}]
    crosses = [line for line in figure.axes[1].get_lines() if line.get_label() == "_zero"]
    assert crosses[0].get_xdata().tolist() == [0, 10]
    render(figure, tmp_path)


def test_an_axis_of_a_near_isometry_has_two_decades():
    figure = jacobian.run_figure(measured(np.full((4, 3), 0.001)), "")
    low, high = figure.axes[0].get_ylim()
    assert high - low == pytest.approx(2.0)


def test_a_run_without_the_measure_says_what_to_record(tmp_path):
    run = open_run(runs.simple(tmp_path / "run"))
    assert not run_figures()["jacobian"].is_available(run)
    with pytest.raises(RecipeError, match=r"run it with probe=\[standard,jacobian\]"):
        run_figures()["jacobian"].draw(run, "")
