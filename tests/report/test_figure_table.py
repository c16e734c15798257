"""The numbers of a figure: as text, CSV and JSON they are those of the stored table."""

import io
import json

import numpy as np
import pandas as pd
import pytest

from gradlab.analysis.selection import to_float64
from gradlab.figures.registry import run_figures
from gradlab.recipe.errors import RecipeError
from gradlab.report.figure_table import table_text
from tests.figures.kinds import KINDS, stored


@pytest.fixture
def run(tmp_path):
    return stored(tmp_path / "run", KINDS["mlp"])


def test_text_has_a_line_per_step_and_layer(run):
    lines = table_text(run, run_figures()["profile"], "text").splitlines()
    assert lines[0].split() == "seed step layer name log10_forward log10_backward log10_gradient".split()
    assert len(lines) == 1 + 3 * 7
    assert len({len(line) for line in lines}) == 1
    row = run.layers.iloc[8]
    assert lines[9].split()[-1] == f"{row.log10_gradient:.4g}"


def test_csv_and_json_have_all_digits(run):
    frame = pd.read_csv(io.StringIO(table_text(run, run_figures()["saturation"], "csv")))
    np.testing.assert_allclose(frame.saturated, to_float64(run.layers.saturated), rtol=1e-7)
    rows = json.loads(table_text(run, run_figures()["saturation"], "json"))
    assert rows[3]["dead"] == float(run.layers.dead.iloc[3])
    assert rows[3]["name"] == "hidden 3"


def test_a_number_that_is_not_finite_is_a_word_in_json(tmp_path):
    run = stored(tmp_path / "run", KINDS["cut"])
    rows = json.loads(table_text(run, run_figures()["profile"], "json"))
    assert rows[0]["log10_backward"] == "-inf"


@pytest.mark.parametrize("name", run_figures())
def test_every_figure_that_a_run_has_has_a_table(run, tmp_path, name):
    figure = run_figures()[name]
    if not figure.problem(run):
        assert len(table_text(run, figure, "text").splitlines()) > 1


def test_a_figure_that_a_run_has_not_is_refused(run):
    with pytest.raises(RecipeError, match="it is about model=point"):
        table_text(run, run_figures()["surface"], "text")
