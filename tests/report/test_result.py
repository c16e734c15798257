"""A stored run as Python and a notebook show it."""

import base64
import re

import pytest

import gradlab
from gradlab.recipe.errors import RecipeError
from gradlab.report.result import RunResult
from gradlab.store.read import open_run
from tests import runs


@pytest.fixture
def run(tmp_path):
    stored = open_run(runs.simple(tmp_path / "run"))
    return RunResult(stored.folder, stored.recipe, stored.status)


def test_it_has_tables_verdicts_and_figures(run):
    assert run.verdict.training.verdict == "learned"
    assert run.verdict is run.verdict  # computed once
    assert len(run.layers) == 11 * 22
    assert list(run.figures()) == ["profile", "heatmap", "training"]
    assert list(run.figures("heatmap")) == ["heatmap"]
    with pytest.raises(RecipeError, match="no figure 'profil'; did you mean 'profile'"):
        run.figures("profil")


def test_it_is_shown_in_one_screen(run):
    lines = repr(run).splitlines()
    assert lines[0].startswith("mlp · depth 20 · width 64 · tanh")
    assert len(lines) < 20
    labels = [line.split()[0] for line in lines]
    assert labels[-5:] == ["signal", "at", "training", "stored", "python"]
    assert "learned: loss 2.35 → 0.09" in repr(run)
    assert all(hasattr(RunResult, name.strip(".()")) for name in lines[-1].split()[1:])


def test_a_notebook_shows_the_text_and_the_profile(run):
    text = run._repr_html_()
    assert text.startswith("<pre>mlp · depth 20")
    (data,) = re.findall(r'<img alt="profile" src="data:image/png;base64,([^"]+)">', text)
    assert base64.b64decode(data).startswith(b"\x89PNG")


def test_words_of_a_run_are_no_html(tmp_path):
    stored = open_run(runs.simple(tmp_path / "run", model={"name": "<b>mine</b>"}))
    text = RunResult(stored.folder, stored.recipe, stored.status)._repr_html_()
    assert "<b>" not in text
    assert "&lt;b&gt;mine&lt;/b&gt;" in text


def test_without_the_backward_signal_it_is_still_shown(tmp_path):
    rows = runs.layer_table(runs.walk(5, 1), [0], log10_backward=[None] * 7)
    stored = runs.opened(tmp_path / "run", [rows], [runs.step_table([1.0], [0])])
    text = repr(RunResult(stored.folder, stored.recipe, stored.status))
    assert "did not measure the backward signal" in text


def test_open_runs_are_loaded_like_their_paths(tmp_path, run):
    other = runs.simple(tmp_path / "other", depth=10)
    both = gradlab.load([run, other])
    assert both.equals(gradlab.load([run.folder, other]))
    assert set(both.depth) == {10, 20}
    assert gradlab.load(run).equals(gradlab.load(run.folder))
    assert len(gradlab.load([run, run.folder])) == len(run.layers)  # each once
