"""The rules of the training's verdict, one by one, on losses made for them."""

import numpy as np
import pandas as pd
import pytest

from gradlab.analysis.score import score_of
from gradlab.analysis.training import Baseline, TrainingContext, training_verdict
from tests import runs

STEPS = list(range(201))
FALLING = np.geomspace(2.3, 0.05, 201)


def judged(
    loss, clip="none", same_batch=False, update_norms=None, skip=False, nonfinite=(), seed=0, **columns
):
    """The verdict on one seed whose loss was recorded at every step; `columns` are others of the table of steps."""
    loss = np.asarray(loss, float)
    accuracy = np.clip(1 - 0.9 * np.nan_to_num(loss, nan=9.0) / 2.3, 0.1, 1.0)
    columns = {"train_accuracy": accuracy, "test_accuracy": accuracy} | columns
    table = runs.step_table(
        loss.tolist(), STEPS, seed, **{name: list(column) for name, column in columns.items()}
    )
    context = TrainingContext(
        baseline=Baseline(2.302585, score_of(runs.DATA)),
        total_steps=200,
        clip={"name": clip, "skip": skip},
        nonfinite=nonfinite,
        same_batch=same_batch,
        update_norms=update_norms,
    )
    frame = table.to_pandas(types_mapper=pd.ArrowDtype)
    return training_verdict(frame, context)


def test_a_loss_that_falls_is_learned_and_nothing_else():
    found = judged(FALLING, test_loss=FALLING, same_batch=True)
    assert (found.words, found.last_finite, found.dropped) == (["learned"], None, None)


def swinging(low, high):
    """A loss that falls at first, then goes up and down for ever."""
    return np.r_[np.geomspace(2.3, low, 60), np.resize([high, low], 141)]


def test_a_loss_that_goes_up_and_down_oscillates():
    found = judged(swinging(1.4, 1.9), same_batch=True)
    assert found.words == ["oscillating"]
    assert "between 1.40 and 1.90, the same batch at each step" in found.sentence


def test_minibatches_make_a_loss_go_up_and_down_without_an_oscillation():
    assert judged(swinging(1.4, 1.9)).words == ["stalled"]


def test_what_goes_up_and_down_below_learned_is_both():
    found = judged(swinging(0.05, 0.1), same_batch=True)
    assert (found.verdict, found.words) == ("learned", ["learned", "oscillating"])


def test_a_loss_that_falls_while_it_goes_up_and_down_does_not_oscillate():
    falling = np.geomspace(2.3, 0.3, 201) * np.resize([1.0, 0.9], 201)
    assert "oscillating" not in judged(falling, same_batch=True).words


@pytest.mark.parametrize(("log10_update", "word"), [(0.0, "oscillating"), (-6.0, "stalled")])
def test_a_constant_loss_oscillates_if_the_steps_are_large_enough_to_change_it(log10_update, word):
    index = pd.MultiIndex.from_product([[0], STEPS])
    norms = pd.Series(log10_update, index=index)
    found = judged(np.full(201, 2.3), same_batch=True, update_norms=norms, log10_gradient=np.zeros(201))
    assert found.words == [word]


def test_a_test_loss_that_rises_again_overfits():
    rising = np.r_[np.geomspace(2.3, 0.8, 100), np.linspace(0.8, 1.4, 101)]
    found = judged(FALLING, test_loss=rising)
    assert found.words == ["learned", "overfits"]
    assert "training accuracy" in found.sentence
    assert "overfits: the test loss rose from 0.80 at step 99 to 1.40" in found.sentence
    assert "overfits" not in judged(FALLING, test_loss=np.maximum(FALLING, 0.8)).words
    # 0.11, a tenth more than its lowest value, but not by 0.05 of the chance loss
    assert "overfits" not in judged(FALLING, test_loss=np.r_[np.full(200, 0.1), 0.11]).words


def test_a_spike_is_told_where_the_loss_comes_back():
    spiked = FALLING.copy()
    spiked[100] = 3.0
    found = judged(spiked)
    assert found.words == ["learned", "spiked and recovered"]
    assert "the minibatch loss rose to 3.00 at step 100, and came back" in found.sentence
    small = FALLING.copy()
    small[100] += 1.0  # less than half of the chance loss
    assert judged(small).words == ["learned"]


def spikes(loss, chance=2.302585):
    """Whether a loss of the whole run is a spike, by the rule: of each step, from the medians of those before."""
    for at in range(10, len(loss)):
        before = loss[max(0, at - 50) : at]
        median = np.median(before)
        deviation = 1.4826 * np.median(np.abs(before - median))
        if loss[at] - median > max(0.5 * chance, 6 * deviation):
            return True
    return False


def test_spikes_are_those_of_the_rule():
    noise = np.random.default_rng(0)
    losses = [FALLING + noise.exponential(scale, 201) for scale in np.geomspace(0.1, 0.8, 60)]
    found = ["spiked and recovered" in judged(loss, train_loss=FALLING).words for loss in losses]
    assert found == [spikes(loss.astype(np.float32).astype(float)) for loss in losses]
    assert 5 < sum(found) < 55


def test_noise_is_no_spike():
    noisy = FALLING + 0.4 * np.random.default_rng(0).standard_normal(201)
    assert "spiked and recovered" not in judged(noisy, train_loss=FALLING).words


def test_a_step_that_the_clip_dropped_is_no_divergence():
    loss, dropped = FALLING.copy(), np.zeros(201)
    loss[[13, 77]], dropped[[13, 77, 90]] = [np.nan, np.inf], 1.0
    found = judged(loss, "skip", clipped=dropped, train_loss=FALLING)
    assert (found.words, found.dropped, found.updates) == (["learned"], 3, 200)
    assert "the clip dropped 3 of 200 updates" in found.sentence
    assert judged(loss, "zscore", skip=True, clipped=dropped, train_loss=FALLING).dropped == 3
    assert judged(loss, "norm", clipped=dropped, train_loss=FALLING).verdict == "diverged"


def test_where_every_update_was_dropped_there_was_none():
    found = judged(np.full(201, 2.3), "skip", clipped=np.ones(201))
    assert found.sentence.startswith("untrained: no update was made: the clip dropped every one")


def test_the_last_finite_minibatch_loss_of_a_divergence_is_told():
    loss = np.r_[[2.36, 41.0, 4.1e12], np.full(198, np.nan)]
    found = judged(loss, train_loss=[2.36] + [None] * 200)
    assert found.last_finite == (2, pytest.approx(4.1e12))
    assert "loss 2.36 → 2.36" in found.sentence
    assert "the last finite minibatch loss is 4.1e+12, at step 2" in found.sentence


def test_what_was_learned_and_lost_is_neither_learned_nor_diverged():
    lost = np.r_[np.geomspace(2.3, 0.1, 150), np.full(51, 2.3)]
    found = judged(lost)
    assert found.words == ["learned and lost it"]
    assert "had reached loss 0.10 at step 149, then the loss rose again" in found.sentence
