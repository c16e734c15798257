"""Clips: what a person relies on, for ordinary gradients and for those that float32's squares cannot hold."""

import math
from functools import lru_cache

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gradlab.parts.clips import clip
from tests import rules

LEAD = {"a": 1, "b": 0}
entry = st.integers(-8000, 8000).map(lambda n: n / 8)  # with any power below: zero or a normal float32
gradients = st.fixed_dictionaries(
    {"a": arrays(np.float32, (2, 3), elements=entry), "b": arrays(np.float32, 4, elements=entry)}
)
thresholds = st.integers(1, 8000).map(lambda n: n / 64)
powers = st.sampled_from([-30, -20, -10, 0, 10, 20, 30])
quick = settings(max_examples=60, deadline=None)


@lru_cache
def rule(name):
    def apply(grads, threshold):
        made = clip.make({"name": name} | ({} if name == "none" else {"threshold": threshold}))
        return made.apply(grads, made.init(grads), grads, LEAD)

    return jax.jit(apply)


def clipped(name, grads, threshold=1.0):
    found, _, record = rule(name)(grads, np.float32(threshold))
    return {key: np.asarray(value) for key, value in found.items()}, float(record["clipped"])


def flat(tree):
    return np.concatenate([np.ravel(tree[key]) for key in sorted(tree)]).astype(np.float64)


def times(grads, power):
    return {key: (value.astype(np.float64) * 10.0**power).astype(np.float32) for key, value in grads.items()}


@quick
@given(gradients, thresholds, powers)
def test_a_value_clip_bounds_each_entry_and_keeps_signs(grads, threshold, power):
    grads = times(grads, power)
    found, share = clipped("value", grads, threshold)
    before, after = flat(grads), flat(found)
    assert (np.abs(after) <= threshold).all()
    assert (np.sign(after) == np.sign(before)).all()
    assert share == pytest.approx((before != after).mean(), abs=1e-6)


@quick
@given(gradients, thresholds, powers)
def test_a_norm_clip_bounds_the_length_and_keeps_the_direction(grads, threshold, power):
    grads = times(grads, power)
    found, share = clipped("norm", grads, threshold)
    before, after = flat(grads), flat(found)
    length = np.linalg.norm(before)
    assert np.linalg.norm(after) <= threshold * (1 + 1e-6)
    assert share == (length > threshold) or length == pytest.approx(threshold, rel=1e-6)
    if length > 0:
        assert before @ after >= (1 - 1e-6) * length * np.linalg.norm(after)


@quick
@given(gradients, powers)
def test_a_norm_clip_below_its_threshold_changes_no_bit(grads, power):
    grads = times(grads, power)
    found, share = clipped("norm", grads, min(1.01 * np.linalg.norm(flat(grads)) + 1e-37, 3e38))
    assert share == 0
    for key, value in grads.items():
        np.testing.assert_array_equal(found[key], value)


@pytest.mark.parametrize("power", [-30, 0, 30])
@pytest.mark.parametrize("threshold", [1e-32, 1e-3, 1.0, 1e25])
@pytest.mark.parametrize("name", ["none", "value", "norm"])
def test_a_clip_is_its_formula_at_any_size(name, power, threshold):
    grads = times({"a": np.arange(-3, 3, dtype=np.float32).reshape(2, 3), "b": np.ones(4, np.float32)}, power)
    found, _ = clipped(name, grads, threshold)
    wanted = rules.clip(
        {"name": name, "threshold": float(np.float32(threshold))},
        {k: g.astype(float) for k, g in grads.items()},
    )
    np.testing.assert_allclose(flat(found), flat(wanted), rtol=1e-6)


@pytest.mark.parametrize("name", ["none", "value", "norm"])
def test_a_zero_gradient_stays_zero(name):
    found, share = clipped(name, {"a": np.zeros((2, 3), np.float32), "b": np.zeros(4, np.float32)})
    assert (flat(found) == 0).all()
    assert share == 0


@pytest.mark.parametrize("bad", [math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("name", ["none", "value", "norm"])
def test_a_broken_gradient_does_not_silently_become_zeros(name, bad):
    grads = {"a": np.ones((2, 3), np.float32), "b": np.array([1, bad, 2, 0], np.float32)}
    found, _ = clipped(name, grads, 1.5)
    at = found["b"][1]
    assert at == bad or math.isnan(at) or (name == "value" and at == math.copysign(1.5, bad))
    assert (found["a"] == 1).all()
