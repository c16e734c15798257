import json
from dataclasses import replace

import numpy as np
import pytest

from gradlab.analysis import verdicts
from gradlab.analysis.results import to_json
from gradlab.analysis.sentences import of_diagnosis
from gradlab.analysis.verdicts import diagnose, failed
from gradlab.recipe.errors import RecipeError
from gradlab.store.read import open_run
from tests import runs

LOGGED = list(range(0, 101, 10))


@pytest.fixture(autouse=True)
def _without_theory(monkeypatch):
    """Theory has its own tests; here only what was measured speaks."""
    monkeypatch.setattr(verdicts, "predicted", lambda run: None)


def told(tmp_path, backward=None, loss=None, forward=None, status=None, more=None, rank=None, **changes):
    """The diagnosis of one seed's profiles and losses."""
    backward = runs.walk(20, 11) if backward is None else np.asarray(backward, dtype=float)
    backward = np.broadcast_to(backward, (11, backward.shape[-1]))
    forward = None if forward is None else np.broadcast_to(forward, backward.shape)
    extra = {} if rank is None else {"effective_rank": np.broadcast_to(rank, backward.shape)}
    loss = np.geomspace(2.35, 0.09, 11).tolist() if loss is None else list(loss)
    layers = runs.layer_table(backward, LOGGED, forward, **extra)
    steps = runs.step_table(loss, LOGGED[: len(loss)], **(more or scores(loss)))
    return diagnose(runs.opened(tmp_path / "run", [layers], [steps], status, **changes))


def scores(loss):
    """Accuracies that follow the loss from chance to 1."""
    rising = [max(0.1, 1 - 0.9 * value / 2.3) if np.isfinite(value) else 0.1 for value in loss]
    return {"train_accuracy": rising, "test_accuracy": rising}


def line(depth=20, slope=0.0):
    return np.arange(depth + 2) * slope


def test_a_flowing_run_that_learned_is_told_in_two_sentences(tmp_path):
    found = diagnose(open_run(runs.simple(tmp_path / "run")))
    (_, signal), (at, _), (_, training) = of_diagnosis(found)
    assert signal.startswith("flowing: −0.")
    assert signal.endswith("decades from layer 20 back to layer 1, gain 0.94 per layer (0.90–0.98)")
    assert at == "at step 100"
    assert training == "learned: loss 2.35 → 0.09, test accuracy 0.97 (chance level 0.10)"


@pytest.mark.parametrize(
    ("slope", "word"), [(0.1, "vanishing"), (-0.1, "exploding"), (0.06, "flowing"), (-0.06, "flowing")]
)
def test_twenty_fold_over_depth_is_the_bound(tmp_path, slope, word):
    found = told(tmp_path, line(slope=slope)).signal_start
    assert (found.verdict, found.words) == (word, [word])


def test_a_wide_interval_keeps_flowing_and_shows_why(tmp_path):
    found = told(tmp_path, runs.walk(20, 1, gain=0.8, spread=0.4, seed=5)).signal_start
    assert found.verdict == "flowing"
    assert found.decades < -1.31 < found.decades_interval[1]
    assert " to " in found.sentence


def test_flat_weight_gradients_do_not_hide_vanishing(tmp_path):
    found = told(
        tmp_path, line(50, 0.15), more={"train_accuracy": [0.1] * 11}, loss=[2.302585] * 11, depth=50
    )
    assert found.signal_start.verdict == "vanishing"
    assert found.training.verdict == "stalled"


def test_vanishing_at_the_start_recovered_and_not_learned_can_be_told(tmp_path):
    slopes = np.linspace(0.3, 0.0, 11)[:, None] * np.arange(22)
    found = told(tmp_path, slopes, loss=[2.31] * 11)
    assert [getattr(found, part).verdict for part in ("signal_start", "signal_end", "training")] == [
        "vanishing",
        "flowing",
        "stalled",
    ]


