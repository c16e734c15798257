"""The clip observatory: what thresholds would have done, which is advised, and what a reader is warned of."""

import json

import numpy as np
import pytest

from gradlab.analysis.advice_sentences import of_clip_advice
from gradlab.analysis.clip_advice import advise, breakdowns, recorded_norms, round_two, threshold_effects
from gradlab.analysis.results import OwnClip, to_json
from gradlab.recipe.errors import RecipeError
from tests import runs


def recorded(folder, log10, clipped=None, clip=None, every=1, seeds=1, column="log10_gradient"):
    """A run with these norms; the last row has taken no step, as in a real one."""
    steps = (every * np.arange(len(log10) + 1)).tolist()
    loss = np.linspace(2.3, 0.5, len(steps)).tolist()
    more = {column: [*np.asarray(log10, float).tolist(), 9.0]}
    more |= {"clipped": [*(np.zeros(len(log10)) if clipped is None else clipped).tolist(), 0.0]}
    tables = [runs.step_table(loss, steps, seed=seed, **more) for seed in range(seeds)]
    layers = [runs.layer_table(runs.walk(20, 1), [0], seed=seed) for seed in range(seeds)]
    return runs.opened(folder, layers, tables, clip=clip or {"name": "none"}, log={"every": every})


def noise(count=300, spread=0.1, middle=0.0):
    return middle + spread * np.random.default_rng(2).standard_normal(count)


def spiky(count=300, size=20.0, every=30):
    return noise(count) + np.where(np.arange(count) % every == every - 1, np.log10(size), 0.0)


def test_a_curve_is_its_definition(tmp_path):
    log10 = [-1.0, 0.0, 0.5, 1.0, -np.inf]
    found = threshold_effects(recorded_norms(recorded(tmp_path / "run", log10)), [0.5, 1.0, 100.0])
    sizes = np.array([0.1, 1.0, 10**0.5, 10.0, 0.0])
    for row in found.itertuples():
        scale = np.minimum(1.0, row.threshold / np.where(sizes == 0, 1e-9, sizes))
        assert row.clipped == pytest.approx((sizes > row.threshold).mean())
        assert row.scale == pytest.approx(scale.mean(), rel=1e-6)


def test_percentiles_are_numpy_s(tmp_path):
    log10 = noise()
    told = advise(recorded(tmp_path / "run", log10)).percentiles
    assert list(told) == ["5", "10", "25", "50", "75", "90", "95", "99"]
    for q, value in told.items():
        assert np.log10(value) == pytest.approx(np.percentile(log10, int(q)), abs=1e-6)


@pytest.mark.parametrize("middle", [-30.0, 0.0, 30.0])
def test_spikes_are_found_and_cut_and_the_others_spared(tmp_path, middle):
    found = advise(recorded(tmp_path / "run", spiky() + middle)).advice
    assert (found.clip, found.spikes, found.cut) == ("norm", 10, 10)
    tenths = [noise()[30 * part : 30 * part + 29] for part in range(10)]  # without the spike of each
    assert found.threshold == round_two(10 ** (max(np.percentile(tenth, 60) for tenth in tenths) + middle))
    assert 0.2 < found.clipped < 0.45
    assert "10 of 300 steps are spikes" in found.reason


def test_a_steady_gradient_needs_no_clip(tmp_path):
    found = advise(recorded(tmp_path / "run", noise())).advice
    assert (found.clip, found.threshold, found.spikes) == ("none", None, 0)
    assert "no step is a spike" in found.reason


def test_a_gradient_that_falls_by_decades_has_no_spikes(tmp_path):
    assert advise(recorded(tmp_path / "run", noise() - np.linspace(0, 6, 300))).advice.clip == "none"


def test_spikes_below_what_was_usual_before_want_a_threshold_that_follows(tmp_path):
    found = advise(recorded(tmp_path / "run", spiky() - np.linspace(0, 4, 300))).advice
    assert (found.clip, found.threshold, found.spikes) == ("zscore", None, 10)
    assert "the threshold has to follow the norms" in found.reason


