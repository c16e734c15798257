"""Early stopping: judged at each evaluation, seed by seed, and a result like any other."""

import math

import numpy as np
import pytest

from gradlab.analysis import training
from gradlab.analysis.signal import SignalContext, signal_verdict
from gradlab.engine.checks import check
from gradlab.launch import early_stopping
from gradlab.launch.early_stopping import EarlyStopping, Evaluation
from gradlab.recipe.errors import RecipeError
from gradlab.recipe.recipe import Stop
from gradlab.store.read import open_run
from tests import runs
from tests.launch import stored
from tests.recipes import launch, recipe, tiny

NAMES = ["input", *(f"hidden {layer}" for layer in range(1, 21)), "output"]


def looked(stop, train, test, chance_loss=None, profiles=None):
    """What becomes of seeds with these losses, an evaluation a row; `profiles` are (evaluations, seeds, layers)."""
    judge = EarlyStopping(stop, np.arange(len(test[0])), chance_loss=chance_loss, layer_names=NAMES)
    for step, losses in enumerate(zip(train, test, strict=True)):
        profile = None if profiles is None else np.asarray(profiles[step])
        judge.judge(Evaluation(10 * step, *map(np.asarray, losses), profile), live=list(range(len(test[0]))))
    return {one["seed"]: one["step"] for one in judge.stopped}


def evaluation(step, train, test):
    return Evaluation(step, np.asarray(train), np.asarray(test))


def test_patience_counts_evaluations_without_a_new_least_test_loss():
    test = [[3.0, 3.0], [2.0, 4.0], [2.5, 2.9], [2.0, 2.8], [9.0, 2.7]]
    assert looked(Stop(2, 0.0), np.ones((5, 2)), test) == {0: 30}
    assert looked(Stop(1, 0.0), np.ones((5, 2)), test) == {0: 20, 1: 10}
    assert looked(Stop(0, 0.0), np.ones((5, 2)), test) == {}


def test_a_training_loss_that_is_low_enough_ends_a_seed():
    assert looked(Stop(0, 0.5), [[2.0], [0.6], [0.5], [0.1]], np.ones((4, 1))) == {0: 20}


def test_a_loss_that_is_nan_is_never_the_least():
    assert looked(Stop(2, 0.0), np.ones((4, 1)), [[1.0], [math.nan], [math.nan], [0.5]]) == {0: 20}


def test_a_checkpoint_s_notes_restore_it():
    one, two = (EarlyStopping(Stop(2, 0.0), np.arange(2)) for _ in range(2))
    one.judge(evaluation(0, np.ones(2), np.array([1.0, 2.0])), [0, 1])
    one.judge(evaluation(5, np.ones(2), np.array([1.5, 1.0])), [0, 1])
    two.restore(one.facts())
    for judge in (one, two):
        judge.judge(evaluation(10, np.ones(2), np.array([1.5, 0.5])), [0, 1])
    assert (
        one.stopped
        == two.stopped
        == [{"seed": 0, "step": 10, "why": "no new lowest test loss in 2 evaluations"}]
    )


def test_a_lost_seed_is_not_judged():
    judge = EarlyStopping(Stop(1, 0.0), np.arange(2))
    for step in range(3):
        judge.judge(evaluation(step, np.ones(2), np.ones(2)), [1])
    assert [one["seed"] for one in judge.stopped] == [1]


def test_a_training_loss_that_no_longer_changes_ends_a_seed():
    train = [[2.0, 2.0], [1.0, math.nan], [0.999, math.nan], [0.998, 1.0]]
    assert looked(Stop(0, 0.0, tolerance=0.01), train, np.ones((4, 2))) == {0: 20}
    assert looked(Stop(0, 0.0, tolerance=1e-4), train, np.ones((4, 2))) == {}
    assert looked(Stop(0, 0.0), [[1.0], [1.0]], np.ones((2, 1))) == {}
    assert looked(Stop(0, 0.0, tolerance=0.01), [[math.inf], [1.0], [3.0]], np.ones((3, 1))) == {}
    assert looked(Stop(0, 0.0, tolerance=0.01), [[0.0], [0.0]], np.ones((2, 1))) == {0: 10}


def test_a_verdict_ends_a_seed():
    level, falling, rising = np.zeros(22), 0.2 * np.arange(22), -0.2 * np.arange(22)
    profiles = [[level, level, level], [level, falling, rising]]
    ones = np.ones((2, 3))
    for on, ended in (
        (("vanishing",), {1: 10}),
        (("exploding",), {2: 10}),
        (("vanishing", "exploding"), {1: 10, 2: 10}),
    ):
        assert looked(Stop(0, 0.0, on=on), ones, ones, profiles=profiles) == ended
    broken = [[np.full(22, np.nan)] * 3] * 2
    assert looked(Stop(0, 0.0, on=("vanishing", "exploding")), ones, ones, profiles=broken) == {}