def test_one_hidden_layer_is_undecided(tmp_path):
    found = told(tmp_path, np.zeros(3), depth=1).signal_start
    assert (
        found.sentence == "undecided: one hidden layer, so there is no depth over which the signal can change"
    )


def test_no_steps_are_told_as_no_training(tmp_path):
    layers, steps = runs.layer_table(runs.walk(20, 1), [0]), runs.step_table([2.35], [0])
    folder = runs.write(tmp_path / "run", runs.recipe(steps=0), runs.status(), [layers], [steps])
    found = diagnose(open_run(folder))
    assert found.training.sentence == "untrained: no step was taken; loss 2.35 (chance loss 2.30)"
    assert [label for label, _ in of_diagnosis(found)] == ["signal", "training"]


def test_all_zeros_are_cut_at_the_output(tmp_path):
    found = told(tmp_path, np.full(22, -np.inf)).signal_start
    assert found.sentence.startswith("cut: the loss sends back an exact zero")


def test_a_dead_layer_cuts(tmp_path):
    forward = np.where(np.arange(22) < 9, 0.0, -np.inf)
    backward = np.where(np.arange(22) < 9, -np.inf, 0.0)
    found = told(tmp_path, backward, forward=forward).signal_start
    assert "cut: the forward signal is exactly zero at layer 9" in found.sentence
    assert found.decades is None


def test_an_underflowing_forward_signal_is_named_with_the_decades(tmp_path):
    forward = np.where(np.arange(22) < 9, -4.5 * np.arange(22), -np.inf)
    found = told(tmp_path, line(slope=1.1), forward=forward).signal_start
    assert found.words == ["underflow", "vanishing"]
    assert found.sentence.startswith("underflow: the forward signal underflows at layer 9")
    assert "−21 decades" in found.sentence


def test_all_nan_is_not_finite(tmp_path):
    found = told(tmp_path, np.full(22, np.nan), loss=[np.nan] * 11, forward=np.full(22, np.nan))
    assert found.signal_start.sentence.startswith("undefined: first in the forward signal at layer 0 (input)")
    assert found.training.verdict == "diverged"
    json.dumps(to_json(found), allow_nan=False)


def test_a_diverged_run_names_step_and_layer(tmp_path):
    entry = {"seed": 0, "step": 17, "layer": 3, "name": "hidden 3", "where": "forward"}
    status = runs.status("diverged", nonfinite=[entry], steps_done=17)
    found = told(tmp_path, loss=[2.35, 2.0], status=status)
    assert found.signal_end.verdict == "undefined"
    assert "first in the forward signal at layer 3 (hidden 3)" in found.signal_end.sentence
    assert found.training.sentence.startswith(
        "diverged: not finite at step 17, first in the forward signal at layer 3"
    )


def of_rank(rank):
    """A status whose inputs have this effective rank in a batch of 128."""
    return runs.status(data=runs.DATA | {"effective_rank": 1 / (1 / rank - 1 / 128)})


def test_rank_collapse_is_said_of_a_flowing_signal(tmp_path):
    found = told(tmp_path, rank=1.5, status=of_rank(11), loss=[2.3] * 11)
    assert found.signal_start.words == found.signal_end.words == ["flowing", "rank collapse"]
    assert "rank collapse: at layer 20 examples differ in few directions" in found.signal_start.sentence
    assert "(effective rank 1.5, of the inputs 11.0)" in found.signal_start.sentence


def test_a_network_that_has_learned_has_not_collapsed(tmp_path):
    assert told(tmp_path, rank=1.5, status=of_rank(11)).signal_end.words == ["flowing"]


@pytest.mark.parametrize(("rank", "inputs"), [(1.9, 9.0), (1.0, 3.0), (2.1, 20.0), (None, 20.0)])
def test_few_directions_of_few_are_no_collapse(tmp_path, rank, inputs):
    assert told(tmp_path, rank=rank, status=of_rank(inputs)).signal_start.words == ["flowing"]


