"""`gradlab run` from its words to its figures, on networks that train in a moment."""

from pathlib import Path

import numpy as np
import pytest
import yaml

import gradlab
from gradlab.analysis import forecast, study
from gradlab.commands.compose.grid import grid
from gradlab.commands.main import main
from gradlab.commands.run import override
from gradlab.engine import prepare
from gradlab.launch.study import running_order
from gradlab.recipe.errors import RecipeError
from tests.recipes import TINY  # all runs but the slow ones share its program


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def folders(place):
    return sorted(path.parent for path in place.rglob("status.json"))


def test_a_run_ends_with_a_table_two_verdicts_and_figures(elsewhere, capsys):
    assert main(["run", *TINY]) == 0
    (folder,) = folders(elsewhere)
    text = capsys.readouterr().out
    assert text.startswith(
        "mlp · depth 2 · width 8 · tanh · orthogonal · sgd lr 0.1 · clip none · digits · batch 16 · seed 0"
    )
    assert {line.split()[0] for line in text.splitlines()} >= {
        "step",
        "0",
        "8",
        "signal",
        "training",
        "stored",
        "figures",
    }
    assert folder.relative_to(elsewhere).as_posix() in text
    assert {path.name for path in (folder / "figures").iterdir()} == {
        "profile.png",
        "heatmap.png",
        "training.png",
    }


@pytest.mark.slow
def test_only_the_run_s_folder_is_left(elsewhere):
    main(["run", *TINY, "--quiet"])
    assert [path.name for path in elsewhere.iterdir()] == ["outputs"]
    assert [path.name for path in (elsewhere / "outputs").iterdir()] == ["default"]


def test_a_finished_recipe_is_not_run_again_unless_forced(elsewhere, capsys):
    main(["run", *TINY])
    (folder,) = folders(elsewhere)
    before = (folder / "status.json").read_bytes()
    assert main(["run", *TINY]) == 0
    assert "not run again without --force" in capsys.readouterr().out
    assert (folder / "status.json").read_bytes() == before
    assert main(["run", *TINY, "--force"]) == 0
    assert (folder / "status.json").read_bytes() != before


def test_a_grid_ends_with_one_table_and_one_picture(elsewhere, capsys):
    assert main(["run", "-m", *TINY, "lr=0.1,0.2", "study=rates"]) == 0
    text = capsys.readouterr().out
    assert "1/2  lr=0.1" in text
    assert [line.split()[0] for line in text.splitlines()[-4:-1]] == ["lr", "0.1", "0.2"]
    assert (elsewhere / "outputs" / "rates" / "comparison-lr.png").exists()
    assert len(folders(elsewhere)) == 2


def test_recipes_of_equal_structure_stand_one_after_the_other():
    recipes = grid(["depth=2,3", "lr=0.1,0.2", "width=8", "steps=2", "clip=none"], multirun=True).recipes
    assert running_order(recipes) == [0, 1, 2, 3]
    mixed = [recipes[index] for index in (0, 2, 1, 3)]
    assert running_order(mixed) == [0, 2, 1, 3]


@pytest.mark.slow
def test_recipes_of_equal_structure_run_one_after_the_other_and_are_returned_in_order(elsewhere, capsys):
    assert main(["run", "-m", "lr=0.1,0.2", "depth=2,3", "width=8", "steps=2"]) == 0
    text = capsys.readouterr().out
    labels = [line for line in text.splitlines() if "/4  " in line]
    assert labels == [
        "1/4  lr=0.1 depth=2",
        "2/4  lr=0.2 depth=2",
        "3/4  lr=0.1 depth=3",
        "4/4  lr=0.2 depth=3",
    ]
    table = [line.split()[:2] for line in text.splitlines()[-5:-1]]
    assert table == [["0.1", "2"], ["0.1", "3"], ["0.2", "2"], ["0.2", "3"]]
    runs = gradlab.run("lr=0.1,0.2", "depth=2,3", "width=8", "steps=2")
    grid_order = [(run.recipe["lr"], run.recipe["depth"]) for run in runs]
    assert grid_order == [(0.1, 2), (0.1, 3), (0.2, 2), (0.2, 3)]


