"""`gradlab plot` and `compare` of stored runs: tables, widths, kinds of pictures."""

import json

import matplotlib.image
import pytest

from gradlab.commands.main import main
from tests import runs
from tests.figures.kinds import Kind, stored


@pytest.fixture
def study(tmp_path):
    for depth in (5, 10):
        runs.simple(tmp_path / "study" / f"d{depth}", depth=depth)
    return tmp_path / "study"


def test_the_numbers_of_a_figure_are_printed_and_nothing_is_drawn(study, capsys):
    assert main(["plot", str(study / "d5"), "--table"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:4] == ["seed", "step", "layer", "name"]
    assert len(lines) == 1 + 3 * 7
    assert not (study / "d5" / "figures").exists()


def test_json_has_every_step(study, capsys):
    assert main(["plot", str(study / "d5"), "--kind", "heatmap", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert len(rows) == 11 * 7


def test_a_figure_for_a_paper_has_its_width_and_resolution(study, capsys):
    words = ["--kind", "profile", "--width", "single", "--dpi", "50"]
    assert main(["plot", str(study / "d5"), *words]) == 0
    assert matplotlib.image.imread(study / "d5" / "figures" / "profile.png").shape[1] == 175


@pytest.mark.parametrize("kind", ["choices", "depths", "pareto"])
def test_compare_draws_other_pictures_of_a_study(study, kind, capsys):
    assert main(["compare", str(study), "--kind", kind, "--dpi", "40"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(study / f"{kind}-depth.png")
    assert (study / f"{kind}-depth.png").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--dpi", "5"], "is not a whole number from 20 to 1200"),
        (["--width", "wide"], "invalid choice"),
        (["--kind", "surface"], "it is about model=point"),
        (["--column", "cosine", "--table"], "--table prints the numbers of --kind"),
    ],
)
def test_bad_input_is_one_line(study, words, message, capsys):
    assert main(["plot", str(study / "d5"), *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_run_that_has_nothing_to_draw_says_so(tmp_path, capsys):
    run = stored(tmp_path / "run", Kind("mlp", ("only",), steps=(0,)))
    assert main(["plot", str(run.folder)]) == 2
    assert "has no figure: of fewer than two steps" in capsys.readouterr().err