def test_tokens_are_compared_with_the_first_block(tmp_path):
    ranks = np.linspace(20, 1, 22)
    assert told(tmp_path, rank=ranks).signal_start.words == ["flowing", "rank collapse"]
    assert told(tmp_path / "one", rank=ranks / ranks).signal_start.words == ["flowing"]


def test_residual_nets_speak_of_blocks(tmp_path):
    found = told(tmp_path, line(slope=0.03), residual={"name": "plain"}).signal_start
    assert "gain 0.93 per block" in found.sentence


def test_the_share_of_clipped_steps_leaves_the_last_row_out(tmp_path):
    loss = np.geomspace(2.35, 0.09, 11).tolist()
    clipped = {"clipped": [1.0] * 4 + [0.0] * 7}
    found = told(tmp_path, loss=loss, more=scores(loss) | clipped, clip={"name": "norm", "threshold": 1.0})
    assert found.training.clip_share == 0.4
    assert found.training.sentence.endswith("; the clip acted on 40 % of the steps")


@pytest.mark.parametrize(
    ("loss", "word"),
    [
        (np.geomspace(2.35, 0.09, 11), "learned"),
        (np.full(11, 2.303), "stalled"),
        (np.linspace(2.4, 2.31, 11), "stalled"),  # falls, but not below chance
        (np.linspace(2.35, 1.9, 11), "learning"),  # a quarter of the way is at 1.73
        (np.r_[np.linspace(2.35, 1.9, 6), np.full(5, 1.9)], "stalled"),  # a plateau far from learned
        (np.r_[np.geomspace(2.35, 0.4, 6), np.full(5, 2.5)], "learned and lost it"),
        (np.geomspace(2.35, 40, 11), "diverged"),
        (np.r_[np.geomspace(2.35, 1.9, 10), np.inf], "diverged"),
        (np.r_[np.geomspace(2.35, 1.9, 10), np.nan], "diverged"),
    ],
)
def test_the_training_word_follows_loss_and_accuracy(tmp_path, loss, word):
    found = told(tmp_path, loss=loss).training
    assert (found.verdict, found.words) == (word, [word]), found.sentence


def test_low_loss_with_an_accuracy_at_chance_is_not_learned(tmp_path):
    more = {"train_accuracy": [0.12] * 11, "test_accuracy": [0.12] * 11}
    assert told(tmp_path, more=more).training.verdict == "learning"


def test_a_training_part_known_by_heart_is_said_to_be_memorized(tmp_path):
    more = {"train_accuracy": [1.0] * 11, "test_accuracy": [0.12] * 11}
    found = told(tmp_path, more=more).training
    assert found.words == ["learned", "memorized"]
    assert "training accuracy 1.00, test accuracy 0.12 (chance level 0.10)" in found.sentence


def test_a_loss_without_accuracy_is_judged_by_itself(tmp_path):
    status = runs.status(data=runs.DATA | {"chance_accuracy": None})
    found = told(tmp_path, status=status, more={"penalty": [0.0] * 11}).training
    assert found.sentence == "learned: loss 2.35 → 0.09"


def test_several_seeds_are_counted(tmp_path):
    layers = [runs.layer_table(runs.walk(20, 11, seed=seed), LOGGED, seed=seed) for seed in range(5)]
    loss = np.geomspace(2.35, 0.09, 11).tolist()
    steps = [runs.step_table(loss, LOGGED, seed=seed, **scores(loss)) for seed in range(4)]
    steps.append(runs.step_table([2.35, float("inf")], [0, 10], seed=4, **scores([2.35, np.inf])))
    entry = {"seed": 4, "step": 10, "layer": 21, "name": "output", "where": "forward"}
    layers[4] = layers[4].slice(0, 44)
    found = diagnose(runs.opened(tmp_path / "run", layers, steps, runs.status(nonfinite=[entry]), seeds=5))
    assert found.training.sentence.startswith("learned in 4 of 5 seeds, diverged in 1: loss 2.35 → 0.09")
    assert (found.signal_end.verdict, found.signal_end.seeds_averaged) == ("flowing", 4)
    assert "undefined in 1 of 5 seeds at step 10, first in the forward" in found.signal_end.sentence
    assert failed(found, ["diverged", "undefined", "stalled"]) == ["diverged", "undefined"]