@pytest.mark.slow
def test_a_flag_may_stand_anywhere(elsewhere):
    assert main(["run", "seed=0,1", "--quiet", *TINY, "-m"]) == 0
    assert len(folders(elsewhere)) == 2


@pytest.mark.slow
def test_a_diverged_run_is_a_result_unless_it_is_not_wanted(elsewhere, capsys):
    wild = [*TINY, "lr=1e37", "steps=40"]
    assert main(["run", *wild]) == 0
    assert main(["run", *wild, "--fail-on", "diverged"]) == 1
    assert "--fail-on" in capsys.readouterr().err


BLOWN = ["lr=0.1,1e37", "steps=40", "on_nonfinite=raise"]


def test_a_failed_run_is_reported_at_once_and_at_the_end_and_the_others_go_on(elsewhere, capsys):
    assert main(["run", "-m", *TINY, *BLOWN, "--quiet"]) == 1
    now, count, again = capsys.readouterr().err.splitlines()
    assert now.startswith("gradlab run: lr=1e+37 failed: ")
    assert now.endswith("run.log")
    assert count == "gradlab run: 1 of 2 runs failed"
    assert again.strip() == now.removeprefix("gradlab run: ")
    assert len(folders(elsewhere)) == 2


@pytest.mark.slow
def test_python_raises_for_a_failed_run():
    with pytest.raises(RuntimeError, match=r"lr=1e\+37 failed"):
        gradlab.run(*TINY, *BLOWN)


@pytest.mark.slow
def test_no_steps_measure_once(elsewhere, capsys):
    assert main(["run", *TINY, "steps=0"]) == 0
    assert "signal" in capsys.readouterr().out


