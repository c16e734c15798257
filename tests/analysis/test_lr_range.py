"""The range test's analysis on losses whose turning points are known."""

import json

import numpy as np
import pytest

from gradlab.analysis.lr_range import pairs, range_test, smoothed
from gradlab.analysis.results import to_json
from gradlab.recipe.errors import RecipeError
from tests import runs

RATES = np.geomspace(1e-5, 10, 200)


def valley(begins=1e-3, ends=1.0, first=2.3, best=0.3, noise=0.02, seed=0):
    """The loss after a step at each rate: level, straight down in ln lr, and up again ten times as steeply."""
    x = np.log(RATES)
    down = np.clip((x - np.log(begins)) / (np.log(ends) - np.log(begins)), 0, 1)
    up = np.clip(x - np.log(ends), 0, None)
    return first - (first - best) * down + 5 * up + noise * np.random.default_rng(seed).standard_normal(200)


def frame(folder, *losses):
    """A stored range test; the first loss is that before any step."""
    tables = []
    for seed, after in enumerate(losses):
        loss = [float(after[0]), *map(float, after)]
        rates = [*RATES[: len(after)].tolist(), None]
        tables.append(runs.step_table(loss, list(range(len(loss))), seed=seed, learning_rate=rates))
    backward = runs.walk(4, 1)
    layers = [runs.layer_table(backward, [0], seed=seed) for seed in range(len(losses))]
    return runs.opened(folder, layers, tables).steps


def test_a_rate_is_paired_with_the_loss_that_its_step_left(tmp_path):
    losses = valley()
    rates, found = pairs(frame(tmp_path / "run", losses))
    np.testing.assert_allclose(rates, RATES)
    np.testing.assert_allclose(found, losses, rtol=1e-6)  # not the row's own, which is that before the step


def test_the_turning_points_are_found(tmp_path):
    found = range_test(frame(tmp_path / "run", valley()))
    assert found.fell == 1
    assert found.diverged == 0
    assert found.begins == pytest.approx(1e-3 * 1000**0.1, rel=0.35)  # a tenth of the way down
    assert 1e-3 < found.steepest < 1
    assert found.least == pytest.approx(1.0, rel=0.5)
    assert found.lost == pytest.approx(np.exp(1 / 5), rel=0.5)
    assert found.recommended == (found.begins, pytest.approx(found.lost / 3))
    assert "a third of the rate at which it diverges" in dict(found.sentences)["recommended"]


def test_a_loss_that_leaves_the_finite_numbers_is_kept_farther_from(tmp_path):
    losses = valley(ends=3.0)[:180]
    losses[178], losses[179] = np.inf, np.nan
    found = range_test(frame(tmp_path / "run", losses))
    assert found.diverged == 1
    assert found.lost <= RATES[178] * 1.001  # float32 in the table
    assert found.recommended[1] == pytest.approx(found.lost / 10)
    assert "the loss becomes non-finite in 1 of 1 seed" in dict(found.sentences)["diverges"]


def test_a_single_spike_to_infinity_ends_what_is_safe(tmp_path):
    losses = valley()
    losses[120] = np.inf
    assert range_test(frame(tmp_path / "run", losses)).lost == pytest.approx(RATES[120])


@pytest.mark.parametrize("end", ["level", "rises", "nan"])
def test_a_loss_that_never_falls_is_said_to(tmp_path, end):
    losses = 2.4 + 0.03 * np.random.default_rng(0).standard_normal(200)
    losses[150:] = {"level": losses[150:], "rises": 9.0, "nan": np.nan}[end]
    found = range_test(frame(tmp_path / "run", losses))
    told = dict(found.sentences)
    assert (found.fell, found.recommended) == (0, None)
    assert "at no lr from 1e-05 to 10 does the loss fall" in told["loss"]
    assert told["recommended"].startswith("none")
    assert (found.lost is None) == (end == "level")


def test_a_rate_that_was_never_too_large_is_said_to(tmp_path):
    found = range_test(frame(tmp_path / "run", valley(ends=10.0)))
    assert found.lost is None
    assert "--high" in dict(found.sentences)["diverges"]
    assert found.recommended[1] == found.least


def test_over_seeds_marks_are_medians_and_the_first_loss_of_the_fall_counts(tmp_path):
    ends = (0.1, 1.0, 2.0)
    found = range_test(frame(tmp_path / "run", *(valley(ends=end, seed=i) for i, end in enumerate(ends))))
    each = [one.lost for one in found.seeds]
    assert found.lost == min(each)
    assert found.least == pytest.approx(np.median([one.least for one in found.seeds]))


def test_seeds_that_do_not_fall_are_counted(tmp_path):
    level = 2.3 + 0.02 * np.random.default_rng(5).standard_normal(200)
    found = range_test(frame(tmp_path / "run", valley(), level))
    assert "it falls in only 1 of 2 seeds" in dict(found.sentences)["loss"]


def test_smoothing_keeps_a_line_and_is_not_lifted_by_what_blows_up():
    line = np.linspace(3, 1, 200)
    np.testing.assert_allclose(smoothed(line)[20:-20], line[20:-20], rtol=1e-4)
    assert smoothed(np.where(np.arange(200) < 190, line, 1e30)).max() < 6


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("shift", [0.0, -5.0])
def test_any_loss_has_numbers_for_json(tmp_path, scale, shift):
    found = range_test(frame(tmp_path / "run", scale * (valley() + shift)))
    json.dumps(to_json(found), allow_nan=False)
    assert found.fell == 1


def test_what_is_no_range_test_is_refused(tmp_path):
    with pytest.raises(RecipeError, match="20 steps in a row"):
        range_test(frame(tmp_path / "short", valley()[:10]))
    run = runs.opened(tmp_path / "run", [runs.layer_table(runs.walk(4, 1), [0])], [_constant()])
    with pytest.raises(RecipeError, match="schedule=range"):
        range_test(run.steps)
    with pytest.raises(RecipeError, match="first steps"):
        range_test(frame(tmp_path / "nan", np.full(200, np.nan)))


def _constant():
    return runs.step_table([2.0] * 40, list(range(40)))
