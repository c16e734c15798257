"""2/λ_max at the start: the smallest threshold over seeds, and none where one seed has none."""

import numpy as np
import pandas as pd
import pytest

from gradlab.analysis.stability import stability_at_start


def table(values):
    """λ_max of each seed at the start, and others that do not count."""
    rows = [(seed, 0, "probe", value) for seed, value in enumerate(values)]
    rows += [(seed, 5, "probe", 99.0) for seed in range(len(values))]
    rows += [(seed, 0, "batch", None) for seed in range(len(values))]
    frame = pd.DataFrame(rows, columns=["seed", "step", "source", "sharpness"])
    return frame.assign(sharpness=pd.array([row[3] for row in rows], dtype="Float64"))


def test_it_is_that_of_the_largest_curvature_over_seeds():
    found = stability_at_start(table([4.0, 8.0, 2.0]))
    assert (found.sharpness, found.rate) == (8.0, 0.25)
    assert found.sentence.startswith("2/λ_max = 0.25 at the start, λ_max = 8 of the Hessian")


@pytest.mark.parametrize("value", [None, np.nan, np.inf, 0.0, -1.0])
def test_without_a_positive_finite_eigenvalue_there_is_none(value):
    found = stability_at_start(table([4.0, value]))
    assert (found.sharpness, found.rate) == (None, None)
    assert "no threshold" in found.sentence


def test_without_the_probe_there_is_none():
    assert stability_at_start(table([4.0]).drop(columns="sharpness")).rate is None
