"""A point on a surface: gradients and trajectories beside float64 formulas, and what articles' examples do."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab
from gradlab.commands.compose.grid import grid
from gradlab.parts.losses import surfaces  # noqa: F401  registers them
from gradlab.parts.losses.contract import loss
from gradlab.recipe.errors import RecipeError
from gradlab.store.read import open_run
from tests.recipes import launch, recipe

V = np.array([[1.0, 1.0], [1.0, -1.0]]) / np.sqrt(2)
CASES = {  # surface: (its numbers, f, ∇f), in float64
    "quadratic": (
        {"curvature": 2.0, "condition": 50.0},
        lambda x: x[0] ** 2 + 50 * x[1] ** 2,
        lambda x: np.array([2 * x[0], 100 * x[1]]),
    ),
    "ravine": (
        {"condition": 30.0},
        lambda x: 0.5 * ((V @ x)[0] ** 2 + 30 * (V @ x)[1] ** 2),
        lambda x: V.T @ (np.array([1.0, 30.0]) * (V @ x)),
    ),
    "saddle": ({}, lambda x: 0.5 * (x[0] ** 2 - x[1] ** 2), lambda x: np.array([x[0], -x[1]])),
    "rosenbrock": (
        {},
        lambda x: 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2,
        lambda x: np.array([-400 * x[0] * (x[1] - x[0] ** 2) - 2 * (1 - x[0]), 200 * (x[1] - x[0] ** 2)]),
    ),
    "quartic": ({}, lambda x: (x**4).sum(), lambda x: 4 * x**3),
}
X = np.array([0.7, -1.3])


@pytest.mark.few(2)
@pytest.mark.parametrize("name", CASES)
def test_a_surface_and_its_gradient_are_the_formula_s(name):
    given, value, slope = CASES[name]
    each = loss.make({"name": name, **given})
    with jax.enable_x64(True):
        found = jax.value_and_grad(lambda x: each(x[None], jnp.zeros((1, 1)))[0])(jnp.asarray(X))
    assert float(found[0]) == pytest.approx(value(X), rel=1e-12)
    np.testing.assert_allclose(found[1], slope(X), rtol=1e-12)


def told(tmp_path, *words):
    """The run of a point on a surface, or of the article's line; its steps in order."""
    run = gradlab.run(*words, "eval.every=1", "log.every=1", "on_nonfinite=continue", f"outputs={tmp_path}")
    own = run.parameters[run.parameters.source == "batch"]
    return run, own.log10_weight.astype(float).to_numpy()


def test_descent_on_x4_overshoots_as_its_recursion_says(tmp_path):
    _, found = told(tmp_path, "model=point", "model.start=[10.0]", "loss=quartic", "lr=0.01", "steps=3")
    x = [10.0]
    for _ in range(3):
        x.append(x[-1] - 0.01 * 4 * x[-1] ** 3)
    assert x[:3] == [10.0, -30.0, 1050.0]
    np.testing.assert_allclose(10**found, np.abs(x), rtol=1e-5)


def test_a_clip_tames_x4(tmp_path):
    """science: from 10 at lr 0.01 with the gradient cut at 1, 0.1067 after 2 000 steps."""
    words = ("model=point", "model.start=[10.0]", "loss=quartic", "lr=0.01", "clip=norm", "steps=2000")
    run = gradlab.run(*words, "eval.every=2000", "log.every=2000", f"outputs={tmp_path}")
    last = run.parameters[run.parameters.step == 2000].log10_weight.astype(float).iloc[-1]
    assert 10**last == pytest.approx(0.1067, abs=5e-5)


def test_the_article_s_line_leaves_float32_with_update_19(tmp_path):
    words = ["initializer=truncated_normal", "initializer.std=0.1", "penalty=l2", "penalty.strength=0.02"]
    line = ["model=linear", "model.bias=false", "data=single", *words, "lr=0.1", "steps=25"]
    run, found = told(tmp_path, *line)
    assert np.isfinite(found[:20]).all()
    assert not np.isfinite(found[20:]).any()  # row t stands before update t
    loss = run.steps[run.steps.source == "batch"].loss.astype(float).to_numpy()
    assert np.isfinite(loss[:10]).all()
    assert not np.isfinite(loss[10:]).any()
    np.testing.assert_allclose(np.sqrt(loss[1:9] / loss[:8]), 79.0, rtol=0.01)  # |1 − 0.1·(2·20² + 0.02)|


def test_the_article_s_sum_climbs_where_the_difference_descends(tmp_path):
    """x² from 20: x + clip(g) and x − clip(g), with g = 2x, a threshold of 10 and rate 1."""
    found = {}
    for arm in grid(("experiment=article_ascent", f"outputs={tmp_path}")).recipes:
        run = open_run(launch(arm).folder)
        rows = run.parameters[run.parameters.source == "batch"]
        found[arm.optimizer["name"]] = 10 ** rows.log10_weight.astype(float).to_numpy()
    steps = np.arange(13)
    np.testing.assert_allclose(found["ascent"], 20 + 10 * steps, rtol=1e-6)
    np.testing.assert_allclose(found["sgd"], np.maximum(20 - 10 * steps, 0), rtol=1e-6)


WRONG = {
    "model=mlp loss=rosenbrock": "loss=rosenbrock is a surface for model=point, not for model=mlp",
    "model=point loss=mse": "model=point needs a surface",
    "model=point loss=ravine model.start=[1.0]": "loss=ravine needs 2 or more coordinates",
    "model=point loss=quartic model.start=[]": "loss=quartic needs 1 or more coordinates",
}


@pytest.mark.few(2)
@pytest.mark.parametrize("words", WRONG)
def test_a_surface_is_of_a_point_with_its_coordinates(words):
    with pytest.raises(RecipeError, match=WRONG[words]):
        recipe(*words.split())
