"""`gradlab suggest-clip`: text, JSON, picture, and bad input in one line."""

import json

import numpy as np
import pytest

from gradlab.commands.main import main
from tests.analysis.test_clip_advice import noise, recorded, spiky


@pytest.fixture
def study(tmp_path):
    """A run with spikes, a calm one, and one without a finite norm."""
    for name, log10 in {"a": spiky(), "b": noise(), "c": np.full(5, np.nan)}.items():
        recorded(tmp_path / "study" / name, log10)
    return tmp_path / "study"


def test_each_run_is_advised_on_and_drawn(study, capsys):
    assert main(["suggest-clip", str(study)]) == 0
    text = capsys.readouterr().out
    assert "a (finished)\n  advice      clip=norm clip.threshold=1." in text
    assert "b (finished)\n  advice      clip=none: no step is a spike" in text
    assert "study/c recorded no finite norm of a gradient; there is nothing to advise on\n" in text
    assert text.count("99 %") == 2
    assert sorted(path.parts[-3] for path in study.rglob("figures/clip_advice.png")) == ["a", "b"]


def test_thresholds_asked_for_stand_in_the_table(study, capsys):
    assert main(["suggest-clip", str(study / "b"), "--threshold", "0.5,1"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    table = rows[rows.index(["threshold", "acts", "on", "mean", "scale"]) :][1:3]
    assert [row[0] for row in table] == ["0.5", "1"]
    assert table[0][1:3] == ["100", "%"]


def test_json_holds_each_advice_and_draws_nothing(study, capsys):
    assert main(["suggest-clip", str(study), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [advice["advice"]["clip"] for advice in found] == ["norm", "none"]
    assert not list(study.rglob("figures"))


def test_out_sets_the_folder_of_the_figure(study, tmp_path):
    assert main(["suggest-clip", str(study / "a"), "--out", str(tmp_path / "x"), "--format", "svg"]) == 0
    assert [path.name for path in (tmp_path / "x").iterdir()] == ["a-clip_advice.svg"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--threshold", "0"], "argument --threshold: '0' is not a number above 0"),
        (["--threshold", "nan"], "is not a number above 0"),
        (["--threshold", "0.5,inf"], "is not a number above 0"),
        (["--threshold", "many"], "is not a number above 0"),
        (["--format", "gif"], "invalid choice"),
        ([], "no finite norm"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_two(study, words, message, capsys):
    assert main(["suggest-clip", str(study / "c"), *words]) == 2
    error = capsys.readouterr().err
    assert error.startswith("gradlab suggest-clip: ")
    assert message in error
    assert error.count("\n") == 1
