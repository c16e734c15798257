"""Norms, scalings and counts far outside float32's range, against long doubles and exact fractions."""

import math
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gradlab.numerics import norms

SIZES = (1, 7, 1000, 100_000)
# float32 holds 2^-126 … 2^128; entries 1e-37 … 1e38 are all normal numbers
EXPONENTS = (-37, -30, -20, -15, -10, -3, 0, 5, 10, 15, 20, 30, 37)

log2_norm = jax.jit(norms.log2_norm)
scale = jax.jit(norms.scale)
log2_norms = jax.jit(lambda tree: norms.log2_norms(tree, {"a": 0, "b": 1}))


def exact(*arrays):
    """log2 of the norm, in long doubles that hold the squares of all float32."""
    return float(np.log2(sum(np.sum(np.asarray(x, np.longdouble) ** 2) for x in arrays)) / 2)


@pytest.mark.few(2)
@pytest.mark.parametrize("size", SIZES)
def test_a_norm_is_right_over_the_whole_range(size):
    rng = np.random.default_rng(size)
    for power in EXPONENTS:
        x = (rng.uniform(0.1, 9.9, size) * 10.0**power * rng.choice([-1, 1], size)).astype(np.float32)
        assert float(log2_norm(x)) == pytest.approx(exact(x), abs=2e-5)  # 1e-5 of the norm


def test_a_norm_of_entries_of_very_different_size_is_right():
    rng = np.random.default_rng(0)
    for top in (-10, 0, 30):
        x = (10.0 ** rng.uniform(top - 27, top, 1000)).astype(np.float32)
        assert float(log2_norm(x)) == pytest.approx(exact(x), abs=2e-5)


@pytest.mark.parametrize(
    ("entry", "expected"),
    [(0.0, -math.inf), (math.inf, math.inf), (-math.inf, math.inf), (math.nan, math.nan)],
)
def test_the_norm_of_zeros_infinities_and_nans_is_minus_infinity_infinity_and_nan(entry, expected):
    x = np.zeros(7, np.float32)
    x[3] = entry
    assert float(log2_norm(x)) == pytest.approx(expected, nan_ok=True)


def test_leading_axes_are_kept():
    x = (10.0 ** np.arange(-30, 30, 10)[:, None, None] * np.ones((6, 2, 3))).astype(np.float32)
    actual = jax.jit(lambda x: norms.scaled_log2_norm(x, 1))(x)
    np.testing.assert_allclose(actual, [exact(row) for row in x], atol=2e-5)


@settings(max_examples=100)
@example(2.0, 126, -253)
@example(1.5, 126, -253)
@example(1.0, -126, 253)
@given(st.floats(1.0, 2.0, width=32), st.integers(-126, 126), st.integers(-300, 300))
def test_scaling_is_exact_wherever_the_result_is_a_normal_number(fraction, start, k):
    x = np.float32(math.ldexp(fraction, start))
    expected = Fraction(float(x)) * Fraction(2) ** k
    actual = float(scale(x, np.float32(k)))
    if Fraction(2) ** -126 <= expected < Fraction(2) ** 128:
        assert Fraction(actual) == expected
    elif expected < Fraction(2) ** -126:
        assert actual <= 2.0**-126  # flushed, or a denormal
    else:
        assert actual == math.inf


@pytest.mark.few(2)
@pytest.mark.parametrize("k", [-120, -30, 0, 31, 120])
def test_powers_of_two_are_exact(k):
    assert float(jax.jit(lambda k: norms.power_of_two(k, jnp.float32))(np.float32(k))) == 2.0**k


@pytest.mark.few(2)
@pytest.mark.parametrize(
    ("a", "b"), [(0, 0), (-30, -30), (-30, 0), (30, 30), (30, -30), (-12, 18), (-35, -35)]
)
def test_norms_of_a_tree_and_of_its_leaves_are_right(a, b):
    rng = np.random.default_rng(1)
    tree = {
        "a": (10.0**a * rng.standard_normal(5)).astype(np.float32),
        "b": (10.0**b * rng.standard_normal((3, 4))).astype(np.float32),
    }
    actual = log2_norms(tree)
    assert float(actual.global_norm.log2()) == pytest.approx(exact(*tree.values()), abs=2e-5)
    assert float(actual.leaves["a"]) == pytest.approx(exact(tree["a"]), abs=2e-5)
    np.testing.assert_allclose(actual.leaves["b"], [exact(row) for row in tree["b"]], atol=2e-5)


@pytest.mark.few(1)
@pytest.mark.parametrize("power", [-30, 0, 30])
def test_a_leaf_of_zeros_does_not_hide_the_others(power):
    rng = np.random.default_rng(2)
    tree = {"a": np.zeros(5, np.float32), "b": (10.0**power * rng.standard_normal((3, 4))).astype(np.float32)}
    actual = log2_norms(tree)
    assert float(actual.global_norm.log2()) == pytest.approx(exact(tree["b"]), abs=2e-5)
    assert float(actual.leaves["a"]) == -math.inf


@pytest.mark.parametrize("entry", [math.inf, math.nan])
def test_one_bad_entry_makes_the_tree_s_norm_bad(entry):
    tree = {"a": np.full(5, 1e-30, np.float32), "b": np.ones((3, 4), np.float32)}
    tree["b"][1, 2] = entry
    actual = log2_norms(tree)
    assert float(actual.global_norm.log2()) == pytest.approx(entry, nan_ok=True)
    assert np.isfinite(float(actual.leaves["a"]))
    np.testing.assert_array_equal(np.isfinite(actual.leaves["b"]), [True, False, True])


def test_an_empty_signal_is_a_true_zero():
    actual = log2_norms({"a": np.zeros(5, np.float32), "b": np.zeros((3, 4), np.float32)})
    assert float(actual.global_norm.log2()) == -math.inf


@pytest.mark.few(1)
@pytest.mark.parametrize(
    ("logs", "expected"),
    [
        ([math.log2(3), math.log2(4)], math.log2(5)),
        ([-400.0, -400.0], -399.5),
        ([500.0, -math.inf], 500.0),
        ([-math.inf, -math.inf], -math.inf),
    ],
)
def test_norms_given_by_logarithms_are_combined(logs, expected):
    actual = float(norms.log2_hypot(jnp.array(logs)))
    assert actual == pytest.approx(expected, rel=1e-6)


@pytest.mark.slow
def test_zeros_infinities_and_nans_are_counted_separately():
    x = np.array([[0, 1, np.inf, -np.inf], [np.nan, 0, 0, 1], [1, 2, 3, 4]], np.float32)
    tree, stacked_axes = {"a": x, "b": np.ones(3, np.float32)}, {"a": 1, "b": 0}
    leaves = norms.log2_norms(tree, stacked_axes).leaves
    actual = norms.counts(tree, leaves, stacked_axes)
    for name, expected in (("zeros", [1, 2, 0]), ("infs", [2, 0, 0]), ("nans", [0, 1, 0])):
        np.testing.assert_array_equal(actual[name]["a"], expected)
        assert actual[name]["b"] == 0
