import pytest

from gradlab.figures.registry import run_figures
from gradlab.recipe.errors import RecipeError
from gradlab.report.pictures import default_names, figure_path
from gradlab.store.read import open_run
from tests import runs


def test_the_figures_of_a_run_have_their_order():
    of_every_run = [name for name, figure in run_figures().items() if not figure.measures]
    assert of_every_run == ["profile", "heatmap", "training", "times", "clip_advice", "lr_range"]


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


@pytest.mark.parametrize("name", ["profile", "heatmap", "training"])
def test_each_available_figure_has_the_title(tmp_path, name):
    run = open_run(runs.simple(tmp_path / "run"))
    assert run_figures()[name].draw(run, "a title").get_suptitle() == "a title"


def test_a_picture_is_in_the_run_s_folder_or_has_the_run_s_name(tmp_path):
    run = open_run(runs.simple(tmp_path / "run"))
    assert figure_path(run, "profile", "svg") == run.folder / "figures" / "profile.svg"
    assert figure_path(run, "profile", "svg", tmp_path) == tmp_path / "run-profile.svg"