def test_a_calm_run_under_a_clip_that_acted_is_no_proof(tmp_path):
    clip = {"name": "norm", "threshold": 1.0, "p": 2.0, "where": "gradient"}
    log10 = noise()
    found = advise(recorded(tmp_path / "run", log10, (log10 > 0).astype(float), clip))
    assert "which may be the reason" in found.advice.reason
    assert found.own == OwnClip("norm", 1.0, pytest.approx((log10 > 0).mean()))


@pytest.mark.parametrize(("acted", "told"), [(0.0, "never acted"), (1.0, "acted at every step")])
def test_a_clip_that_never_or_always_acts_is_told(tmp_path, acted, told):
    clip = {"name": "agc", "threshold": 0.01, "eps": 0.001, "where": "gradient"}
    found = advise(recorded(tmp_path / "run", noise(), np.full(300, acted), clip))
    assert any(told in warning for warning in found.warnings)
    assert found.own.threshold is None  # it bounds no norm of all parameters


def test_thresholds_beyond_all_norms_are_told(tmp_path):
    found = advise(recorded(tmp_path / "run", noise()), [1e-3, 1.0, 1e3])
    assert [row.threshold for row in found.thresholds] == [1e-3, 1.0, 1e3]
    assert [round(row.clipped) for row in (found.thresholds[0], found.thresholds[2])] == [1, 0]
    assert "0.001 would act at every step" in found.warnings[0]
    assert "1000 would never act" in found.warnings[1]


def test_steps_between_the_recorded_ones_and_pooled_seeds_are_told(tmp_path):
    found = advise(recorded(tmp_path / "run", noise(), every=10, seeds=3))
    assert (found.steps, found.seeds, found.every) == (900, 3, 10)
    told = dict(of_clip_advice(found))
    assert told["norms"].startswith("900 recorded steps, every 10th, of 3 seeds: ")
    assert "only every 10th step was recorded" in told["note"]


def test_what_is_zero_counts_as_unclipped_and_what_is_not_finite_is_left_out(tmp_path):
    log10 = noise()
    log10[:3], log10[200:205] = -np.inf, np.nan
    log10[299] = np.inf
    found = advise(recorded(tmp_path / "run", log10), [1e-9])
    assert (found.zeros, found.nonfinite, found.steps) == (3, 6, 300)
    assert found.thresholds[0].clipped == pytest.approx(291 / 294)
    assert "6 of 300 norms not finite" in found.warnings[0]
    assert json.loads(json.dumps(to_json(found), allow_nan=False)) == to_json(found)


@pytest.mark.parametrize(("value", "count"), [(np.nan, 5), (np.inf, 5), (-np.inf, 5), (0.0, 0)])
def test_a_run_without_a_finite_norm_is_refused_in_one_line(tmp_path, value, count):
    run = recorded(tmp_path / "run", np.full(count, value))
    with pytest.raises(RecipeError, match=r"no finite norm|took no step") as error:
        advise(run)
    assert "\n" not in str(error.value)


def test_a_run_of_one_step_is_advised_on(tmp_path):
    assert advise(recorded(tmp_path / "run", [0.3])).advice.clip == "none"


def test_what_the_clip_was_given_is_taken_where_it_was_recorded(tmp_path):
    run = recorded(tmp_path / "run", noise(20, middle=5.0), column="log10_unclipped")
    assert advise(run).percentiles["50"] == pytest.approx(1e5, rel=0.3)


