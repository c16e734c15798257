"""The histogram of magnitudes: bins from the bits of each dtype, stored by layer, with no bit of training changed."""

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

import gradlab
from gradlab.measurements.magnitudes import BINS, INFINITE, MEASURES, NAN, SMALL, ZERO
from gradlab.measurements.probes.histogram import bins, counts
from tests.recipes import TINY

WORDS = ("probe=[standard,histogram]", "probes.histogram.every=4", "seeds=2")


def slow_bins(x):
    """The same of an array whose entries float64 holds exactly, by comparison and NumPy's frexp."""
    with np.errstate(invalid="ignore"):  # signalling NaN
        magnitude = np.abs(x.astype(np.float64))
    exponent = np.frexp(np.where(np.isfinite(magnitude) & (magnitude > 0), magnitude, 1))[1] - 1
    index = np.clip(exponent + 128, SMALL, INFINITE - 1)
    index = np.where(magnitude == 0, ZERO, index)
    return np.where(np.isnan(magnitude), NAN, np.where(np.isinf(magnitude), INFINITE, index))


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_every_number_of_16_bits_is_in_its_bin(dtype):
    x = np.arange(2**16, dtype=np.uint16).view(dtype)
    np.testing.assert_array_equal(jax.jit(bins)(x), slow_bins(x))


def test_numbers_of_float32_are_in_their_bins_subnormal_ones_too():
    bits = np.random.default_rng(0).integers(0, 2**32, 50_000, dtype=np.uint32)
    edges = np.float32(2.0) ** np.arange(-149, 128).astype(np.float32)
    x = np.concatenate(
        [bits.view(np.float32), edges, np.nextafter(edges, np.float32(0)), np.float32([0, -0.0])]
    )
    np.testing.assert_array_equal(jax.jit(bins)(x), slow_bins(x))


def test_numbers_of_float64_beyond_float32_s_range_are_in_the_outermost_bins():
    with jax.enable_x64(True):
        x = jnp.asarray([1e-300, 5e-324, 1e300, -3.0, np.inf, np.nan, 0.0, 2.0**-126], jnp.float64)
        assert bins(x).tolist() == [SMALL, SMALL, INFINITE - 1, 129, INFINITE, NAN, ZERO, 2]


def test_a_stack_has_one_histogram_per_layer():
    x = jax.random.normal(jax.random.key(0), (3, 4, 5))
    expected = np.stack([np.bincount(slow_bins(np.asarray(layer)).ravel(), minlength=BINS) for layer in x])
    np.testing.assert_array_equal(counts(x, 1), expected)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return gradlab.run(*TINY, *WORDS, f"outputs={tmp_path_factory.mktemp('o')}")


def test_counts_of_a_layer_are_those_of_its_entries(run):
    rows = run.vectors
    steps = rows.step[(rows.source == "batch").to_numpy()]
    assert sorted(set(steps)) == [0, 4, 8]
    totals = rows.groupby(["measure", "layer", "seed", "step", "source"], observed=True).value.sum()
    sizes = run.layers.groupby("layer")["size"].first()
    for measure in (MEASURES["gradient"], MEASURES["weight"]):
        assert (totals[measure].groupby("layer").nunique() == 1).all()
        np.testing.assert_array_equal(totals[measure].groupby("layer").first(), sizes)
    hidden = totals[MEASURES["activation"]][1]
    assert (hidden == run.recipe["batch_size"] * run.recipe["width"]).all()


def test_the_zeros_of_the_gradient_are_those_that_are_counted_apart(run):
    rows = run.vectors[(run.vectors.measure == MEASURES["gradient"]).to_numpy()]
    keys = ["seed", "step", "source", "layer"]
    zeros = rows[(rows["index"] == ZERO).to_numpy()].set_index(keys).value
    due = run.layers[run.layers.step.isin([0, 4, 8]).to_numpy()].set_index(keys).zeros
    np.testing.assert_array_equal(zeros.reindex(due.index).fillna(0), due)


def test_no_bit_of_training_and_of_the_other_columns_is_changed(run, tmp_path):
    plain = gradlab.run(*TINY, "seeds=2", f"outputs={tmp_path}")
    assert plain.vectors.empty
    for table in ("steps", "layers", "parameters"):
        ours, theirs = getattr(run, table), getattr(plain, table)
        assert list(ours) == list(theirs)
        for column in theirs.columns:
            np.testing.assert_array_equal(
                ours[column].to_numpy(dtype=object, na_value=None),
                theirs[column].to_numpy(dtype=object, na_value=None),
            )
