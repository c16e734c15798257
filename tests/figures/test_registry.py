import re
from pathlib import Path

import pytest

from gradlab.figures.registry import run_figures
from gradlab.recipe.errors import RecipeError
from gradlab.report.pictures import default_names, figure_path
from gradlab.report.study_pictures import KINDS
from gradlab.store.read import open_run
from tests import runs


def test_the_figures_of_a_run_have_their_order():
    of_every_run = [name for name, figure in run_figures().items() if not figure.measures]
    assert of_every_run[:4] == ["profile", "heatmap", "training", "times"]
    assert of_every_run[4:] == ["activation", "gates", "surface", "clip_advice", "lr_range", "lag"]


def test_a_figure_is_available_where_its_tables_have_rows(tmp_path):
    run = open_run(runs.simple(tmp_path / "run"))
    assert default_names(run) == ["profile", "heatmap", "training"]
    with pytest.raises(RecipeError, match="the table 'times' empty"):
        run_figures()["times"].draw(run, "a title")


def test_the_figure_of_a_probe_names_it_and_is_there_where_its_measures_are(tmp_path):
    run = open_run(runs.simple(tmp_path / "run"))
    figure = run_figures()["profile"]._replace(probe="forward", measures=("log10_forward",))
    assert figure.is_available(run)
    other = figure._replace(probe="mine", measures=("mine",))
    assert not other.is_available(run)
    with pytest.raises(RecipeError, match=r"was not measured; run it with probe=\[standard,mine\]"):
        other.draw(run, "a title")
    run.recipe["probes"] = {"mine": {}}
    assert other.problem(run).startswith("its probe mine stored no values")


def test_a_figure_of_too_few_steps_or_layers_says_how_many_there_are(tmp_path):
    layers = runs.layer_table(runs.walk(5, 1), [0])
    run = runs.opened(tmp_path / "run", [layers], [runs.step_table([1.0], [0])])
    assert run_figures()["heatmap"].problem(run) == "it needs 2 steps, and the run has 1"
    assert run_figures()["surface"].problem(run) == "it is about model=point"
    assert run_figures()["sparsity"].problem(run) == "it was not measured; run it with penalty=l1"
    assert default_names(run) == ["profile"]


def test_every_figure_is_in_the_docs_and_every_figure_of_the_docs_is_there():
    page = (Path(__file__).parents[2] / "docs" / "figures.md").read_text("utf-8")
    table = page.partition("## Figures of a run")[2].partition("## Pictures of a study")[0]
    names = re.findall(r"^\| \**`(\w+)`", table, re.MULTILINE)
    assert sorted(names) == sorted(run_figures())
    bold = re.findall(r"^\| \*\*`(\w+)`", table, re.MULTILINE)
    assert sorted(bold) == sorted(name for name, figure in run_figures().items() if figure.by_default)
    kinds = page.partition("## Pictures of a study")[2].partition("## For a paper")[0]
    assert tuple(re.findall(r"^\| `(\w+)`", kinds, re.MULTILINE)) == KINDS


@pytest.mark.parametrize("name", ["profile", "heatmap", "training"])
def test_each_available_figure_has_the_title(tmp_path, name):
    run = open_run(runs.simple(tmp_path / "run"))
    assert run_figures()[name].draw(run, "a title").get_suptitle() == "a title"


def test_a_picture_is_in_the_run_s_folder_or_has_the_run_s_name(tmp_path):
    run = open_run(runs.simple(tmp_path / "run"))
    assert figure_path(run, "profile", "svg") == run.folder / "figures" / "profile.svg"
    assert figure_path(run, "profile", "svg", tmp_path) == tmp_path / "run-profile.svg"