def broken_run(folder, losses, norms, nonfinite=(), every=10):
    """Seeds with a loss and a norm at each step, evaluated at `every` such step; chance level is 2.3."""
    steps = list(range(len(losses[0])))
    tables = []
    for seed, (loss, norm) in enumerate(zip(losses, norms, strict=True)):
        evaluated = [value if step % every == 0 else None for step, value in zip(steps, loss, strict=True)]
        more = {
            "log10_gradient": np.log10(norm).tolist(),
            "clipped": [0.0] * len(steps),
            "train_loss": evaluated,
        }
        tables.append(runs.step_table(list(loss), steps, seed=seed, **more))
    layers = [runs.layer_table(runs.walk(20, 1), [0], seed=seed) for seed in range(len(losses))]
    entries = [{"seed": s, "step": t, "layer": None, "name": None, "where": "loss"} for s, t in nonfinite]
    return runs.opened(folder, layers, tables, runs.status(nonfinite=entries), clip={"name": "none"})


def test_a_loss_that_rises_again_is_a_reason_for_a_clip_though_no_norm_is_a_spike(tmp_path):
    falling = np.geomspace(2.3, 0.1, 101)
    rising = np.where(np.arange(101) < 63, falling, 2.4)
    norms = np.linspace(1.0, 3.0, 101)  # no spikes
    run = broken_run(tmp_path / "run", [falling, rising], [norms, norms + 1.0])
    assert breakdowns(run) == {1: 63}
    found = advise(run).advice
    assert (found.clip, found.spikes) == ("norm", 0)
    assert found.threshold == round_two(np.percentile((norms + 1.0)[:63], 65))
    assert found.reason.startswith("the training of 1 of 2 seeds broke down")


def test_a_breakdown_between_rare_evaluations_is_seen_in_the_minibatch_losses(tmp_path):
    """The loss comes down again before the only later evaluation, or ends where it began."""
    falling = np.geomspace(2.3, 0.1, 101)
    recovered = np.where(np.abs(np.arange(101) - 60) < 13, 2.4, falling)
    lost = np.where(np.arange(101) < 63, falling, 2.3)
    norms = np.linspace(1.0, 3.0, 101)
    run = broken_run(tmp_path / "run", [falling, recovered, lost], [norms] * 3, every=100)
    assert breakdowns(run) == {1: 48, 2: 63}
    before = np.r_[norms[:48], norms[:63]]
    assert advise(run).advice.threshold == round_two(10 ** np.percentile(np.log10(before), 65))


def test_the_noise_of_small_batches_is_no_breakdown(tmp_path):
    """Exponential losses, as of single examples: each is above the median by a tenth of the chance loss often."""
    random = np.random.default_rng(0)
    losses = random.exponential(np.geomspace(2.3, 0.5, 1000), (8, 1000))
    assert breakdowns(broken_run(tmp_path / "run", losses, np.ones((8, 1000)), every=1000)) == {}


def test_a_seed_that_became_non_finite_broke_down_where_its_loss_first_rose(tmp_path):
    loss = np.r_[[2.3, 2.2, 2.1, 9.0, 1e9], np.full(6, np.nan)]
    run = broken_run(tmp_path / "run", [loss], [np.full(11, 2.0)], nonfinite=[(0, 5)])
    assert breakdowns(run) == {0: 3}
    assert advise(run).advice.threshold == 2.0


def test_noise_and_a_loss_that_stays_low_are_no_breakdown(tmp_path):
    losses = 0.1 + 0.15 * np.random.default_rng(0).random((2, 101))  # of less than a tenth of the chance loss
    assert breakdowns(broken_run(tmp_path / "run", losses, np.ones((2, 101)))) == {}


def test_one_spike_of_a_run_that_learned_is_no_reason_for_a_clip(tmp_path):
    norms = np.where(np.arange(101) == 60, 20.0, 1.0 + 0.01 * np.arange(101))
    found = advise(broken_run(tmp_path / "run", [np.geomspace(2.3, 0.1, 101)], [norms])).advice
    assert (found.clip, found.spikes) == ("none", 1)
    assert found.reason.startswith("only 1 step is a spike, and no seed broke down")