@pytest.mark.slow
def test_quiet_says_nothing(capsys):
    assert main(["run", *TINY, "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")


def test_cfg_prints_the_recipe_and_runs_nothing(elsewhere, capsys):
    assert main(["run", "depth=50", "clip=norm", "--cfg", "job"]) == 0
    recipe = yaml.safe_load(capsys.readouterr().out)
    assert recipe["depth"] == 50
    assert recipe["clip"] == {
        "name": "norm",
        "threshold": 1.0,
        "p": 2.0,
        "where": "gradient",
        "thresholds": {},
        "warmup": 0.0,
        "warmup_from": 10.0,
    }
    assert list(elsewhere.iterdir()) == []


def test_a_dry_run_prints_the_grid_and_its_cost_and_runs_nothing(elsewhere, capsys):
    assert main(["run", "-m", *TINY, "lr=0.1,0.2", "--dry-run"]) == 0
    head, *rows, total = capsys.readouterr().out.splitlines()
    assert head.split() == ["run", "parameters", "steps", "rows", "MB"]
    assert len(rows) == 2
    assert total.startswith("2 runs, ")
    assert list(elsewhere.iterdir()) == []


def test_a_dry_run_tells_the_time_from_the_stored_runs_of_the_study(elsewhere, capsys, monkeypatch):
    row = {
        "depth": 2,
        "steps": 8,
        "steps_done": 8,
        "seconds": 5.0,
        "compile_seconds": 1.0,
        "memory_mib": 700.0,
    }
    chosen = {**row, "lr": 0.3, "flops_per_step": 1000}
    monkeypatch.setattr(study, "study_rows", lambda paths: [chosen])
    monkeypatch.setattr(forecast, "_same_structure", lambda choices, row: choices["depth"] == row["depth"])
    monkeypatch.setattr(prepare.PreparedRun, "flops_per_step", 3000)
    assert main(["run", "-m", *TINY, "lr=0.1,0.2", "depth=2,3", "engine=inline", "--dry-run"]) == 0
    head, *rows, total = capsys.readouterr().out.splitlines()
    assert head.split()[-2:] == ["time", "MiB"]
    times = sorted(" ".join(row.split()[-3:]) for row in rows)
    assert times == ["4 s 700", "4 s 700", "~12 s –", "~12 s –"]  # three times the operations
    assert "about 34 s of one worker" in total  # 4 + 4 + 12 + 12, and each structure is compiled once


BAD = {
    "depht=3": "did you mean 'depth'",
    "depth=0": "depth=0",
    "depth=-1": "depth=-1",
    "depth=abc": "depth=abc",
    "depth=2.5": "depth=2.5",
    "depth=": "depth=",
    "lr=abc": "lr=abc",
    "lr=-1": "lr=-1",
    "lr=nan": "lr=nan",
    "remat=yes": "remat=yes",
    "initializer.gain=abc": "initializer.gain=abc",
    "batch_size=100000": "batch_size=100000",
    "device=abacus": "device=abacus",
    "device=tpu": "tpu",
    "dtype=float8": "dtype=float8",
    "outputs=/proc/nowhere": "/proc/nowhere",
    "activation=rleu": "did you mean 'relu'",
    "study=../up": "study=../up",
}


@pytest.mark.few(2)
@pytest.mark.parametrize(("word", "message"), BAD.items())
def test_bad_input_is_exit_code_two_and_leaves_nothing(elsewhere, capsys, word, message):
    assert main(["run", *TINY, word]) == 2
    error = capsys.readouterr().err
    assert error.startswith("gradlab run: ")
    assert message in error
    assert error.count("\n") <= 2
    assert list(elsewhere.iterdir()) == []


def test_a_clip_needs_a_threshold_above_zero(elsewhere, capsys):
    assert main(["run", *TINY, "clip=norm", "clip.threshold=0"]) == 2
    assert "clip.threshold=0" in capsys.readouterr().err
    assert list(elsewhere.iterdir()) == []


def test_all_errors_of_a_grid_are_reported_before_anything_runs(elsewhere, capsys):
    assert main(["run", "-m", "depth=3,0,-1", "steps=0"]) == 2
    error = capsys.readouterr().err
    assert "depth=0" in error
    assert "depth=-1" in error
    assert list(elsewhere.iterdir()) == []


@pytest.mark.slow
def test_python_gets_a_run(elsewhere):
    run = gradlab.run(*TINY)
    assert run.folder.is_relative_to("outputs")
    assert run.status["state"] == "finished"
    assert set(run.layers.layer) == {0, 1, 2, 3}


def test_python_gets_a_list_for_a_grid(elsewhere, capsys):
    runs = gradlab.run(*TINY, "lr=0.1,0.2")
    assert [run.recipe["lr"] for run in runs] == [0.1, 0.2]
    assert set(gradlab.load("outputs/default").lr) == {0.1, 0.2}
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({"depth": 50, "clip": "norm"}, ["depth=50", "clip=norm"]),
        ({"clip__threshold": 0.5, "lr": 1e-30}, ["clip.threshold=0.5", "lr=1e-30"]),
        ({"depth": [10, 20], "seed": range(3)}, ["depth=10,20", "seed=0,1,2"]),
        ({"remat": True, "force": False}, ["remat=true", "force=false"]),
        ({"lr": np.float32(0.5), "depth": np.int64(3)}, ["lr=0.5", "depth=3"]),
        ({"probe": "[forward,backward]"}, ["probe=[forward,backward]"]),
        ({"data__path": Path("a/b.csv"), "model__start": None}, ["data.path=a/b.csv", "model.start=null"]),
    ],
    ids=str,
)
def test_keywords_are_overrides(choices, words):
    assert [override(*choice) for choice in choices.items()] == words


@pytest.mark.parametrize(
    ("value", "message"),
    [([], "empty list"), (object(), "no number, word or list"), ([[1]], "no number, word or list")],
)
def test_a_keyword_s_value_that_is_no_override_is_refused(value, message):
    with pytest.raises(RecipeError, match=message):
        gradlab.run(depth=value)


@pytest.mark.slow
def test_a_list_is_a_grid_of_runs(elsewhere):
    runs = gradlab.run(*TINY, steps=0, seed=[3])
    assert [run.recipe["seed"] for run in runs] == [3]


def test_python_raises_for_a_wrong_override():
    with pytest.raises(ValueError, match="did you mean 'depth'"):
        gradlab.run("depht=3")


@pytest.mark.parametrize("losses", ["cross_entropy,mse", "mse,cross_entropy"])
def test_data_that_does_not_fit_one_cell_is_told_before_the_first_runs(tmp_path, capsys, losses):
    words = ["data=diabetes", f"loss={losses}", f"outputs={tmp_path}"]
    assert main(["run", "-m", *words]) == 2
    assert "data=diabetes is a regression task and loss=cross_entropy" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