@pytest.mark.parametrize("names", [NAMES, ["input", *(f"stage{k // 7} {k}" for k in range(20)), "output"]])
def test_a_seed_ends_by_the_verdict_that_diagnose_gives(names):
    """Also where the blocks are of several kinds, and at the edge of what counts as vanishing or exploding."""
    context, ended = SignalContext("layer"), set()
    for seed in range(60):
        profile = runs.walk(20, 1, gain=10 ** np.linspace(-0.2, 0.2, 60)[seed], spread=0.2, seed=seed)
        verdict = signal_verdict(runs.layer_table(profile, [0], name=names).to_pandas(), context).verdict
        stop = Stop(0, 0.0, on=("vanishing", "exploding"))
        judge = EarlyStopping(stop, np.arange(1), layer_names=names)
        judge.judge(Evaluation(0, np.ones(1), np.ones(1), profile), [0])
        assert [entry["why"].split(":")[0] for entry in judge.stopped] == [verdict] * (verdict != "flowing")
        ended.add(verdict)
    assert ended == {"vanishing", "flowing", "exploding"}


def test_a_loss_far_above_its_first_and_the_chance_loss_has_diverged():
    train = [[1.0], [4.0], [4.7]]
    assert looked(Stop(0, 0.0, on=("diverged",)), train, np.ones((3, 1)), chance_loss=2.3) == {0: 20}
    assert looked(Stop(0, 0.0, on=("diverged",)), train, np.ones((3, 1))) == {0: 10}
    assert early_stopping.BLOWN_UP == training.BLOWN_UP


def test_a_verdict_on_what_is_not_measured_is_refused():
    with pytest.raises(
        RecipeError, match=r"stop.on=vanishing needs the backward signal.*probe=.backward,forward"
    ):
        recipe("stop.on=[vanishing,diverged]", "probe=[forward]")
    assert check(recipe("stop.on=diverged", "probe=[forward]")).stop.on == ("diverged",)


def test_dropped_updates_in_a_row_end_a_seed_across_chunks_and_checkpoints():
    judge = EarlyStopping(Stop(0, 0.0), np.arange(2), clip_patience=3)
    judge.count_dropped(np.arange(4), np.array([[1, 0, 1, 1], [1, 1, 0, 1]], bool), [0, 1])
    again = EarlyStopping(Stop(0, 0.0), np.arange(2), clip_patience=3)
    again.restore(judge.facts())
    again.count_dropped(np.arange(4, 6), np.array([[1, 0], [0, 1]], bool), [0, 1])
    assert again.message() == "seed 0 stopped at step 4: the clip dropped 3 updates in a row"
    assert again.stopped == [{"seed": 0, "step": 4, "why": "the clip dropped 3 updates in a row"}]


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_what_a_seed_does_after_its_end_is_not_looked_at(tmp_path):
    words = ("steps=40", "eval.every=20", "stop.loss=1e9", "lr=1e37")
    outcome = launch(tiny(tmp_path, *words, "on_nonfinite=raise"))
    assert outcome.state == "stopped"
    assert stored.status(outcome.folder)["nonfinite"] == []


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_a_run_that_stops_says_so_and_keeps_its_rows(tmp_path):
    words = ("seeds=2", "steps=40", "eval.every=4", "lr=3.0", "stop.patience=1")
    outcome = launch(tiny(tmp_path, *words))
    status = stored.status(outcome.folder)
    assert outcome.state == status["state"] == "stopped"
    assert "no new lowest test loss in 1 evaluations" in outcome.message
    steps = open_run(outcome.folder).steps
    ends = {one["seed"]: one["step"] for one in status["stopped"]}
    for seed, last in ends.items():
        rows = steps[(steps.seed == seed) & (steps.source == "batch")]
        assert rows.step.tolist() == list(range(last + 1))
        assert rows.test_loss.iloc[-1] > rows.test_loss[rows.test_loss.notna()].min()
    assert launch(tiny(tmp_path, *words)).fresh is False  # a result: not run again


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_the_steps_before_the_stop_are_those_of_a_run_without_one(tmp_path):
    words = ("steps=40", "eval.every=4", "lr=3.0")
    whole = open_run(launch(tiny(tmp_path, *words)).folder).steps
    early = open_run(launch(tiny(tmp_path, *words, "stop.patience=1")).folder).steps
    last = early.step.max()
    assert last < 40
    assert early.loss.tolist() == whole[whole.step <= last].loss.tolist()
