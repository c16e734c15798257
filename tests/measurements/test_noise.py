"""Noise scale and signal-to-noise ratio against explicit gradients of single examples in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab
from gradlab.measurements.snapshots.noise import COUPLED, MEASURED, NOT_FINITE, TOO_NOISY
from tests.measurements.snapshot_inputs import computed, inputs
from tests.recipes import TINY

SMALL = ("depth=3", "width=6", "batch_size=32")  # of digits, whose mean gradient is no noise
ALL = ("probes.noise.examples=32",)


def example_gradients(words, count):
    """(examples, parameters) for each path, by one backward pass for each example, in float64."""
    with jax.enable_x64(True):
        given = inputs((*words, "dtype=float64"))
        gradient = jax.jit(jax.grad(given.mean_loss))
        rows = [gradient(given.params, given.x[i : i + 1], given.y[i : i + 1]) for i in range(count)]
        return given, {path: np.stack([np.asarray(row[path]) for row in rows]) for path in given.params}


def noise_scale(flat):
    """tr Σ/|G|² with the unbiased estimates of both, from gradients (examples, parameters)."""
    n, mean = len(flat), flat.mean(0)
    trace = ((flat - mean) ** 2).sum() / (n - 1)
    return trace / (mean @ mean - trace / n)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_it_is_that_of_explicit_gradients(dtype):
    given, gradients = example_gradients(SMALL, 32)
    flat = np.concatenate([g.reshape(32, -1) for g in gradients.values()], axis=1)
    with jax.enable_x64(dtype == "float64"):
        got = computed("noise", (*SMALL, f"dtype={dtype}"), ALL)
    tolerance = 1e-9 if dtype == "float64" else 1e-4
    assert int(got["noise_undefined"]) == MEASURED
    assert float(got["noise_scale"]) == pytest.approx(noise_scale(flat), rel=tolerance)
    left_out = np.array([noise_scale(np.delete(flat, i, axis=0)) for i in range(32)])
    jackknife = np.sqrt(31 / 32 * ((left_out - left_out.mean()) ** 2).sum())
    assert float(got["noise_scale_error"]) == pytest.approx(jackknife, rel=100 * tolerance)
    norms = np.log10(np.linalg.norm(flat, axis=1))
    for name, value in (("min", norms.min()), ("median", np.median(norms)), ("max", norms.max())):
        assert float(got[f"log10_example_gradient_{name}"]) == pytest.approx(value, abs=1e-5)
    for layer in range(given.layers):
        parts = []
        for path in given.kernels:
            layers, g = given.layers_of[path], gradients[path]
            if layer in layers:
                own = g[:, layers.index(layer)] if given.stacked_axes[path] else g
                parts.append(own.reshape(32, -1))
        own = np.concatenate(parts, axis=1)
        ratio = own.mean(0) ** 2 / own.var(0, ddof=1) - 1 / 32
        assert float(got["gsnr"][layer]) == pytest.approx(ratio.mean(), rel=20 * tolerance)


def test_the_pair_is_unbiased_over_draws():
    """E of |G|² and tr Σ by the pair are those of the distribution: their ratio of means over 400 draws is right."""
    rng = np.random.default_rng(0)
    mean, spread = rng.normal(size=6), rng.uniform(0.5, 2, size=6)
    draws = mean + spread * rng.normal(size=(400, 8, 6))
    trace = ((draws - draws.mean(1, keepdims=True)) ** 2).sum((1, 2)) / 7
    signal = (draws.mean(1) ** 2).sum(1) - trace / 8
    assert trace.mean() == pytest.approx((spread**2).sum(), abs=4 * trace.std() / 20)
    assert signal.mean() == pytest.approx(mean @ mean, abs=4 * signal.std() / 20)


def test_chunks_of_examples_give_the_same(monkeypatch):
    whole = computed("noise", SMALL, ALL)
    monkeypatch.setattr("gradlab.measurements.snapshots.noise.CHUNK_BYTES", 3000.0)
    parts = computed("noise", SMALL, ALL)
    for name, value in whole.items():
        np.testing.assert_allclose(parts[name], value, rtol=1e-4)


@pytest.mark.parametrize(
    ("words", "changed", "reason"),
    [
        (("normalization=batch",), None, COUPLED),
        ((), "nan", NOT_FINITE),
        (("data=gaussian", "data.shape=[5]", "batch_size=4"), None, TOO_NOISY),
        ((), "zeros", MEASURED),
    ],
)
def test_where_there_is_none_it_is_null_and_says_why(words, changed, reason):
    value = {"nan": jnp.nan, "zeros": 0.0}.get(changed)
    changes = {}
    if changed is not None:
        changes["params"] = {p: jnp.full_like(w, value) for p, w in inputs((*SMALL, *words)).params.items()}
    got = computed("noise", (*SMALL, *words), ALL, **changes)
    assert int(got["noise_undefined"]) == reason
    assert np.isnan(got["noise_scale"]) == (reason != MEASURED)
    if changed == "zeros":  # of a tanh net with zero weights only the output's bias has a gradient
        assert np.isnan(got["gsnr"]).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ("model=cnn", "data=shapes", "depth=2", "width=4"),
        ("model=lstm", "data=adding", "data.length=6", "depth=1", "width=5"),
        ("model=transformer", "data=copy_memory", "depth=1", "width=8"),
    ],
)
def test_it_holds_for_other_networks(words):
    words = (*words, "batch_size=8")
    _, gradients = example_gradients(words, 8)
    flat = np.concatenate([g.reshape(8, -1) for g in gradients.values()], axis=1)
    got = computed("noise", words)
    expected = noise_scale(flat)
    if expected > 0:
        assert float(got["noise_scale"]) == pytest.approx(expected, rel=1e-3)
    else:
        assert int(got["noise_undefined"]) == TOO_NOISY


def test_a_run_is_trained_as_without(tmp_path):
    words = (*TINY, f"outputs={tmp_path}")
    run = gradlab.run(*words, "probe=[standard,noise,shattering,jacobian]", "probes.noise.every=4")
    plain = gradlab.run(*words)
    assert run.steps.loss.equals(plain.steps.loss)
    rows = run.steps[run.steps.noise_undefined.notna().to_numpy()]
    assert sorted(set(rows.step)) == [0, 4, 8]
    assert set(run.status["probe_seconds"]) >= {"noise", "shattering", "jacobian"}
    assert {"gradient_autocorrelation", "log10_singular_value"} <= set(run.vectors.measure)
