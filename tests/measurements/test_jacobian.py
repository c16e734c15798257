"""Singular values of ∂h_L/∂h_0 against a dense Jacobian in float64, and against exact properties."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradlab.measurements.snapshots import jacobian
from gradlab.recipe.errors import RecipeError
from tests.measurements.snapshot_inputs import computed, inputs

SMALL = ("data=gaussian", "data.shape=[5]", "depth=4", "width=7", "batch_size=8", "dtype=float64")
ONE = ("probes.jacobian.examples=1",)


def singular_values(words):
    with jax.enable_x64(True):
        given = inputs(words)
        function = lambda h: given.hidden(given.params, h[None])[0].ravel()
        h = given.first_hidden[0]
        dense = np.asarray(jax.jacrev(function)(h)).reshape(-1, h.size)
        return np.linalg.svd(dense, compute_uv=False)


def test_they_are_those_of_the_dense_jacobian():
    values = singular_values(SMALL)
    with jax.enable_x64(True):
        got = computed("jacobian", SMALL, ONE)
    spectrum = np.asarray(got["log10_singular_value"])
    np.testing.assert_allclose(spectrum[-2, :7], np.log10(values), atol=1e-9)
    assert np.isnan(spectrum[-2, 7:]).all()
    assert np.isnan(np.delete(spectrum, -2, axis=0)).all()
    squares = values**2
    assert float(got["jacobian_mean_square"]) == pytest.approx(squares.mean())
    assert float(got["isometry"]) == pytest.approx(squares.var() / squares.mean() ** 2)
    assert float(got["jacobian_condition"]) == pytest.approx(values[0] / values[-1])
    assert float(got["log10_largest_singular"]) == pytest.approx(np.log10(values[0]))


def test_an_orthogonal_linear_net_is_an_isometry():
    got = computed(
        "jacobian",
        ("data=gaussian", "data.shape=[5]", "activation=linear", "depth=6", "width=9", "batch_size=8"),
    )
    assert float(got["isometry"]) == pytest.approx(0, abs=1e-5)
    assert float(got["jacobian_condition"]) == pytest.approx(1, abs=1e-4)


def test_moments_of_a_wide_net_are_near_those_of_all_values(monkeypatch):
    values = singular_values(SMALL) ** 2
    monkeypatch.setattr(jacobian, "LARGEST", 4)
    monkeypatch.setattr(jacobian, "SAMPLES", 2000)
    with jax.enable_x64(True):
        got = computed("jacobian", SMALL, ONE)
    assert float(got["jacobian_mean_square"]) == pytest.approx(values.mean(), rel=0.05)
    assert float(got["isometry"]) == pytest.approx(values.var() / values.mean() ** 2, rel=0.15)
    assert np.isnan(got["log10_largest_singular"])
    assert np.isnan(got["jacobian_condition"])


@pytest.mark.parametrize("scale", [1e-12, jnp.nan])
def test_what_the_number_format_cannot_tell_is_null(scale):
    words = ("data=gaussian", "data.shape=[5]", "depth=6", "width=7", "batch_size=8")
    params = {path: scale * w for path, w in inputs(words).params.items()}
    got = computed("jacobian", words, params=params)
    assert all(np.isnan(value).all() for value in got.values())


def test_a_condition_beyond_float32_is_null():
    words = (
        "data=gaussian",
        "data.shape=[5]",
        "depth=12",
        "width=7",
        "batch_size=8",
        "activation=linear",
        "initializer=lecun",
    )
    params = dict(inputs(words).params)
    params["hidden/linear/kernel"] = params["hidden/linear/kernel"].at[:, 0].multiply(0.03)
    got = computed("jacobian", words, ONE, params=params)
    assert np.isfinite(got["log10_largest_singular"])
    assert np.isnan(got["jacobian_condition"])
    assert np.isnan(got["log10_smallest_singular"])


@pytest.mark.parametrize(
    ("words", "message"),
    [(("normalization=batch",), "batch statistics couple"), (("depth=1",), "give a larger depth")],
)
def test_where_there_is_none_it_is_refused(words, message):
    given = ("data=gaussian", "data.shape=[5]", "depth=2", "width=7", "batch_size=8", *words)
    if words == ("depth=1",):
        given = ("model=perceptron", "data=gaussian", "data.shape=[5]", "data.classes=2", "batch_size=8")
    with pytest.raises(RecipeError, match=message):
        computed("jacobian", given)
