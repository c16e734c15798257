"""`gradlab ls`: which runs and columns it prints, in which order, and as JSON."""

import json
import math

import pyarrow.parquet as pq
import pytest

from gradlab.analysis.study import _computed
from gradlab.analysis.study_columns import differing_choices, sorted_rows
from gradlab.commands.main import main
from tests import runs


@pytest.fixture
def study(tmp_path):
    """Three finished runs of other depths and clips, one that failed, and one that cannot be read."""
    runs.simple(tmp_path / "big" / "a", depth=10)
    runs.simple(tmp_path / "big" / "b", depth=30, gain=0.5, clip={"name": "norm", "threshold": 2.0})
    runs.simple(tmp_path / "big" / "c", depth=20, gain=1.5)
    failed = runs.simple(tmp_path / "big" / "d", depth=40)
    (failed / "status.json").write_text(json.dumps(runs.status("failed", message="out of memory")))
    runs.simple(tmp_path / "big" / "e")
    (tmp_path / "big" / "e" / "status.json").write_text("{")
    return tmp_path / "big"


def printed(capsys, *words):
    assert main(["ls", *map(str, words)]) == 0
    return capsys.readouterr().out.splitlines()


def listed(capsys, *words):
    """The names of the runs in the table."""
    return [
        line.split()[0].rpartition("/")[2] for line in printed(capsys, *words)[1:] if "corrupt" not in line
    ]


def test_the_choices_that_differ_are_columns(study, capsys):
    head, *rows, problem = printed(capsys, study)
    assert head.split() == "run state clip depth signal at the end training test score".split()
    assert rows[1].split()[1:4] == ["finished", "norm", "30"]
    assert rows[3].split()[1:] == ["failed", "none", "40"]
    assert "e/status.json is corrupt" in problem


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["--where", "depth>15"], "bcd"),
        (["--where", "depth>15 and signal=vanishing"], "b"),
        (["--where", "message~memory"], "d"),
        (["--where", "state=unreadable"], ""),
        (["--failed"], "d"),
        (["--failed", "--where", "depth>100"], ""),
        (["--sort", "depth"], "acbd"),
        (["--sort", "-depth"], "dbca"),
        (["--sort=-depth"], "dbca"),
        (["--sort", "gain"], "bacd"),
        (["--sort", "-gain"], "cabd"),
        (["--sort", "clip"], "acdb"),
    ],
)
def test_it_lists(study, capsys, words, names):
    assert "".join(listed(capsys, study, *words)) == names


def test_what_it_is_sorted_by_is_printed(study, capsys):
    assert "gain" in printed(capsys, study, "--sort", "gain")[0].split()


def test_runs_that_cannot_be_read_count_as_failed(study, capsys):
    assert "e/status.json is corrupt" in printed(capsys, study, "--failed")[-1]
    assert "e/status.json is corrupt" in printed(capsys, study, "--where", "state=unreadable")[-1]
    assert not any("corrupt" in line for line in printed(capsys, study, "--where", "depth>5"))


def test_columns_are_chosen(study, capsys):
    head, first, *_ = printed(
        capsys, study, "--columns", "run,gain,clip.threshold,score", "--where", "clip=norm"
    )
    assert head.split() == ["run", "gain", "clip.threshold", "score"]
    assert first.split()[0] == "b"
    assert first.split()[2:] == ["2", "0.97"]


def test_json_has_every_column_and_null_for_what_is_not_finite(study, capsys):
    objects = json.loads("\n".join(printed(capsys, study, "--json")))
    assert [one["run"] for one in objects] == list("abcde")
    assert (objects[0]["depth"], objects[0]["folder"]) == (10, str(study / "a"))
    assert (objects[3]["gain_start"], objects[3]["message"]) == (None, "out of memory")
    assert objects[4]["state"] == "unreadable"
    few = json.loads(
        "\n".join(printed(capsys, study, "--json", "--columns", "run,gain", "--where", "depth=30"))
    )
    assert [list(one) for one in few] == [["run", "gain_start"]]


