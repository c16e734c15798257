"""`gradlab lr-find`: one ordinary run with a rising rate, stored, reported and drawn."""

import json

import pytest

from gradlab import load
from gradlab.commands.lr_find import compose, with_sharpness
from gradlab.commands.main import main

SMALL = ["depth=2", "width=16", "probe=[backward]", "--steps", "60"]


def test_the_recipe_is_a_run_whose_rate_rises_from_low_to_high():
    recipe = compose(["depth=3", "seeds=2"], 1e-4, 2.0, 60)
    assert (recipe.lr, recipe.steps, recipe.log.every, recipe.study) == (2.0, 60, 1, "lr_find")
    assert recipe.schedule["name"] == "range"
    assert recipe.lr * recipe.schedule["low"] == pytest.approx(1e-4)
    assert compose(["study=mine"], 1e-4, 2.0, 60).study == "mine"


@pytest.mark.few(2)
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--low", "3", "--high", "1"], "--low 3 and --high 1"),
        (["--low", "0"], "above 0"),
        (["--high", "inf"], "--high inf"),
        (["--high", "nan"], "--high nan"),
        (["--high", "much"], "invalid float value"),
        (["--steps", "5"], "too few"),
        (["lr=0.1"], "use --high instead"),
        (["schedule=linear"], "use --low instead"),
        (["steps=100"], "use --steps instead"),
        (["log.every=10"], "sets log.every itself"),
        (["stop.loss=0.1"], "sets stop.loss itself"),
        (["optimizer=phases"], "does not follow --low and --high"),
        (["depth=3,4"], "one network at a time"),
        (["experiment=he_vs_xavier"], "one network at a time"),
        (["snapshot=[]", "--sharpness"], "add sharpness to the list"),
        (["dept=3"], "did you mean 'depth'"),
        (["batch_size=100000"], "batch_size"),
    ],
    ids=str,
)
def test_bad_input_is_one_line(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["lr-find", *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("gradlab lr-find: ")
    assert error.count("\n") == 1
    assert not (tmp_path / "outputs").exists()


@pytest.mark.slow
def test_it_runs_once_reports_draws_and_prints_json(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["lr-find", *SMALL, "seeds=2"]) == 0
    text = capsys.readouterr().out
    assert "recommended lr from" in text
    assert "try         gradlab run depth=2 width=16 'probe=[backward]' seeds=2 lr=" in text
    (figure,) = tmp_path.glob("outputs/lr_find/*/figures/lr_range.png")
    assert figure.stat().st_size > 10_000
    assert main(["lr-find", *SMALL, "seeds=2", "--json"]) == 0  # not run again
    found = json.loads(capsys.readouterr().out)
    assert [seed["seed"] for seed in found["seeds"]] == [0, 1]
    assert len(found["seeds"][0]["rates"]) == 60
    before = figure.read_bytes()
    assert main(["plot", "outputs/lr_find", "--kind", "lr_range"]) == 0  # from the stored run alone
    assert figure.read_bytes() == before
    low, high = found["recommended"]
    assert 1e-5 < low < high < 10


@pytest.mark.parametrize(
    ("words", "snapshots"),
    [
        (["depth=2"], ["recurrent_spectrum", "sharpness"]),
        (["probe=[backward]"], ["recurrent_spectrum", "sharpness"]),
        (["probe=[backward,sharpness]"], ["recurrent_spectrum", "sharpness"]),
        (["snapshot=[sharpness]"], ["sharpness"]),
    ],
    ids=str,
)
def test_the_sharpness_is_added_to_what_is_measured(words, snapshots):
    assert list(compose(with_sharpness(words), 1e-4, 2.0, 60).snapshots) == snapshots


@pytest.mark.slow
def test_the_threshold_is_that_of_the_stored_sharpness(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["lr-find", *SMALL, "--sharpness", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    steps = load(found["run"], table="steps")
    stored = steps[(steps.step == 0) & (steps.source == "probe")].sharpness.item()
    assert found["stability"]["sharpness"] == stored > 0
    assert found["stability"]["rate"] == pytest.approx(2 / stored, rel=1e-12)
    assert main(["lr-find", *SMALL, "--sharpness"]) == 0
    assert f"threshold   2/λ_max = {2 / stored:.3g} at the start" in capsys.readouterr().out
