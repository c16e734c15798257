"""`gradlab precision`: shares and loss scales from counts, against casting the numbers themselves."""

import json

import ml_dtypes
import numpy as np
import pytest

import gradlab
from gradlab.analysis import histograms
from gradlab.analysis.histograms import Histograms
from gradlab.analysis.precision import (
    FLUSHED,
    FORMATS,
    format_shares,
    loss_scales,
    precision,
    scale_sentences,
)
from gradlab.analysis.verdicts import diagnose
from gradlab.commands.precision import main, text
from gradlab.measurements.magnitudes import BINS, INFINITE, NAN, SMALL, ZERO
from gradlab.recipe.errors import RecipeError
from tests.recipes import TINY

TYPES = {
    "float16": np.float16,
    "bfloat16": ml_dtypes.bfloat16,
    "float8_e4m3": ml_dtypes.float8_e4m3fn,
    "float8_e5m2": ml_dtypes.float8_e5m2,
}


def of_arrays(*arrays, steps=None):
    """The histograms of arrays of float32, one layer each, or one step each of layer 0."""
    counts = []
    for x in arrays:
        magnitude = np.abs(x.astype(np.float64))
        usable = np.isfinite(magnitude) & (magnitude > 0)
        index = np.clip(np.frexp(np.where(usable, magnitude, 1))[1] + 127, SMALL, INFINITE - 1)
        index = np.where(magnitude == 0, ZERO, index)
        index = np.where(np.isnan(magnitude), NAN, np.where(np.isinf(magnitude), INFINITE, index))
        counts.append(np.bincount(index.ravel(), minlength=BINS).astype(float))
    zeros, places = np.zeros(len(arrays), int), np.arange(len(arrays))
    step, layer = (zeros, places) if steps is None else (np.asarray(steps), zeros)
    return Histograms(zeros, step, layer, np.array(counts))


def spread(seed, middle, decades=6.0, size=20_000):
    """Numbers of both signs over many octaves, some of them powers of two, which are ties of rounding."""
    rng = np.random.default_rng(seed)
    exponents = rng.normal(middle, decades, size)
    exponents[::50] = np.round(exponents[::50])
    return (rng.choice([-1.0, 1.0], size) * 2.0 ** np.clip(exponents, -149, 127.99)).astype(np.float32)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("at", ["flushed", "normal", "top"])
def test_what_counts_say_of_a_format_is_what_a_cast_does(name, at):
    form, dtype = FORMATS[name], TYPES[name]
    x = spread(0, min(getattr(form, at), 120), 6.0 if name != "bfloat16" else 8.0)
    with np.errstate(over="ignore", invalid="ignore"):
        cast = np.abs(x.astype(dtype).astype(np.float64))
    exact = np.abs(x.astype(np.float64))
    n = len(x)
    (flushed, subnormal, overflow) = format_shares(form, of_arrays(x))
    ties = np.sum(exact == 2.0**form.flushed)  # they go to zero, and are counted as subnormal
    zeros = np.sum(cast == 0) - ties
    assert round(flushed[0][0] * n) <= zeros <= round(flushed[1][0] * n)
    small = np.sum((exact < 2.0**form.normal) & (exact >= 2.0**form.flushed))
    assert round(subnormal[0][0] * n) <= small <= round(subnormal[1][0] * n)
    # those that round up to the smallest normal number are counted too
    assert (
        np.sum((cast > 0) & (cast < 2.0**form.normal))
        <= small
        <= ties + np.sum((cast > 0) & (cast <= 2.0**form.normal))
    )
    assert round(overflow[0][0] * n) <= np.sum(~np.isfinite(cast)) <= round(overflow[1][0] * n)
    if name != "bfloat16":
        assert flushed[0] == flushed[1]


@pytest.mark.parametrize("name", ["float16", "float8_e4m3", "float8_e5m2"])
def test_a_loss_scale_is_the_smallest_that_a_cast_confirms(name):
    x, y = spread(1, -24, 3.0, 4000), spread(2, -20, 1.0, 4000)
    scales = loss_scales(name, of_arrays(x, y))
    assert scales.exists == (name != "float8_e4m3")

    def flushed(scale):
        scaled = [(array.astype(np.float64) * 2.0**scale).astype(np.float32) for array in (x, y)]
        limit = 2.0 ** FORMATS[name].flushed
        return max(np.mean(np.abs(array) < limit) for array in scaled)

    def overflows(scale):
        with np.errstate(over="ignore", invalid="ignore"):
            scaled = [(array * np.float32(2.0**scale)).astype(TYPES[name]) for array in (x, y)]
        return any(not np.isfinite(array.astype(float)).all() for array in scaled)

    assert flushed(scales.low) <= FLUSHED < flushed(scales.low - 1)
    assert not overflows(scales.high)
    assert overflows(scales.high + 2)  # at high + 1 the counts cannot tell