def test_json_of_nothing_is_an_empty_list(tmp_path, capsys):
    assert printed(capsys, tmp_path, "--json") == ["[]"]
    runs.simple(tmp_path / "s" / "a")
    assert printed(capsys, tmp_path, "--json", "--where", "depth>99") == ["[]"]
    assert printed(capsys, tmp_path, "--where", "depth>99") == ["no run satisfies this"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--where", "dept>3"], "no run has a column 'dept'; did you mean 'depth'?"),
        (["--sort", "gian"], "no run has a column 'gian'; did you mean 'gain'?"),
        (["--columns", "run,scor"], "no run has a column 'scor'; did you mean 'score'?"),
        (["--where", "depth>"], "--where 'depth>': a number or a word after 'depth>' is missing"),
        (["--sort"], "argument --sort: expected one argument; see gradlab ls --help"),
    ],
)
def test_a_mistake_is_one_line(study, capsys, words, message):
    assert main(["ls", str(study), *words]) == 2
    assert capsys.readouterr().err == f"gradlab ls: {message}\n"


def test_many_choices_leave_the_line_readable(tmp_path, capsys):
    keys = {f"k{index}": index for index in range(8)}
    runs.simple(tmp_path / "s" / "a", data=runs.RECIPE["data"] | keys)
    runs.simple(tmp_path / "s" / "b", data=runs.RECIPE["data"] | dict.fromkeys(keys, -1))
    *table, note = printed(capsys, tmp_path)
    assert [word for word in table[0].split() if "." in word] == [f"data.k{index}" for index in range(6)]
    assert note == "the runs differ in data.k6, data.k7 too; choose what is printed by --columns"


def test_a_choice_that_another_one_implies_is_left_out():
    rows = [{"clip": "norm", "clip.threshold": 1.0, "lr": 0.1}, {"clip": "none", "lr": 0.1}]
    assert differing_choices(rows) == ["clip"]
    assert differing_choices([*rows, {"clip": "norm", "clip.threshold": 2.0}]) == [
        "clip",
        "clip.threshold",
        "lr",
    ]


def test_null_and_nan_are_last_whatever_the_order():
    rows = [{"gain_start": value} for value in (None, 2.0, math.nan, -math.inf, math.inf, 1.0)]
    for key, expected in (
        ("gain", [-math.inf, 1.0, 2.0, math.inf]),
        ("-gain", [math.inf, 2.0, 1.0, -math.inf]),
    ):
        values = [row["gain_start"] for row in sorted_rows(rows, key, rows)]
        assert values[:4] == expected
        assert values[4] is None
        assert math.isnan(values[5])


def test_a_study_is_found_by_its_name(study, capsys, monkeypatch):
    (study.parent / "outputs").mkdir()
    study.rename(study.parent / "outputs" / "big")
    monkeypatch.chdir(study.parent)
    assert listed(capsys, "big", "--sort", "depth") == list("acbd")
    runs.simple(study.parent / "big" / "x")  # a folder of that name comes first
    assert listed(capsys, "big") == ["x"]
    assert main(["ls", "bigger"]) == 2
    assert "bigger does not exist" in capsys.readouterr().err


def test_a_key_of_a_recipe_forges_no_line(tmp_path, capsys):
    for name in "ab":
        keys = {f"k{index}\nforged": name for index in range(8)}
        runs.simple(tmp_path / "s" / name, data=runs.RECIPE["data"] | keys)
    assert not any(line.startswith("forged") for line in printed(capsys, tmp_path))


def test_what_was_computed_before_a_signal_is_kept(study, capsys, monkeypatch):
    def interrupted(folder):
        if folder.name == "c":
            raise KeyboardInterrupt
        return _computed(folder)

    monkeypatch.setattr("gradlab.analysis.study._computed", interrupted)
    assert main(["ls", str(study)]) == 130
    assert pq.read_table(study / "study.parquet")["run"].to_pylist() == ["a", "b"]


def test_a_second_list_diagnoses_nothing(study, capsys, monkeypatch):
    first = printed(capsys, study)
    monkeypatch.setattr("gradlab.analysis.study.run_results", None)  # whoever calls it fails
    assert printed(capsys, study) == first
