import numpy as np
import pytest

from gradlab.analysis import verdicts
from gradlab.analysis.comparison import compare_runs
from gradlab.analysis.gain import backward_gain
from gradlab.analysis.outcomes import run_outcomes, seed_outcomes
from gradlab.analysis.score import score_of
from gradlab.store.gather import gather
from gradlab.store.read import collect
from tests import runs
from tests.analysis.test_comparison import learning

SCORE = score_of(runs.DATA)


@pytest.fixture(autouse=True)
def _without_theory(monkeypatch):
    monkeypatch.setattr(verdicts, "predicted", lambda run: None)


def test_a_run_of_one_seed_has_the_outcomes_of_its_results(tmp_path):
    for depth in (9, 20):
        runs.simple(tmp_path / str(depth), depth=depth)
    results = compare_runs(collect(tmp_path))
    found = run_outcomes(results, SCORE)
    assert found.gain.tolist() == pytest.approx(np.log10(results.gain_start.tolist()))
    assert found.decades.tolist() == results.decades_start.tolist()
    assert found.score.tolist() == results.test_score.tolist()
    assert run_outcomes(results, None).score.isna().all()


def test_each_seed_of_a_run_has_its_own_outcomes(tmp_path):
    losses, scores = [[2.3, 1.0]] * 3, [0.9, 0.8, 0.4]
    learning(tmp_path / "a", losses, scores, 3)
    runs.simple(tmp_path / "b", depth=9)
    stored = collect(tmp_path)
    layers, steps = gather(stored), gather(stored, "steps")
    found = seed_outcomes(compare_runs(stored), layers, steps, SCORE)
    of_seeds = found[found.run == "a"].sort_values("seed")
    assert of_seeds.score.tolist() == pytest.approx(scores)
    start = layers[(layers.run == "a") & (layers.step == 0)]
    for seed, row in of_seeds.set_index("seed").iterrows():
        gain = backward_gain(start[start.seed == seed])
        assert (10**row.gain, row.decades) == (pytest.approx(gain.gain), pytest.approx(gain.decades))
    assert len(found) == 4
    assert found[found.run == "b"].depth.tolist() == [9]
    assert found[found.run == "b"].seed.tolist() == [0]
    assert of_seeds.depth.tolist() == [20] * 3


def test_a_seed_without_a_signal_has_no_decades(tmp_path):
    cut = runs.walk(20, 2)
    cut[:, :5] = -np.inf
    layers = [runs.layer_table(runs.walk(20, 2), [0, 10]), runs.layer_table(cut, [0, 10], seed=1)]
    steps = [runs.step_table([2.3, 0.5], [0, 10], seed=seed, test_accuracy=[0.1, 0.9]) for seed in (0, 1)]
    run = runs.opened(tmp_path / "a", layers, steps, seeds=2)
    found = seed_outcomes(compare_runs([run]), gather([run]), gather([run], "steps"), SCORE)
    assert np.isfinite(found.decades).tolist() == [True, False]
    assert found.score.tolist() == pytest.approx([0.9, 0.9])
