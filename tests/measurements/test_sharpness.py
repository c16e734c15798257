"""Curvature against the dense matrix of a small network in float64, and the stability limits against iteration."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree

import gradlab
from gradlab.numerics import curvature
from gradlab.parts.optimizers.registry import optimizer
from tests.measurements.snapshot_inputs import computed, inputs
from tests.recipes import TINY

SMALL = (
    "data=gaussian",
    "data.shape=[5]",
    "depth=2",
    "width=6",
    "batch_size=32",
    "dtype=float64",
    "data.classes=3",
)
OPTIONS = ("probes.sharpness.samples=48", "probes.sharpness.iterations=30")


def dense(words, of="hessian"):
    """The whole matrix in float64."""
    with jax.enable_x64(True):
        given = inputs(words)
        at, unravel = ravel_pytree(given.params)
        if of == "hessian":
            return np.asarray(jax.jit(jax.hessian(lambda flat: given.loss(unravel(flat))))(at))
        outputs = lambda flat: given.outputs(unravel(flat)).ravel()
        shape = given.outputs(given.params).shape
        jacobian = np.asarray(jax.jacobian(outputs)(at))
        curved = np.asarray(jax.hessian(lambda y: given.loss_of_outputs(y.reshape(shape)))(outputs(at)))
        return jacobian.T @ curved @ jacobian


@pytest.mark.parametrize("of", ["hessian", "gauss_newton"])
def test_extreme_eigenvalues_and_trace_are_those_of_the_dense_matrix(of):
    matrix = dense(SMALL, of)
    values = np.linalg.eigvalsh(matrix)
    with jax.enable_x64(True):
        got = computed("sharpness", SMALL, (*OPTIONS, f"probes.sharpness.of={of}"))
    assert float(got["sharpness"]) == pytest.approx(values[-1], abs=1e-3 * values[-1])
    assert float(got["smallest_eigenvalue"]) == pytest.approx(values[0], abs=1e-3 * values[-1])
    assert abs(float(got["sharpness"]) - values[-1]) <= float(got["sharpness_error"]) + 1e-9
    error = float(got["hessian_trace_error"])
    assert abs(float(got["hessian_trace"]) - np.trace(matrix)) <= 3 * error + 1e-9
    assert error <= 0.05 * abs(np.trace(matrix))


def test_each_layer_s_block_has_the_eigenvalue_of_its_own_matrix():
    matrix = dense(SMALL)
    with jax.enable_x64(True):
        got = computed("sharpness", SMALL, (*OPTIONS, "probes.sharpness.blocks=true"))["block_sharpness"]
        given = inputs(SMALL)
    owners = {
        path: np.broadcast_to(
            np.reshape(
                layers, (-1, *[1] * (given.params[path].ndim - 1)) if given.stacked_axes[path] else ()
            ),
            given.params[path].shape,
        )
        for path, layers in ((path, np.array(given.layers_of[path])) for path in given.params)
    }
    flat = np.concatenate([owners[path].ravel() for path in sorted(owners)])
    for layer, value in enumerate(np.asarray(got)):
        own = flat == layer
        assert value == pytest.approx(np.linalg.eigvalsh(matrix[np.ix_(own, own)])[-1], rel=1e-3)


@pytest.mark.parametrize(
    "words",
    [
        ("model=cnn", "data=shapes", "depth=2", "width=4", "batch_size=8"),
        pytest.param(
            ("model=lstm", "data=adding", "data.length=6", "depth=1", "width=5", "batch_size=8"),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ("model=transformer", "data=copy_memory", "depth=1", "width=8", "batch_size=4"),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_products_are_right_where_there_is_no_forward_mode(words):
    """Against a central difference of gradients, in float64."""
    words = (*words, "dtype=float64")
    with jax.enable_x64(True):
        given = inputs(words)
        at, unravel = ravel_pytree(given.params)
        loss = lambda flat: given.loss(unravel(flat))
        v = jax.random.normal(jax.random.key(1), at.shape, at.dtype)
        got = jax.jit(curvature.hessian_product(loss, at))(v)
        gradient = jax.jit(jax.grad(loss))
        step = 1e-5 / jnp.linalg.norm(v)
        expected = (gradient(at + step * v) - gradient(at - step * v)) / (2 * step)
        np.testing.assert_allclose(got, expected, atol=1e-5 * float(jnp.abs(expected).max()))


def test_nan_parameters_give_null():
    params = {path: jnp.full_like(w, jnp.nan) for path, w in inputs(TINY).params.items()}
    got = computed("sharpness", TINY, params=params)
    known = {name for name, value in got.items() if np.isfinite(value)}
    assert known == {"stability_limit"}


RULES = {
    "sgd": {},
    "momentum": {"decay": 0.9},
    "nesterov": {"decay": 0.8},
    "adam": {"b1": 0.9, "b2": 0.999, "eps": 1e-8},
    "rmsprop": {"decay": 0.9, "eps": 1e-8, "eps_in_sqrt": True},
}


@pytest.mark.parametrize("name", RULES)
def test_a_quadratic_is_stable_just_below_the_limit_and_not_above_it(name):
    """The linear iteration of the rule on ½·c·x², with the preconditioner that it has frozen at 1."""
    rate, made = 0.1, optimizer.make({"name": name, **RULES[name]})
    ones = {"x": jnp.ones(1)}
    states = {
        "adam": optax.ScaleByAdamState(jnp.int32(10**6), ones, ones),
        "rmsprop": optax.ScaleByRmsState(ones),
    }
    limit = made.stability(states.get(name), jnp.float32(rate))
    if limit.preconditioner is not None:
        np.testing.assert_allclose(limit.preconditioner["x"], 1, atol=1e-5)
    for factor, is_stable in ((0.98, True), (1.02, False)):
        curvature_ = factor * float(limit.limit)
        assert (_spectral_radius(name, curvature_, rate) < 1) == is_stable


def _spectral_radius(name, c, rate):
    """Of the map (x, m) -> (x, m) of one step, written out by hand."""
    options = RULES[name]
    match name:
        case "momentum":
            d = options["decay"]
            matrix = [[1 - rate * c, -rate * d], [c, d]]
        case "nesterov":
            d = options["decay"]  # m' = c·x + d·m, x' = x − rate·(c·x + d·m')
            matrix = [[1 - rate * c * (1 + d), -rate * d * d], [c, d]]
        case "adam":
            b = options["b1"]  # m' = b·m + (1 − b)·c·x, x' = x − rate·m'
            matrix = [[1 - rate * (1 - b) * c, -rate * b], [(1 - b) * c, b]]
        case _:
            matrix = [[1 - rate * c]]
    return np.abs(np.linalg.eigvals(np.array(matrix))).max()


def test_an_optimizer_without_a_known_limit_has_none():
    got = computed("sharpness", (*TINY, "optimizer=sign"))
    assert np.isnan(got["stability_limit"])
    assert float(got["sharpness"]) > 0


def test_a_run_has_its_sharpness_and_is_trained_as_without(tmp_path):
    words = (*TINY, "optimizer=adam", f"outputs={tmp_path}")
    run = gradlab.run(*words, "probe=[standard,sharpness]", "probes.sharpness.every=4", "seeds=2")
    plain = gradlab.run(*words, "seeds=2")
    assert run.steps.loss.equals(plain.steps.loss)
    rows = run.steps[run.steps.sharpness.notna().to_numpy()]
    assert set(rows.source) == {"probe"}
    assert sorted(set(rows.step)) == [0, 4, 8]
    preconditioned = rows.preconditioned_sharpness.isna().to_numpy()
    assert (preconditioned == (rows.step == 0).to_numpy()).all()  # Adam's is undefined before its first step
