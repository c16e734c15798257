"""`gradlab compare` in other formats, and the same picture from `run` and `compare`."""

import io
import json
import re
import shutil
import subprocess
import sys

import pandas as pd
import pytest

from gradlab.commands.main import main
from gradlab.report.results_table import FORMATS, exported
from gradlab.store.read import collect
from tests import runs

TINY = ["run", "-m", "depth=3", "width=8", "steps=4", "eval.every=2", "batch_size=32", "lr=0.1,0.2"]


@pytest.fixture
def study(tmp_path):
    """Two initializers × two learning rates, one of them of a name with special characters."""
    for name in ("he", "50%_&|$x"):
        for lr in (0.1, 0.2):
            runs.simple(tmp_path / "study" / f"{name[:2]}{lr}", depth=12, lr=lr, initializer={"name": name})
    return tmp_path / "study"


def printed(capsys, *words):
    assert main(["compare", *map(str, words)]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("form", FORMATS)
def test_a_table_in_another_format_is_printed_and_no_figure_drawn(study, capsys, form):
    out = printed(capsys, study, "--to", form)
    assert out.count("flowing") >= 4
    assert not list(study.glob("*.png"))


def test_json_is_the_same_by_both_names(study, capsys):
    out = printed(capsys, study, "--to", "json")
    assert out == printed(capsys, study, "--json")
    assert [record["lr"] for record in json.loads(out)] == [0.1, 0.2, 0.1, 0.2]


def test_csv_has_every_column_with_full_numbers(study, capsys):
    frame = pd.read_csv(io.StringIO(printed(capsys, study, "--to", "csv", "--by", "lr")))
    records = json.loads(printed(capsys, study, "--to", "json", "--by", "lr"))
    assert list(frame) == list(records[0])
    for name in ("gain_start", "train_loss", "initializer", "run", "training"):
        assert frame[name].tolist() == [record[name] for record in records]
    assert frame.gain_end.isna().tolist() == [record["gain_end"] is None for record in records]


def test_latex_escapes_what_it_would_obey(study, capsys):
    out = printed(capsys, study, "--to", "latex")
    assert r"50\%\_\&$|$\$x & " in out
    rows = [line for line in out.splitlines() if line.endswith(r"\\")]
    assert len(rows) == 5
    assert len({len(re.findall(r"(?<!\\)&", row)) for row in rows}) == 1
    assert out.splitlines()[0].startswith(r"\begin{tabular}{lrr")
    assert out.splitlines()[-1] == r"\end{tabular}"


def test_markdown_has_a_cell_for_each_heading(study, capsys):
    head, rule, *rows = printed(capsys, study, "--to", "markdown").splitlines()
    cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in (head, rule, *rows)]
    assert {len(line) for line in cells} == {len(cells[0])}
    assert [cell.strip() for cell in cells[0][:2]] == ["initializer", "lr"]
    assert any(line[0].strip() == r"50%\_&\|$x" for line in cells)
    assert len(rows) == 4


def test_the_letters_of_latex_are_the_ones_meant():
    frame = pd.DataFrame({"clip": ["a\\b~c^d{e}#<±−²"], "target": [1.0], "run": ["x"]})
    frame = frame.assign(seeds=1, reached=0, steps_to_target=None, seconds_to_target=None)
    line = exported(frame, ["clip"], "latex").splitlines()[4]
    assert line.startswith(
        r"a\textbackslash{}b\textasciitilde{}c\textasciicircum{}d\{e\}\#$<$$\pm$$-$$^2$ & "
    )


def test_a_format_that_is_none_is_refused(study, capsys):
    assert main(["compare", str(study), "--to", "xlsx"]) == 2
    assert "csv" in capsys.readouterr().err


@pytest.mark.slow
def test_run_and_compare_draw_the_same_picture_under_the_same_name(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([*TINY, "initializer.gain=1,2", "seed=0,1", "study=mine"]) == 0
    (drawn,) = (tmp_path / "outputs" / "mine").glob("*.png")
    assert drawn.name == "comparison-initializer.gain-lr-seed.png"
    kept = shutil.copy(drawn, tmp_path / "kept.png")
    drawn.unlink()
    assert main(["compare", "outputs/mine"]) == 0
    assert drawn.read_bytes() == kept.read_bytes()


def test_the_results_of_a_study_are_computed_once(study, monkeypatch, capsys):
    from gradlab.analysis import comparison

    calls = []
    original = comparison.compare_runs
    monkeypatch.setattr(comparison, "compare_runs", lambda *words: calls.append(words) or original(*words))
    printed(capsys, study)
    assert len(calls) == 1
    assert len(collect(study)) == 4


def test_help_needs_no_data_frames():
    code = "import sys; from gradlab.commands import compare; compare.arguments(); print('pandas' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
