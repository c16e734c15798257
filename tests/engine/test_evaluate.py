"""A part of the data is judged in pieces, and the same as at once, beside NumPy in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradlab.engine import evaluate
from gradlab.engine.evaluate import measures
from gradlab.parts.losses.contract import averaged_over_time, loss

N, K, T = 23, 4, 6
RNG = np.random.default_rng(0)
W = RNG.standard_normal((5, K)).astype(np.float32)
CROSS = loss.make({"name": "cross_entropy"})
CASES = {
    "labels": (RNG.standard_normal((N, 5)), RNG.integers(0, K - 1, N)),  # the last class never comes
    "a label a step": (
        RNG.standard_normal((N, T, 5)),
        np.where(RNG.random((N, T)) < 2, RNG.integers(0, K, (N, T)), 0),
    ),
    "numbers": (RNG.standard_normal((N, 5)), RNG.standard_normal((N, K))),
}
CASES["a label a step"][1][:, :2] = -1


def reference(x, y):
    """Loss, accuracy, balanced accuracy, R², by plain words."""
    out = x @ W.astype(np.float64)
    if y.dtype.kind == "f":
        error = ((out - y) ** 2).sum()
        return (out - y).__pow__(2).mean(), np.nan, np.nan, 1 - error / ((y - y.mean(0)) ** 2).sum()
    out, labels = out.reshape(-1, K), y.reshape(-1)
    out, labels = out[labels >= 0], labels[labels >= 0]
    logs = out - np.log(np.exp(out).sum(1, keepdims=True))
    right = out.argmax(1) == labels
    recalls = [right[labels == c].mean() for c in range(K) if (labels == c).any()]
    return -logs[np.arange(len(labels)), labels].mean(), right.mean(), np.mean(recalls), np.nan


@pytest.mark.few(1)
@pytest.mark.parametrize("most", [4096, 10, 1])
@pytest.mark.parametrize("name", CASES)
def test_the_measures_are_numpy_s_however_the_part_is_cut(name, most, monkeypatch):
    monkeypatch.setattr(evaluate, "MOST_EXAMPLES", most)
    x, y = CASES[name]
    given = jnp.asarray(y, jnp.float32 if y.dtype.kind == "f" else jnp.int32)
    rule = loss.make({"name": "mse"}) if y.dtype.kind == "f" else CROSS
    rule = averaged_over_time(rule) if name == "a label a step" else rule
    found = jax.jit(lambda x, y: measures(lambda h: h @ W, rule, x, y, K, 5))(
        jnp.asarray(x, jnp.float32), given
    )
    np.testing.assert_allclose(found, reference(x, y), rtol=2e-6)


def test_equal_targets_have_no_variance_to_explain():
    rule = loss.make({"name": "mse"})
    found = measures(lambda h: h, rule, jnp.ones((3, 1)), jnp.zeros((3, 1)), 1, 1)
    assert np.isnan(found).tolist() == [False, True, True, True]


def test_a_piece_holds_no_more_than_it_may():
    size, pieces = evaluate._cut(jnp.zeros((100, 64, 64, 3)), 4096)
    assert size * 64 * 64 * 4096 <= evaluate.MOST_FLOATS
    assert size * pieces >= 100
    assert evaluate._cut(jnp.zeros((1437, 64)), 64) == (1437, 1)


@pytest.mark.slow
def test_steps_without_a_label_count_for_nothing():
    x, y = CASES["a label a step"]
    rule, out = averaged_over_time(CROSS), jnp.asarray(x @ W, jnp.float32)
    each = rule(out, jnp.asarray(y, jnp.int32))
    short = rule(out[:, 2:], jnp.asarray(y[:, 2:], jnp.int32))
    np.testing.assert_allclose(each, short, rtol=1e-6)
    slope = jax.grad(lambda out: rule(out, jnp.asarray(y, jnp.int32)).sum())(out)
    assert not np.asarray(slope)[:, :2].any()
