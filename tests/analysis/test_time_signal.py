import numpy as np
import pandas as pd
import pytest

from gradlab.analysis.time_signal import time_verdicts


def rows(*profiles, layer=1):
    """Rows of one step, a seed each."""
    frames = [
        pd.DataFrame(
            {
                "seed": seed,
                "layer": layer,
                "name": "first",
                "time": np.arange(1, len(p) + 1),
                "log10_backward": p,
            }
        )
        for seed, p in enumerate(profiles)
    ]
    return pd.concat(frames, ignore_index=True)


CASES = {  # slope of log10 per time step forward: verdict
    0.1: "vanishing",
    0.0: "flowing",
    -0.1: "exploding",
}


@pytest.mark.parametrize("slope", CASES)
def test_the_gain_per_time_step_back_is_the_slope(slope):
    (found,) = time_verdicts(rows(slope * np.arange(51)))
    assert found.verdict == CASES[slope]
    assert found.gain == pytest.approx(10**-slope)
    assert found.decades == pytest.approx(-50 * slope)
    assert found.times == 51


def test_reach_is_how_far_back_a_hundredth_is_left():
    (found,) = time_verdicts(rows(0.1 * np.arange(51)))
    assert found.reach == 20  # 10^(−0.1·20) is still a hundredth
    assert "it falls to a hundredth within 21 time steps" in found.sentence
    (reached,) = time_verdicts(rows(np.zeros(51)))
    assert reached.reach == 50
    assert "hundredth" not in reached.sentence


def test_an_exact_zero_is_a_cut_and_no_number():
    profile = 0.1 * np.arange(51)
    profile[:30] = -np.inf
    (found,) = time_verdicts(rows(profile))
    assert (found.verdict, found.decades) == ("cut", None)
    assert found.gain == pytest.approx(10**-0.1)
    assert found.sentence == "cut: the signal reaches the last 20 of 51 time steps"


def test_seeds_are_averaged_and_layers_told_apart():
    both = pd.concat([rows(0.1 * np.arange(11), 0.3 * np.arange(11)), rows(np.zeros(11), layer=2)])
    first, second = time_verdicts(both)
    assert first.decades == pytest.approx(-2.0)
    assert (second.layer, second.verdict) == (2, "flowing")
