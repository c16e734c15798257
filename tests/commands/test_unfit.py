"""A recipe of a grid that cannot be run takes no other along: it is refused before, left out, or fails alone."""

from itertools import permutations

import pytest

from gradlab.commands.main import main
from tests.recipes import TINY

FEW = (*TINY, "probe=[backward,forward]", "snapshot=[]", "steps=0", "outputs=out")
UNFIT = "initializer=looks_linear is made for activation=crelu, not tanh"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def broken(z):
    """A user-defined activation that no network can be built with."""
    raise ValueError("not today")


def made(place):
    return sorted(path.parent.name.partition("-d2-")[2][:12] for path in place.rglob("status.json"))


def test_a_grid_with_recipes_that_do_not_fit_is_refused_with_all_of_them(elsewhere, capsys):
    assert main(["run", "-m", *FEW, "initializer=looks_linear,orthogonal,he", "depth=2,3"]) == 2
    error = capsys.readouterr().err
    assert f"depth=2 initializer=looks_linear, depth=3 initializer=looks_linear: {UNFIT}" in error
    assert "2 of 6 recipes cannot be run; --skip-unfit runs the others" in error
    assert not (elsewhere / "out").exists()


def test_skip_unfit_runs_the_rest_and_lists_what_it_left_out(elsewhere, capsys):
    words = ["-m", *FEW, "initializer=looks_linear,orthogonal", f"activation=tanh,{__name__}:broken"]
    assert main(["run", *words, "--skip-unfit"]) == 0
    told = capsys.readouterr().out
    assert made(elsewhere) == ["tanh-orthogo"]
    assert f"left out    initializer=looks_linear activation=tanh: {UNFIT}" in told
    assert "broken does not fit: ValueError: not today" in told


def test_skip_unfit_without_any_that_fits_is_refused(capsys):
    assert main(["run", "-m", *FEW, "initializer=looks_linear", "depth=2,3", "--skip-unfit"]) == 2
    assert UNFIT in capsys.readouterr().err


def test_a_dry_run_leaves_out_what_does_not_fit(capsys):
    words = ["-m", *FEW, "initializer=looks_linear,orthogonal", "--dry-run"]
    assert main(["run", *words]) == 2
    assert UNFIT in capsys.readouterr().err
    assert main(["run", *words, "--skip-unfit"]) == 0
    told = capsys.readouterr().out
    assert "1 runs" in told
    assert f"left out    initializer=looks_linear: {UNFIT}" in told


def test_the_others_run_wherever_the_one_that_cannot_be_built_stands(elsewhere, capsys):
    names = ("relu", "tanh", f"{__name__}:broken")
    for order in list(permutations(names))[::2]:
        study = f"study{names.index(order[0])}"
        assert main(["run", "-m", *FEW, f"activation={','.join(order)}", f"study={study}"]) == 1
        assert made(elsewhere / "out" / study) == ["relu-orthogo", "tanh-orthogo"]
        assert "broken does not fit: ValueError: not today" in capsys.readouterr().err


def test_where_nothing_is_left_to_run_the_reasons_are_said(capsys):
    words = (f"activation={__name__}:broken", "depth=2,3", "--skip-unfit")
    assert main(["run", "-m", *FEW, *words]) == 2
    error = capsys.readouterr().err
    assert error.count("broken does not fit: ValueError: not today") == 2
    assert "no run could start" in error


def test_where_no_run_can_start_that_is_bad_input(elsewhere, capsys):
    words = (f"activation={__name__}:broken", "depth=2,3")
    assert main(["run", "-m", *FEW, *words]) == 2
    assert "no run could start" in capsys.readouterr().err
    assert not (elsewhere / "out").exists()
