"""Initializers: the variance, the shape of the distribution, and streams that do not touch.

A variance of n draws strays by √(2/n)·σ²: 0.4 % of 128 × 1000 draws, so 2 % is five deviations.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradlab.parts.initializers import initializer
from tests.driver import driver

FAN_IN, FAN_OUT = 128, 1000
VARIANCES = {"xavier": 2 / (FAN_IN + FAN_OUT), "he": 2 / FAN_IN, "lecun": 1 / FAN_IN}
KURTOSIS = {"normal": 3.0, "uniform": 1.8, "truncated_normal": 2.3652}  # cut at two deviations


def draw(part, shape=(FAN_IN, FAN_OUT), seed=0):
    return np.asarray(initializer.make(part).kernel(jax.random.key(seed), shape), np.float64)


@pytest.mark.parametrize("distribution", KURTOSIS)
@pytest.mark.parametrize("name", VARIANCES)
def test_the_variance_and_the_shape_are_the_named_ones(name, distribution):
    w = draw({"name": name, "distribution": distribution})
    deviation = math.sqrt(VARIANCES[name])
    assert w.var() == pytest.approx(VARIANCES[name], rel=0.02)
    assert abs(w.mean()) < 5 * deviation / math.sqrt(w.size)
    assert (w**4).mean() / w.var() ** 2 == pytest.approx(KURTOSIS[distribution], rel=0.03)
    bound = {"uniform": math.sqrt(3), "truncated_normal": 2 / 0.87962566}.get(distribution, 6)
    assert np.abs(w).max() <= bound * deviation * (1 + 1e-6)
    if distribution != "normal":
        assert np.abs(w).max() > 0.999 * bound * deviation  # and it comes near


@pytest.mark.parametrize(
    ("part", "variance"),
    [
        ({"name": "small_normal", "std": 0.01}, 1e-4),
        ({"name": "normal", "sigma_w": 1.7, "sigma_b": 0.4}, 1.7**2 / FAN_IN),
    ],
)
def test_the_normals_have_the_variance_one_gives(part, variance):
    w = draw(part)
    assert w.var() == pytest.approx(variance, rel=0.02)
    assert (w**4).mean() / w.var() ** 2 == pytest.approx(3, rel=0.03)


@pytest.mark.parametrize("shape", [(64, 64), (64, 24), (24, 64)])
def test_orthogonal_rows_or_columns_are_orthonormal_times_the_gain(shape):
    w = draw({"name": "orthogonal", "gain": 1.3}, shape)
    small = w @ w.T if shape[0] <= shape[1] else w.T @ w
    np.testing.assert_allclose(small, 1.69 * np.eye(min(shape)), atol=2e-6)


def test_orthogonal_draws_have_no_preferred_direction():
    drawn = np.stack([draw({"name": "orthogonal", "gain": 1.0}, (8, 8), seed) for seed in range(40)])
    np.testing.assert_allclose(drawn.mean(0), 0, atol=5 / math.sqrt(8 * 40))
    assert {round(sign) for sign in np.linalg.det(drawn)} == {-1, 1}


@pytest.mark.parametrize("name", ["small_normal", "normal", "xavier", "he", "lecun", "orthogonal"])
def test_biases_are_zero_unless_the_initializer_says_otherwise(name):
    part = {"name": name, "std": 0.1, "sigma_w": 1.0, "sigma_b": 0.4, "distribution": "normal", "gain": 1.0}
    keys = initializer.parameters(name)
    made = initializer.make({"name": name} | {key: part[key] for key in keys})
    bias = np.asarray(made.bias(jax.random.key(0), (20_000,)))
    assert bias.std() == pytest.approx(0.4, rel=0.03) if name == "normal" else not bias.any()


@pytest.fixture(scope="module")
def started():
    """Two seeds of one network: every block drawn as `gradlab run` draws it."""
    made = driver("initializer=normal", "initializer.sigma_b=0.5", "width=40", "depth=6", "activation=tanh")
    return [made.start(seed).params for seed in (0, 1)], made.start(0).params


def test_a_seed_draws_the_same_network_again(started):
    (first, _), again = started
    for path, value in first.items():
        assert jnp.array_equal(value, again[path]), path


def test_seeds_and_blocks_are_drawn_independently(started):
    (first, second), _ = started
    drawn = [*first["hidden/linear/kernel"].reshape(6, -1), *second["hidden/linear/kernel"].reshape(6, -1)]
    likeness = np.corrcoef(np.stack(drawn)) - np.eye(12)
    assert np.abs(likeness).max() < 5 / 40  # 1600 entries: one deviation is 1/40


def test_a_network_s_variances_follow_each_block_s_own_fan_in(started):
    params = started[0][0]
    for path, fan_in in (("input", 9), ("hidden", 40), ("output", 40)):
        kernel = np.asarray(params[f"{path}/linear/kernel"])
        assert kernel.var() * fan_in == pytest.approx(1, abs=5 * math.sqrt(2 / kernel.size))
    assert np.asarray(params["hidden/linear/bias"]).std() == pytest.approx(0.5, rel=0.3)
