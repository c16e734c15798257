import itertools

import numpy as np
import pandas as pd
import pytest

from gradlab.analysis.main_effects import ONE_SEED, main_effects, sentence


def grid(seeds=3, spread=0.3):
    """Four values of `depth` × three of `clip`, with an interaction and a spread over seeds."""
    random = np.random.default_rng(1)
    rows = [
        (a, "xyz"[b], seed, 2 * a + b + 0.3 * a * b + spread * random.standard_normal())
        for a, b, seed in itertools.product(range(4), range(3), range(seeds))
    ]
    return pd.DataFrame(rows, columns=["depth", "clip", "seed", "gain"])


def residual(frame, names, y=None):
    """The residual sum of squares of the additive model, by explicit least squares on dummies; `y` is (rows, …)."""
    y = frame.gain.to_numpy() if y is None else y
    columns = [np.ones(len(frame))]
    columns += [(frame[name] == value).to_numpy(float) for name in names for value in frame[name].unique()]
    design = np.stack(columns, axis=1)
    return np.square(y - design @ np.linalg.lstsq(design, y, rcond=None)[0]).sum(axis=0)


def least_squares(frame, y=None):
    """The shares of depth and clip, and the rest, of type II."""
    total, full = residual(frame, [], y), residual(frame, ["depth", "clip"], y)
    return [(residual(frame, [other], y) - full) / total for other in ("clip", "depth")] + [full / total]


def test_shares_worked_by_hand():
    # the mean is 4; between the values of a ±3: 4·9 = 36; of b ±1: 4·1 = 4; in all 40
    rows = [("p", "u", 0.0), ("p", "v", 2.0), ("q", "u", 6.0), ("q", "v", 8.0)]
    effects = main_effects(pd.DataFrame(rows, columns=["a", "b", "score"]), "score", ["a", "b"])
    assert effects.shares["a"].value == pytest.approx(0.9)
    assert effects.shares["b"].value == pytest.approx(0.1)
    assert (effects.rest.value, effects.inseparable) == (pytest.approx(0.0), pytest.approx(0.0))
    assert sentence(effects) == f"score: a 90 %, b 10 %, rest 0 %; {ONE_SEED}"


def test_an_interaction_is_the_rest_and_the_largest_share_is_first():
    # a alone ±1: 4; b alone ±2: 16; the product ±1: 4; in all 24
    rows = [(0, 0, 2.0), (0, 1, 4.0), (1, 0, 2.0), (1, 1, 8.0)]
    effects = main_effects(pd.DataFrame(rows, columns=["a", "b", "gain"]), "gain", ["a", "b"])
    assert list(effects.shares) == ["b", "a"]
    assert effects.shares["b"].value == pytest.approx(16 / 24)
    assert effects.rest.value == pytest.approx(4 / 24)


@pytest.mark.parametrize("kept", [36, 25, 14])
def test_shares_are_those_of_explicit_least_squares_balanced_or_not(kept):
    frame = grid().iloc[np.random.default_rng(2).permutation(36)[:kept]]
    effects = main_effects(frame, "gain", ["depth", "clip"])
    found = [effects.shares["depth"].value, effects.shares["clip"].value, effects.rest.value]
    assert found == pytest.approx(least_squares(frame), abs=1e-9)
    assert effects.inseparable == pytest.approx(1 - sum(found), abs=1e-9)
    assert (abs(effects.inseparable) < 1e-9) == (kept == 36)


@pytest.mark.parametrize("kept", [60, 50])
def test_intervals_are_those_of_drawing_seeds_by_hand(kept):
    random = np.random.default_rng(5)
    frame = grid(seeds=5, spread=2.0).iloc[random.permutation(60)[:kept]]
    of_seed = dict(list(frame.groupby("seed")))
    draws = [pd.concat([of_seed[seed] for seed in random.integers(0, 5, 5)]) for _ in range(200)]
    low, high = np.quantile([least_squares(rows) for rows in draws], [0.025, 0.975], axis=0)
    effects = main_effects(frame, "gain", ["depth", "clip"])
    intervals = [effects.shares["depth"].interval, effects.shares["clip"].interval, effects.rest.interval]
    # quantiles of 200 samples: their standard error is near a twentieth of the width
    np.testing.assert_allclose(intervals, np.stack([low, high], axis=1), atol=0.2 * (high - low).max())
    assert effects == main_effects(frame, "gain", ["depth", "clip"])  # the generator is fixed


def test_what_seeds_share_is_no_effect_of_a_choice():
    # the gain at the start has nothing to do with the learning rate, and the seeds are the same at each rate
    rows = [
        {"lr": lr, "seed": seed, "gain": [0.1, 0.5, 0.2, 0.9][seed]} for lr in range(5) for seed in range(4)
    ]
    effects = main_effects(pd.DataFrame(rows), "gain", ["lr"])
    assert effects.shares["lr"].interval == pytest.approx((0.0, 0.0), abs=1e-9)
    assert effects.rest.interval == pytest.approx((1.0, 1.0))


def test_values_that_are_not_finite_are_counted_and_left_out():
    frame = grid()
    broken = frame.assign(gain=frame.gain.where(frame.index > 2, [np.nan, np.inf, -np.inf] * 12))
    effects = main_effects(broken, "gain", ["depth", "clip"])
    assert (effects.values, effects.left_out) == (33, 3)
    assert effects.shares["depth"].value == pytest.approx(least_squares(frame[3:])[0])
    assert "3 of 36 left out: no finite value" in sentence(effects)


def test_choices_that_always_vary_together_are_inseparable():
    frame = grid().assign(clip=lambda rows: rows.depth.map(str))
    effects = main_effects(frame, "gain", ["depth", "clip"])
    assert [share.value for share in effects.shares.values()] == pytest.approx([0.0, 0.0], abs=1e-9)
    assert "inseparable" in sentence(effects)
    assert effects.inseparable > 0.5


def test_a_choice_with_a_value_per_run_explains_nothing():
    frame = grid().assign(lr=np.linspace(0.1, 1.0, 36))
    effects = main_effects(frame, "gain", ["depth", "clip", "lr"])
    assert list(effects.shares) == ["depth", "clip"]
    assert "lr left out: 36 values in 36 runs" in sentence(effects)
    assert main_effects(frame, "gain", ["lr"]) is None


def test_one_choice_needs_replicates_and_an_outcome_must_vary():
    frame = grid()
    assert main_effects(frame, "gain", ["depth"]).rest.interval is not None
    assert main_effects(frame.drop_duplicates("depth"), "gain", ["depth"]) is None
    assert main_effects(frame.assign(gain=0.1 + 0.2), "gain", ["depth", "clip"]) is None


def test_a_missing_value_of_a_choice_is_a_value():
    frame = grid().assign(threshold=lambda rows: rows.depth.where(rows.depth > 0))
    one, other = (main_effects(frame, "gain", [name]).shares[name] for name in ("depth", "threshold"))
    assert one == other
