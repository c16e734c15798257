"""The figure of histograms: cells are shares of a layer's entries, zeros apart, limits of formats as lines."""

import numpy as np
import pytest

import gradlab
from gradlab.analysis.histograms import histograms
from gradlab.figures.histogram import DRAWN, run_figure
from gradlab.figures.registry import run_figures
from gradlab.measurements.magnitudes import BIAS, MEASURES, ZERO
from gradlab.recipe.errors import RecipeError
from gradlab.report.pictures import default_names
from tests.recipes import TINY

WORDS = (*TINY, "probe=[standard,histogram]", "activation=relu")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return gradlab.run(*WORDS, f"outputs={tmp_path_factory.mktemp('o')}")


def test_the_constants_name_the_measures_of_the_probe():
    assert run_figures()["histogram"].measures == tuple(MEASURES.values())


def test_a_run_with_histograms_has_the_figure_and_another_says_what_to_record(run, tmp_path):
    assert "histogram" in default_names(run)
    plain = gradlab.run(*TINY, "steps=0", f"outputs={tmp_path}")
    assert "histogram" not in default_names(plain)
    with pytest.raises(RecipeError, match=r"probe=\[standard,histogram\]"):
        run_figures()["histogram"].draw(plain, "")


def test_the_cells_are_the_shares_of_the_octaves_and_zeros_have_a_band(run):
    figure = run_figure(run, "a title")
    panel = next(axes for axes in figure.axes if axes.get_title("left") == "Activations h, step 0")
    cells, *bands = panel.collections
    of = histograms(run, "activation")
    at = of.where((of.step == 0) & (of.layer == 2))
    low = int(cells.get_coordinates()[0, 0, 1])
    drawn = cells.get_array()[:, 2].filled(0)
    expected = at.counts[0, low + BIAS : low + BIAS + len(drawn)] / at.counts.sum()
    np.testing.assert_allclose(drawn, expected)
    zeros = bands[-1].get_array()[0, 2]
    np.testing.assert_allclose(zeros, at.counts[0, ZERO] / at.counts.sum())
    assert zeros > 0.1


def test_limits_of_formats_that_lie_in_a_panel_are_lines(run):
    figure = run_figure(run, "a title")
    labels = {line.get_label() for axes in figure.axes for line in axes.get_lines()}
    assert {"_float8_e4m3", "_float8_e5m2"} <= labels <= {f"_{name}" for name in DRAWN}
