"""Autocorrelation of input gradients against finite differences and NumPy in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradlab.measurements.snapshots import shattering
from gradlab.recipe.errors import RecipeError
from tests.measurements.snapshot_inputs import computed, inputs

SMALL = ("data=gaussian", "data.shape=[5]", "depth=3", "width=7", "batch_size=8", "dtype=float64")
POINTS = ("probes.shattering.points=40",)


def autocorrelation(s):
    """The mean over columns of the autocorrelation at each lag."""
    centred = s - s.mean(0)
    variance = (centred**2).sum(0)
    lags = range(shattering.LAGS)
    return np.array([((centred[: len(s) - k] * centred[k:]).sum(0) / variance).mean() for k in lags])


@pytest.mark.parametrize("more", [(), ("normalization=batch",)])
def test_it_is_that_of_the_derivative_along_the_line(more):
    """In float64, one pair of neighbours after the other, 1/1000 of the distance apart, beside the whole line."""
    words = (*SMALL, *more)
    with jax.enable_x64(True):
        given = inputs(words)
        start, end = np.asarray(given.x[0]), np.asarray(given.x[1])
        line = np.stack([start + t * (end - start) for t in np.arange(40) / 39])
        step = (end - start) / 39 / 1000
        signals = jax.jit(lambda x: given.signals(given.params, x))
        near = line + (end - start) / 39 * shattering.STEP
        slopes = []
        for point in line:  # all others stay, so that the statistics of the batch do
            outputs = signals(jnp.asarray(np.concatenate([line, near, [point], [point + step]])))
            slopes.append([np.asarray(h[-1] - h[-2]).ravel() for h in outputs])
        expected = [autocorrelation(np.stack(layer)) for layer in zip(*slopes, strict=True)]
        got = computed("shattering", words, POINTS)
    curves = np.asarray(got["gradient_autocorrelation"])
    np.testing.assert_allclose(curves, expected, atol=0.02)
    np.testing.assert_array_equal(np.asarray(got["gradient_autocorrelation_1"]), curves[:, 1])


def test_a_linear_network_has_constant_derivatives_and_no_autocorrelation():
    got = computed(
        "shattering",
        ("data=gaussian", "data.shape=[5]", "depth=3", "width=7", "batch_size=8", "activation=linear"),
    )
    assert np.isnan(got["gradient_autocorrelation"]).all()


def test_white_noise_has_none_and_a_ramp_has_much():
    rng = np.random.default_rng(0)
    noise = jnp.asarray(rng.normal(size=(400, 50)), jnp.float32)
    zeros = jnp.zeros_like(noise)
    white = shattering.autocorrelation(zeros, noise, zeros[::2])
    np.testing.assert_allclose(white, np.eye(1, shattering.LAGS)[0], atol=0.03)
    slope = jnp.linspace(0.0, 1e-25, 400)[:, None]
    zeros = jnp.zeros_like(slope)
    ramp = shattering.autocorrelation(zeros, slope, zeros[::2])
    assert float(ramp[1]) > 0.99


def test_nan_is_null():
    words = ("data=gaussian", "data.shape=[5]", "depth=3", "width=7", "batch_size=8")
    params = {path: jnp.full_like(w, jnp.nan) for path, w in inputs(words).params.items()}
    assert np.isnan(computed("shattering", words, params=params)["gradient_autocorrelation"]).all()


def test_there_is_no_line_between_tokens():
    with pytest.raises(RecipeError, match="no line between tokens"):
        computed(
            "shattering", ("model=transformer", "data=copy_memory", "depth=1", "width=8", "batch_size=4")
        )


@pytest.mark.parametrize("dtype", ["bfloat16", pytest.param("float16", marks=pytest.mark.slow)])
def test_rounding_of_a_narrow_format_is_not_called_shattered(dtype):
    """In float32 the gradient of this smooth network has .95 at lag 1; the differences in 16 bits are rounding."""
    words = ("data=gaussian", "data.shape=[5]", "depth=3", "width=7", "batch_size=8", "activation=tanh")
    smooth = computed("shattering", words)["gradient_autocorrelation_1"]
    assert float(smooth.min()) > 0.9
    got = np.asarray(computed("shattering", (*words, f"dtype={dtype}"))["gradient_autocorrelation_1"])
    assert (np.isnan(got) | (np.abs(got - np.asarray(smooth)) < 0.1)).all()


@pytest.mark.parametrize(
    "more", [pytest.param(("depth=30",), marks=pytest.mark.slow), ("depth=8", "normalization=batch")]
)
def test_rounding_that_depth_or_normalization_amplify_is_none(more):
    """Exactly, a linear network has constant derivatives at any depth; by eps of a unit alone some would vary."""
    words = ("data=gaussian", "data.shape=[20]", "width=64", "batch_size=8", "activation=linear")
    assert np.isnan(computed("shattering", (*words, *more))["gradient_autocorrelation"]).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ("model=cnn", "data=shapes", "depth=2", "width=4"),
        ("model=lstm", "data=sequential_digits", "depth=1", "width=5"),
        ("model=transformer", "data=sequential_digits", "depth=1", "width=8"),
    ],
)
def test_every_kind_of_network_has_one(words):
    """But for the first layer of two, which is a linear map of each value."""
    curves = np.asarray(computed("shattering", (*words, "batch_size=4"))["gradient_autocorrelation"])
    assert np.isnan(curves[0]).all() == ("model=cnn" not in words)
    np.testing.assert_allclose(curves[1:, 0], 1, atol=1e-5)
    assert (np.abs(curves[1:]) <= 1 + 1e-5).all()
