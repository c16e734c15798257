"""Commands on stored runs: ls, diagnose, compare and plot, and their errors for folders that are not runs."""

import json

import pytest

from gradlab.commands.main import main
from gradlab.report.comparison import Comparison, comparison_picture, distinguishing_keys
from gradlab.report.summary import title
from gradlab.store.gather import load
from gradlab.store.lock import hold
from gradlab.store.read import collect, open_run
from tests import runs
from tests.analysis.test_clip_advice import noise, recorded


@pytest.fixture
def study(tmp_path):
    """Two runs that differ in depth."""
    for depth in (10, 20):
        runs.simple(tmp_path / "study" / f"d{depth}", depth=depth)
    return tmp_path / "study"


def test_ls_lists_each_run_with_its_verdicts(study, capsys):
    assert main(["ls", str(study)]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split()[:2] == ["run", "state"]
    assert len(rows) == 2
    assert all("finished" in row and "flowing" in row and row.endswith("0.97") for row in rows)


@pytest.mark.parametrize(
    "words", ["compare big --to csv", "diagnose big", "ls big", "suggest-clip big", "fsck big"]
)
def test_every_command_finds_a_study_by_its_name(tmp_path, monkeypatch, capsys, words):
    monkeypatch.chdir(tmp_path)
    for depth in (10, 20):
        runs.simple(tmp_path / "outputs" / "big" / f"d{depth}", depth=depth)
    main(words.split())
    said = capsys.readouterr()
    assert "d10" in said.out + said.err or "2 runs examined" in said.out
    assert main([*words.split()[:1], "bigg"]) == 2
    assert "bigg does not exist" in capsys.readouterr().err


def test_ls_goes_on_past_a_broken_run(study, capsys):
    (study / "d10" / "status.json").write_text("{")
    assert main(["ls", str(study)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "finished" in lines[1]
    assert "is corrupt" in lines[2]


def test_ls_of_nothing_says_how_to_begin(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "outputs").mkdir()
    assert main(["ls"]) == 0
    assert "gradlab run model=mlp" in capsys.readouterr().out


def test_diagnose_prints_both_verdicts(study, capsys):
    assert main(["diagnose", str(study / "d10")]) == 0
    text = capsys.readouterr().out
    assert "signal" in text
    assert "training" in text


def test_diagnose_gives_json(study, capsys):
    assert main(["diagnose", str(study), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [diagnosis["run"] for diagnosis in found] == ["d10", "d20"]
    assert {diagnosis["training"]["verdict"] for diagnosis in found} == {"learned"}


@pytest.mark.few(1)
@pytest.mark.parametrize(
    ("words", "code"), [("vanishing,diverged", 0), ("learned", 1), ("flowing,stalled", 1)]
)
def test_fail_on_makes_the_exit_code(study, words, code, capsys):
    assert main(["diagnose", str(study), "--fail-on", words]) == code
    assert ("--fail-on" in capsys.readouterr().err) is bool(code)


def broken(tmp_path, kind: str):
    folder = tmp_path / kind
    if kind == "missing":
        return folder
    if kind in ("empty", "foreign"):
        folder.mkdir()
    if kind == "foreign":
        (folder / "notes.txt").write_text("mine")
    if kind == "incomplete":
        runs.simple(folder)
        (folder / "status.json").unlink()
    if kind == "corrupt":
        runs.simple(folder)
        (folder / "layers" / "all.parquet").write_bytes(b"PAR1")
    return folder


def study_with_a_killed_run(place):
    for name in ("a", "b", "killed"):
        runs.simple(place / name, seed=ord(name[0]))
    (place / "killed" / "status.json").write_text(json.dumps(runs.status("running", steps_done=40)))
    return place


@pytest.mark.parametrize("command", ["plot", "diagnose", "compare", "suggest-clip"])
def test_the_finished_runs_of_a_study_are_shown_and_the_others_named(tmp_path, command, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    place = study_with_a_killed_run(tmp_path / "study")
    words = ["--json"] if command == "suggest-clip" else []
    code = main([command, str(place), *words])
    told = capsys.readouterr()
    if command == "suggest-clip":  # these runs have recorded no norms
        assert code == 2
    else:
        assert code == 0
        assert (
            told.err
            == f"gradlab {command}: {place}/killed was killed while running (40 of 100 steps); "
            + ("run its recipe again to continue\n")
        )
    assert "killed was killed while running" in told.err


def test_a_killed_run_given_by_its_own_folder_is_diagnosed_so_far(tmp_path, capsys):
    place = study_with_a_killed_run(tmp_path / "study")
    assert main(["diagnose", str(place / "killed")]) == 0
    assert capsys.readouterr().out.startswith("killed (killed)\n")


@pytest.mark.parametrize("command", ["plot", "diagnose", "compare", "load"])
def test_a_running_run_given_by_its_own_folder_is_shown_so_far(tmp_path, command, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    place = study_with_a_killed_run(tmp_path / "study")
    if command == "load":
        with hold(place / "killed"), pytest.warns(UserWarning, match="is running: these are its rows so far"):
            assert load(place / "killed").step.max() == 30
        return
    with hold(place / "killed"):
        assert (
            main([command, str(place / "killed"), *([str(place / "a")] if command == "compare" else [])]) == 0
        )
    so_far = f"gradlab {command}: {place}/killed is running (40 of 100 steps): these are its rows so far\n"
    assert capsys.readouterr().err == so_far


def test_a_figure_of_a_running_run_says_how_far_it_is(tmp_path):
    place = study_with_a_killed_run(tmp_path / "study")
    assert title(open_run(place / "killed", running=True)).endswith(" (killed: 40 of 100 steps so far)")
    assert "so far" not in title(open_run(place / "a"))


@pytest.mark.few(3)
@pytest.mark.parametrize("command", ["plot", "diagnose"])
@pytest.mark.parametrize("kind", ["missing", "empty", "foreign", "incomplete", "corrupt"])
def test_a_folder_that_is_not_a_complete_run_is_one_line(tmp_path, command, kind, capsys):
    folder = broken(tmp_path, kind)
    before = sorted(tmp_path.rglob("*"))
    assert main([command, str(folder)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"gradlab {command}: {folder}")
    assert error.count("\n") <= 2
    assert sorted(tmp_path.rglob("*")) == before


def test_plot_draws_every_figure_of_every_run(study, capsys):
    assert main(["plot", str(study)]) == 0
    paths = capsys.readouterr().out.split()
    assert paths == [
        f"{study}/{run}/figures/{kind}.png"
        for run in ("d10", "d20")
        for kind in ("profile", "heatmap", "training")
    ]
    assert {path.suffix for path in study.rglob("*") if path.parent.name == "figures"} == {".png"}


def test_plot_finds_the_figures_that_are_drawn_only_when_asked_for(tmp_path, capsys):
    run = recorded(tmp_path / "run", noise())
    assert main(["plot", str(run.folder), "--kind", "clip_advice"]) == 0
    assert capsys.readouterr().out.split() == [f"{run.folder}/figures/clip_advice.png"]
    assert main(["plot", str(run.folder), "--kind", "lr_range"]) == 2  # its learning rate is constant
    assert capsys.readouterr().err.startswith("gradlab plot: a range test needs ")


def test_the_same_figure_is_the_same_bytes(study, tmp_path):
    for name in ("one", "two"):
        line = [
            "plot",
            str(study / "d10"),
            "--kind",
            "profile",
            "--format",
            "svg",
            "--out",
            str(tmp_path / name),
        ]
        assert main(line) == 0
    one, two = (tmp_path / name / "d10-profile.svg" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()


def test_compare_draws_and_tabulates_what_differs(study, capsys):
    assert main(["compare", str(study)]) == 0
    head, *rows, path = capsys.readouterr().out.splitlines()
    assert head.split()[0] == "depth"
    assert [row.split()[0] for row in rows] == ["10", "20"]
    assert path == f"{study}/comparison-depth.png"
    assert (study / "comparison-depth.png").stat().st_size > 10_000


@pytest.mark.few(2)
@pytest.mark.parametrize("by", ["depth", "clip", "penalty", "seed", "run", "depth,clip", "clip.name"])
def test_compare_takes_any_choice(study, by):
    assert main(["compare", str(study), "--by", by]) == 0


def test_numbers_that_a_choice_implies_are_left_out(tmp_path, capsys):
    runs.simple(tmp_path / "a")
    runs.simple(tmp_path / "b", clip={"name": "norm", "threshold": 1.0})
    assert main(["compare", str(tmp_path)]) == 0
    head, *_, path = capsys.readouterr().out.splitlines()
    assert head.split()[:2] == ["clip", "training"]
    assert path.endswith("comparison-clip.png")


def test_choices_that_do_not_tell_runs_apart_come_with_their_names(tmp_path, capsys):
    runs.simple(tmp_path / "a")
    runs.simple(tmp_path / "b", clip={"name": "norm", "threshold": 1.0})
    assert main(["compare", str(tmp_path), "--by", "depth"]) == 0
    head, *rows, _ = capsys.readouterr().out.splitlines()
    assert [row.split()[:2] for row in (head, *rows)] == [["depth", "run"], ["20", "a"], ["20", "b"]]


def test_several_choices_are_one_name_without_what_is_not_there(tmp_path):
    runs.simple(tmp_path / "a")
    runs.simple(tmp_path / "b", clip={"name": "norm", "threshold": 0.5})
    runs.simple(tmp_path / "c", activation={"name": "relu"})
    figure = comparison_picture(Comparison(collect(tmp_path), ["activation", "clip", "clip.threshold"]))
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "tanh",
        "tanh, norm, threshold 0.5",
        "relu",
    ]


def test_compare_names_a_misspelt_choice(study, capsys):
    assert main(["compare", str(study), "--by", "dept"]) == 2
    assert "no run has a choice 'dept'; did you mean 'depth'?" in capsys.readouterr().err


def test_compare_wants_more_than_one_run(study, capsys):
    assert main(["compare", str(study / "d10")]) == 2
    assert "is one run" in capsys.readouterr().err


def test_a_figure_that_cannot_be_written_is_reported(study, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["plot", str(study / "d10"), "--out", str(tmp_path / "file")]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_a_grid_is_told_without_what_its_choices_imply(tmp_path):
    for name in ("none", "l2"):
        penalty = {"name": name} | ({"strength": 0.1} if name == "l2" else {})
        runs.simple(tmp_path / name, penalty=penalty, depth=5)
    assert distinguishing_keys(collect(tmp_path), ["penalty", "penalty.strength", "depth"]) == [
        "penalty.name"
    ]
