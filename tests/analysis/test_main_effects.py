import itertools

import numpy as np
import pandas as pd
import pytest

from gradlab.analysis.main_effects import NO_REPLICATES, main_effects, sentence


def grid(seeds=3, spread=0.3):
    """Four values of `depth` × three of `clip`, with an interaction and a spread over seeds."""
    random = np.random.default_rng(1)
    return pd.DataFrame(
        [
            {
                "depth": a,
                "clip": "xyz"[b],
                "gain": 2 * a + b + 0.3 * a * b + spread * random.standard_normal(),
            }
            for a, b, _ in itertools.product(range(4), range(3), range(seeds))
        ]
    )


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
    assert sentence(effects) == f"score: a 90 %, b 10 %, rest 0 %; {NO_REPLICATES}"


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


def test_intervals_are_those_of_resampling_by_hand():
    frame, random = grid(seeds=4, spread=2.0), np.random.default_rng(5)
    cells = frame.gain.to_numpy().reshape(12, 4)  # combinations × seeds
    draws = [[random.choice(cell, 4) for cell in cells] for _ in range(1000)]
    shares = least_squares(frame, np.reshape(draws, (1000, 48)).T)
    low, high = np.quantile(shares, [0.025, 0.975], axis=1)
    effects = main_effects(frame, "gain", ["depth", "clip"])
    intervals = [effects.shares["depth"].interval, effects.shares["clip"].interval, effects.rest.interval]
    # quantiles of 999 samples: their standard error is near a thirtieth of the width
    np.testing.assert_allclose(intervals, np.stack([low, high], axis=1), atol=0.1 * (high - low).max())
    assert effects == main_effects(frame, "gain", ["depth", "clip"])  # the generator is fixed


def test_a_combination_of_one_seed_is_counted():
    frame = grid().drop(index=[0, 1])
    assert main_effects(frame, "gain", ["depth", "clip"]).note == "1 of 12 combinations have one seed"


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
