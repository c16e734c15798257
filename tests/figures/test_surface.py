"""The path of θ: its points are the stored notes, and its surface is the loss that was trained on."""

import numpy as np
import pytest

import gradlab
from gradlab.analysis.selection import to_float64
from gradlab.figures import surface as figure_of
from gradlab.parts.losses.contract import loss
from gradlab.recipe.errors import RecipeError
from gradlab.theory import surfaces
from tests.figures.kinds import KINDS, stored

PARTS = (
    {"name": "quadratic", "curvature": 2.0, "condition": 7.0},
    {"name": "ravine", "condition": 50.0},
    {"name": "saddle"},
    {"name": "rosenbrock"},
    {"name": "quartic"},
)


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part["name"])
def test_a_surface_is_the_loss_of_the_same_name(part):
    theta = np.random.default_rng(0).normal(size=(20, 2)).astype("float32")
    trained = loss.make(part)(theta, np.zeros((20, 1)))
    np.testing.assert_allclose(surfaces.surface(part)(theta), trained, rtol=2e-5, atol=1e-5)


def test_every_surface_that_can_be_trained_on_can_be_drawn():
    from gradlab.parts.losses.surfaces import COORDINATES

    assert set(COORDINATES) == surfaces.NAMES


def test_the_path_is_theta_at_each_step(tmp_path):
    run = stored(tmp_path / "run", KINDS["point"])
    (path,) = [
        line for line in figure_of.run_figure(run, "").axes[0].get_lines() if line.get_label() == "_path"
    ]
    for values, name in ((path.get_xdata(), "theta_1"), (path.get_ydata(), "theta_2")):
        rows = run.notes[(run.notes.measure == name).to_numpy(dtype=bool)]
        assert values.tolist() == to_float64(rows.value).tolist()


def test_a_surface_that_is_not_known_is_refused(tmp_path):
    run = stored(tmp_path / "run", KINDS["point"])
    run.recipe["loss"] = {"name": "mine"}
    with pytest.raises(RecipeError, match="loss=mine is not known"):
        figure_of.run_figure(run, "")


@pytest.mark.slow
def test_a_run_stores_where_gradient_descent_went(tmp_path):
    run = gradlab.run(
        "model=point", "loss=quadratic", "loss.curvature=2", "loss.condition=1", "model.start=[3.0,-1.0]",
        "lr=0.1", "steps=4", f"outputs={tmp_path}",
    )  # fmt: skip
    (path,) = figure_of._paths(run).values()
    # θ ← θ − 0.1·2·θ
    np.testing.assert_allclose(path, [[3 * 0.8**t, -(0.8**t)] for t in range(5)], rtol=1e-5)