def test_without_a_loss_scale_the_layers_are_named_that_stop_it():
    small, large = np.full(100, 2.0**-60, np.float32), np.full(100, 2.0**3, np.float32)
    scales = loss_scales("float16", of_arrays(large, small, small))
    assert not scales.exists
    assert (scales.low, scales.high) == (35, 11)
    assert (scales.flushing, scales.largest) == ([1, 2], 0)
    assert scales.steps_with_own == 0
    over_steps = loss_scales("float16", of_arrays(large, small, steps=[0, 10]))
    assert not over_steps.exists
    assert over_steps.steps_with_own == over_steps.steps == 2


def test_percentiles_and_kurtosis_lie_within_their_bounds():
    x = np.concatenate([spread(3, -10), np.zeros(500, np.float32)])
    finite = of_arrays(x).finite
    for percent in (1, 25, 50, 99, 100):
        low, high = histograms.percentile(finite, percent)
        exact = np.percentile(np.abs(x), percent, method="inverted_cdf")
        assert low[0] <= exact < high[0] <= 2 * low[0] or exact == low[0] == high[0] == 0
    normal = np.random.default_rng(0).normal(size=10_000).astype(np.float32)
    for values in (x, normal):
        wide = values.astype(np.float64)
        exact = np.mean(wide**4) / np.mean(wide**2) ** 2
        low, high = histograms.kurtosis(of_arrays(values).finite)
        assert low[0] <= exact <= high[0] <= 256.001 * max(low[0], 1)
    assert np.isnan(histograms.kurtosis(of_arrays(np.zeros(3, np.float32)).finite)).all()
    assert np.isnan(histograms.largest(np.zeros((1, INFINITE)))).all()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    words = ("probe=[standard,histogram]", "probes.histogram.every=4")
    return gradlab.run(*TINY, *words, f"outputs={tmp_path_factory.mktemp('o')}")


def test_the_report_of_a_run_names_its_layers_and_scales(run, capsys):
    report = precision(run)
    assert {loss.quantity for loss in report.layers} == {"gradient", "weight", "activation"}
    assert {loss.name for loss in report.layers} == {"input", "hidden 1", "hidden 2", "output"}
    assert "float16: 2^" in text(report)
    assert main([str(run.folder), "--json"]) == 0
    (stored,) = json.loads(capsys.readouterr().out)
    assert [scales["format"] for scales in stored["scales"]] == list(FORMATS)


@pytest.mark.slow
def test_a_run_without_histograms_says_what_to_record(tmp_path):
    plain = gradlab.run(*TINY, "steps=0", f"outputs={tmp_path}")
    with pytest.raises(RecipeError, match=r"has no histograms; run it with probe=\[standard,histogram\]"):
        precision(plain)


@pytest.mark.slow
@pytest.mark.parametrize(("words", "scales"), [(("initializer=zeros",), False)])
def test_gradients_of_zeros_have_no_loss_scale(words, scales, tmp_path):
    dead = gradlab.run(*TINY, "steps=0", "probe=histogram", "activation=relu", *words, f"outputs={tmp_path}")
    report = precision(dead)
    assert report.layers[4].flushed is None or report.scales
    assert scale_sentences(report)


def flushed_layers(words, tmp_path):
    run = gradlab.run(*words, f"outputs={tmp_path}")
    found = [finding for finding in diagnose(run).findings if finding.word.startswith("float16")]
    return [layer for finding in found for layer in finding.layers]


BASE = (*TINY[1:], "steps=4", "probe=[forward,backward,histogram]")


def test_a_gradient_that_float16_would_flush_is_told(tmp_path):
    vanishing = (*BASE, "depth=16", "activation=sigmoid", "initializer=xavier")
    layers = flushed_layers(vanishing, tmp_path)
    assert layers == list(range(len(layers)))  # from the input on
    assert 4 < len(layers) < 16


@pytest.mark.parametrize(
    "words", [("depth=2",), ("depth=2", "dtype=float16"), ("depth=2", "initializer=zeros")]
)
@pytest.mark.slow
def test_nothing_is_told_of_a_healthy_run_nor_of_one_in_float16_nor_of_zeros(words, tmp_path):
    assert flushed_layers((*BASE, *words), tmp_path) == []