def test_an_interrupted_run_says_how_far_it_came(tmp_path):
    found = told(tmp_path, loss=np.linspace(2.35, 1.9, 6), status=runs.status("interrupted")).training
    assert found.sentence.endswith("ended after 50 of 100 steps")


def test_a_running_run_has_not_ended(tmp_path):
    told(tmp_path, loss=np.linspace(2.35, 1.9, 6), status=runs.status("interrupted"))
    run = open_run(tmp_path / "run")
    growing = replace(run, status=run.status | {"state": "running", "steps_done": 51})
    assert diagnose(growing).training.sentence.endswith("; so far 50 of 100 steps")


@pytest.mark.parametrize(
    "initializer", [{"name": "normal"}, {"name": "normal", "sigma_w": "auto", "sigma_b": 0.0}]
)
def test_a_stored_recipe_without_the_numbers_of_its_initializer_is_refused_in_one_line(tmp_path, initializer):
    with pytest.raises(RecipeError, match="is not a whole recipe") as error:
        told(tmp_path, initializer=initializer)
    assert "\n" not in str(error.value)


def test_theory_stands_beside_the_gain_at_the_start_only(tmp_path, monkeypatch):
    curve = np.log10(0.96) * np.arange(51, -1, -1)  # a gain of 0.96 a layer, back from layer 50
    monkeypatch.setattr(
        verdicts, "predicted", lambda run: type("P", (), {"log10_backward": curve, "note": "mean field"})()
    )
    found = told(tmp_path)
    assert found.signal_start.sentence.endswith("; theory 0.96")
    assert "theory" not in found.signal_end.sentence


def test_the_mean_field_of_a_tanh_net_is_what_stands_there(tmp_path, monkeypatch):
    monkeypatch.undo()
    found = told(tmp_path, runs.walk(50, 1), depth=50).signal_start
    assert found.gain_theory == pytest.approx(
        0.97, abs=0.01
    )  # orthogonal tanh: just below 1, rising with depth


def test_an_unknown_word_to_fail_on_gets_a_hint(tmp_path):
    with pytest.raises(RecipeError, match="did you mean 'vanishing'"):
        failed(told(tmp_path), ["vanish"])


def test_a_run_that_failed_before_its_data_has_no_verdict(tmp_path):
    status = runs.status("failed")
    del status["data"]
    folder = runs.write(tmp_path / "run", runs.recipe(), status, [], [])
    with pytest.raises(RecipeError, match=r"see its run\.log"):
        diagnose(open_run(folder))


def test_a_run_without_the_backward_probe_is_told_so(tmp_path):
    rows = runs.layer_table(runs.walk(5, 1), [0], log10_backward=[None] * 7)
    run = runs.opened(tmp_path / "run", [rows], [runs.step_table([1.0], [0])])
    with pytest.raises(RecipeError, match="probe 'backward'"):
        diagnose(run)


def test_runs_that_differ_after_the_start_share_a_prediction(tmp_path, monkeypatch):
    from gradlab.theory import mlp

    calls, predict = [], mlp.predict
    monkeypatch.undo()
    monkeypatch.setattr(mlp, "predict", lambda *given: calls.append(given) or predict(*given))
    verdicts._kept_prediction.cache_clear()
    changes = [{"lr": 0.1}, {"lr": 0.2, "seed": 3}, {"width": 32}, {"lr": 0.2, "seed": 4}]
    opened = [open_run(runs.simple(tmp_path / str(index), **change)) for index, change in enumerate(changes)]
    gains = [verdicts.predicted(run).gain for run in opened]
    assert len(calls) == 2
    assert gains[0] == gains[1] == gains[3]
    expected = [predict(verdicts._recipe_seen_at_once(run), run.status["data"]).gain for run in opened]
    assert gains == expected
