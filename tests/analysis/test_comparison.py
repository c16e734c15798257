import re

import numpy as np
import pytest

from gradlab.analysis import verdicts
from gradlab.analysis.comparison import compare_runs
from gradlab.report.comparison import Comparison
from gradlab.report.results_table import text_table
from gradlab.store.read import collect
from tests import runs


@pytest.fixture(autouse=True)
def _without_theory(monkeypatch):
    monkeypatch.setattr(verdicts, "predicted", lambda run: None)


def test_runs_stand_side_by_side_in_the_order_of_the_choice(tmp_path):
    for name, depth in (("a", 50), ("b", 10), ("c", 20)):
        runs.simple(tmp_path / name, depth=depth, seeds=3)
    found = compare_runs(collect(tmp_path), "depth")
    assert found.columns[0] == "depth"
    assert found.depth.tolist() == [10, 20, 50]
    assert found.run.tolist() == ["b", "c", "a"]
    assert found.seeds.tolist() == [3, 3, 3]
    assert found.training.unique().tolist() == ["learned"]
    assert found.test_score.tolist() == pytest.approx([0.97] * 3)


def test_a_missing_number_sorts_first_and_stays_missing(tmp_path):
    runs.simple(tmp_path / "a", clip={"name": "norm", "threshold": 1.0})
    runs.simple(tmp_path / "b")
    found = compare_runs(collect(tmp_path), "clip.threshold")
    assert found["clip.threshold"].isna().tolist() == [True, False]


def test_one_run_is_a_table_of_one_row(tmp_path):
    assert len(compare_runs(collect(runs.simple(tmp_path / "a")))) == 1


def test_words_keep_the_order_of_the_runs_and_numbers_below_them_rise(tmp_path):
    for name, clip, depth in (("a", "zscore", 9), ("b", "norm", 5), ("c", "zscore", 5)):
        runs.simple(tmp_path / name, clip={"name": clip}, depth=depth)
    assert compare_runs(collect(tmp_path), "clip").run.tolist() == ["c", "a", "b"]


def learning(folder, losses, scores, seeds, **changes):
    """A run whose seeds have these evaluated losses (seeds, evaluations) and test scores at the end."""
    logged = list(range(0, 10 * len(losses[0]), 10))
    layers = [
        runs.layer_table(runs.walk(20, len(logged), seed=seed), logged, seed=seed) for seed in range(seeds)
    ]
    steps = []
    for seed in range(seeds):
        test = [0.1] * (len(logged) - 1) + [scores[seed]]
        train = [0.1] * (len(logged) - 1) + [scores[seed] + 0.1]
        more = {"train_accuracy": train, "test_accuracy": test}
        steps.append(runs.step_table(losses[seed], logged, seed=seed, **more))
    state = runs.status(steps_done=logged[-1], seconds=5.0, compile_seconds=1.0)
    return runs.write(folder, runs.recipe(seeds=seeds, **changes), state, layers, steps)


def test_losses_and_scores_have_mean_and_deviation_over_seeds_and_a_gap(tmp_path):
    losses, scores = [[2.3, 1.0, 0.5], [2.3, 2.0, 0.7], [2.3, 2.2, 1.5]], [0.9, 0.8, 0.4]
    (found,) = compare_runs(collect(learning(tmp_path / "a", losses, scores, 3))).to_dict("records")
    assert found["train_loss"] == pytest.approx(0.9)
    assert found["train_loss_sd"] == pytest.approx(np.std([0.5, 0.7, 1.5], ddof=1))
    assert found["test_score"] == pytest.approx(0.7)
    assert found["test_score_sd"] == pytest.approx(np.std(scores, ddof=1))
    assert (found["gap"], found["gap_sd"]) == (pytest.approx(0.1), pytest.approx(0.0, abs=1e-7))


def test_the_way_to_a_target_is_the_mean_of_the_seeds_that_reach_it(tmp_path):
    losses, scores = [[2.3, 1.0, 0.5], [2.3, 2.0, 0.7], [2.3, 2.2, 1.5]], [0.9, 0.8, 0.4]
    run = collect(learning(tmp_path / "a", losses, scores, 3))
    (found,) = compare_runs(run).to_dict("records")  # half of the chance loss, 1.15
    assert found["target"] == pytest.approx(2.302585 / 2)
    assert (found["reached"], found["steps_to_target"]) == (2, 15.0)
    assert found["seconds_to_target"] == pytest.approx(15 * (5.0 - 1.0) / 20)
    (found,) = compare_runs(run, target=2.1).to_dict("records")
    assert (found["reached"], found["steps_to_target"]) == (3, pytest.approx(40 / 3))
    (found,) = compare_runs(run, target=0.1).to_dict("records")
    assert (found["reached"], found["steps_to_target"], found["seconds_to_target"]) == (0, None, None)


def test_the_table_says_all_that_with_every_heading_once(tmp_path):
    losses, scores = [[2.3, 1.0, 0.5], [2.3, 2.0, 0.7]], [0.9, 0.8]
    for depth in (20, 21):
        learning(tmp_path / str(depth), losses, scores, 2, width=depth)
    heading, first, _ = text_table(Comparison(collect(tmp_path), ["width"]).results, ["width"]).splitlines()
    assert len(set(re.split(r"\s\s+", heading))) == len(re.split(r"\s\s+", heading))
    for cell in ("0.6 ± 0.1", "0.95 ± 0.07", "0.85 ± 0.07", "0.10 ± 0.00", "15 steps, 3 s (2 of 2)"):
        assert cell in first
    assert "to loss 1.15" in heading
