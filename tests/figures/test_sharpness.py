"""The figure of the curvature: what is measured and finite is drawn, and nothing else."""

from types import SimpleNamespace

import numpy as np
import pandas as pd

from gradlab.figures.sharpness import run_figure
from tests.figures.frames import data


def steps(**columns):
    table = {
        "seed": 0,
        "step": [0, 5, 10],
        "source": "batch",
        "sharpness": [1.0, 2.0, 3.0],
        "smallest_eigenvalue": [-1.0, -2.0, -3.0],
        "stability_limit": [20.0, 20.0, 10.0],
        "hessian_trace": [4.0, 5.0, 6.0],
        "hessian_trace_error": [1.0, 1.0, 1.0],
    }
    return SimpleNamespace(steps=pd.DataFrame(table | columns))


def drawn(panel):
    return [line.get_ydata().tolist() for line in data(panel)]


def test_eigenvalues_stand_beside_the_limit_of_each_step():
    eigenvalues, trace = run_figure(steps(), "").axes
    assert drawn(eigenvalues) == [[1, 2, 3], [-1, -2, -3], [20, 20, 10]]
    assert data(trace)[0].get_ydata().tolist() == [4, 5, 6]


def test_values_that_are_not_finite_are_left_out():
    eigenvalues, trace = run_figure(steps(sharpness=[1.0, np.nan, np.inf], hessian_trace=np.nan), "").axes
    assert drawn(eigenvalues)[0] == [1]
    assert not data(trace)
