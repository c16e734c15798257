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
def test_it_is_that_of_finite_differences(more):
    words = (*SMALL, *more)
    with jax.enable_x64(True):
        given = inputs(words)
        start, end = np.asarray(given.x[0]), np.asarray(given.x[1])
        at = lambda shift: np.stack([start + (t + shift) * (end - start) for t in np.arange(40) / 39])
        signals = jax.jit(lambda x: given.signals(given.params, x))
        high, low = signals(jnp.asarray(at(1e-6))), signals(jnp.asarray(at(-1e-6)))
        expected = [autocorrelation(np.asarray((a - b) / 2e-6)) for a, b in zip(high, low, strict=True)]
        got = computed("shattering", words, POINTS)
    curves = np.asarray(got["gradient_autocorrelation"])
    # the input block is linear before its activation: every layer varies
    np.testing.assert_allclose(curves[:-1], expected[:-1], atol=1e-3)
    np.testing.assert_array_equal(np.asarray(got["gradient_autocorrelation_1"]), curves[:, 1])


def test_a_linear_network_has_constant_derivatives_and_no_autocorrelation():
    got = computed(
        "shattering",
        ("data=gaussian", "data.shape=[5]", "depth=3", "width=7", "batch_size=8", "activation=linear"),
    )
    assert np.isnan(got["gradient_autocorrelation"]).all()


def test_white_noise_has_none_and_a_ramp_has_much():
    rng = np.random.default_rng(0)
    white = shattering._autocorrelation(jnp.asarray(rng.normal(size=(400, 50)), jnp.float32))
    np.testing.assert_allclose(white, np.eye(1, shattering.LAGS)[0], atol=0.03)
    ramp = shattering._autocorrelation(jnp.linspace(0.0, 1e-25, 400)[:, None])
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
