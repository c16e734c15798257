"""The time and memory of a run that is not run yet."""

import pytest

from gradlab.analysis.forecast import Forecast, forecast

ROW = {
    "depth": 4,
    "clip": "norm",
    "clip.threshold": 1.0,
    "steps": 100,
    "seed": 0,
    "steps_done": 100,
    "seconds": 12.0,
    "compile_seconds": 2.0,
    "memory_mib": 500.0,
    "flops_per_step": 1000,
}
CHOICES = {"depth": 4, "clip": "norm", "clip.threshold": 0.5, "steps": 300, "seed": 7}


def unasked():
    raise AssertionError("operations are counted only where nothing of the structure was measured")


def test_runs_of_the_same_structure_tell_it_whatever_their_numbers():
    slower = ROW | {"seconds": 32.0, "memory_mib": 900.0, "compile_seconds": 0.0}
    median = (0.1 + 0.32) / 2
    assert forecast(CHOICES, unasked, [ROW, slower]) == Forecast(pytest.approx(300 * median), 2.0, 700.0, 2)


@pytest.mark.parametrize("change", [{"depth": 5}, {"clip": "none"}])
def test_of_another_structure_the_operations_tell_it(change):
    told = forecast(CHOICES | change, lambda: 2500, [ROW])
    assert told == Forecast(pytest.approx(300 * 0.1 * 2.5), 2.0)


@pytest.mark.parametrize(
    "row", [{"steps_done": 0}, {"seconds": None}, {"compile_seconds": None}, {"steps_done": None}]
)
def test_a_run_without_steps_tells_nothing(row):
    assert forecast(CHOICES, unasked, [ROW | row]) == Forecast()


def test_operations_that_cannot_be_counted_tell_nothing():
    assert forecast(CHOICES | {"depth": 5}, lambda: None, [ROW]) == Forecast()
    assert forecast(CHOICES | {"depth": 5}, unasked, [ROW | {"flops_per_step": None}]) == Forecast()
