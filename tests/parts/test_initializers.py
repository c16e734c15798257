"""Initializers: the variance, the shape of the distribution, and streams that do not touch.

A variance of n draws strays by √(2/n)·σ²: 0.4 % of 128 × 1000 draws, so 2 % is five deviations.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab.models  # noqa: F401  initializers that look at a chain are known from here on
from gradlab.parts.initializers.contract import initializer
from gradlab.recipe.errors import RecipeError
from gradlab.recipe.recipe import folder_name, plain
from gradlab.theory.forward import weight_variance
from gradlab.theory.mlp import unavailable
from tests.driver import driver
from tests.recipes import recipe
from tests.test_conf import CONF, content

FAN_IN, FAN_OUT = 128, 1000
VARIANCES = {"xavier": 2 / (FAN_IN + FAN_OUT), "he": 2 / FAN_IN, "lecun": 1 / FAN_IN}
KURTOSIS = {"normal": 3.0, "uniform": 1.8, "truncated_normal": 2.3652}  # cut at two deviations


CUT = 0.7737413  # the variance of a standard normal cut at two deviations


def part(name, **values):
    """The option's own file, with some values changed."""
    return content(CONF / "initializer" / f"{name}.yaml") | values


def draw(part, shape=(FAN_IN, FAN_OUT), seed=0):
    return np.asarray(initializer.make(part).kernel(jax.random.key(seed), shape), np.float64)


@pytest.mark.few(2)
@pytest.mark.parametrize("distribution", KURTOSIS)
@pytest.mark.parametrize("name", VARIANCES)
def test_the_variance_and_the_shape_are_the_named_ones(name, distribution):
    w = draw(part(name, distribution=distribution))
    deviation = math.sqrt(VARIANCES[name])
    assert w.var() == pytest.approx(VARIANCES[name], rel=0.02)
    assert abs(w.mean()) < 5 * deviation / math.sqrt(w.size)
    assert (w**4).mean() / w.var() ** 2 == pytest.approx(KURTOSIS[distribution], rel=0.03)
    bound = {"uniform": math.sqrt(3), "truncated_normal": 2 / math.sqrt(CUT)}.get(distribution, 6)
    assert np.abs(w).max() <= bound * deviation * (1 + 1e-6)
    if distribution != "normal":
        assert np.abs(w).max() > 0.999 * bound * deviation  # and it comes near


FREE = [  # part, Var W, kurtosis
    (part("small_normal", std=0.01), 1e-4, 3),
    (part("normal", sigma_w=1.7, sigma_b=0.4), 1.7**2 / FAN_IN, 3),
    (part("critical", sigma_w=1.7, sigma_b=0.4), 1.7**2 / FAN_IN, 3),
    (part("uniform", scale=0.3), 0.03, 1.8),
    (part("uniform", low=-0.3, high=0.3), 0.03, 1.8),
    (part("truncated_normal", std=0.2), CUT * 0.04, KURTOSIS["truncated_normal"]),
    (part("article_xavier"), FAN_IN / FAN_OUT, 3),
    (part("xavier", gain=5 / 3), 25 / 9 * VARIANCES["xavier"], 3),
    (part("he", mode="fan_out"), 2 / FAN_OUT, 3),
    (part("he", slope=0.5), 2 / 1.25 / FAN_IN, 3),
    (part("he", slope=math.sqrt(5), distribution="uniform"), 1 / 3 / FAN_IN, 1.8),  # PyTorch's Linear
]
FIXED = {"constant", "zeros", "identity", "orthogonal", "looks_linear", "lsuv", "lecun", "delta_orthogonal"}


@pytest.mark.few(2)
@pytest.mark.parametrize(("part", "variance", "kurtosis"), FREE, ids=lambda one: str(one)[:40])
def test_the_variance_is_the_one_that_the_numbers_give(part, variance, kurtosis):
    w = draw(part)
    assert w.var() == pytest.approx(variance, rel=0.02)
    assert (w**4).mean() / w.var() ** 2 == pytest.approx(kurtosis, rel=0.03)
    assert abs(w.mean()) < 5 * math.sqrt(variance / w.size)


def test_every_initializer_is_tested_here():
    assert initializer.makers.keys() == {part["name"] for part, *_ in FREE} | FIXED


def torch_draw(fill, **options):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    w = torch.empty(FAN_OUT, FAN_IN)  # (out, in), the other way round
    getattr(torch.nn.init, fill)(w, **options)
    return w.numpy().T.astype(np.float64)


@pytest.mark.few(2)
@pytest.mark.parametrize(
    ("ours", "fill", "options"),
    [
        (part("xavier"), "xavier_normal_", {}),
        (part("xavier", distribution="uniform", gain=5 / 3), "xavier_uniform_", {"gain": 5 / 3}),
        (part("he"), "kaiming_normal_", {"nonlinearity": "relu"}),
        (part("he", slope=0.2), "kaiming_normal_", {"a": 0.2}),
        (part("he", mode="fan_out", distribution="uniform"), "kaiming_uniform_", {"mode": "fan_out"}),
        (part("orthogonal", gain=1.3), "orthogonal_", {"gain": 1.3}),
        (part("uniform", scale=0.3), "uniform_", {"a": -0.3, "b": 0.3}),
        (part("uniform", low=-0.1, high=0.5), "uniform_", {"a": -0.1, "b": 0.5}),
        (part("identity", gain=1.0), "eye_", {}),
        # PyTorch cuts at −2 and 2: two deviations only where std is 1
        (part("truncated_normal", std=1.0), "trunc_normal_", {}),
    ],
)
def test_deviation_and_reach_are_pytorch_s(ours, fill, options):
    w, theirs = draw(ours), torch_draw(fill, **options)
    assert w.std() == pytest.approx(theirs.std(), rel=0.02)
    if ours.get("distribution", "") != "normal":
        assert np.abs(w).max() == pytest.approx(
            np.abs(theirs).max(), rel=0.25 if fill == "orthogonal_" else 2e-3
        )


def test_pytorch_cuts_its_truncated_normal_elsewhere():
    ours, theirs = draw(part("truncated_normal", std=0.2)), torch_draw("trunc_normal_", std=0.2)
    assert np.abs(ours).max() < 0.4 < np.abs(theirs).max()
    assert theirs.var() == pytest.approx(0.04, rel=0.02)


def test_jax_s_own_initializers_have_the_same_conventions():
    key, shape = jax.random.key(0), (FAN_IN, FAN_OUT)
    jax_s = {
        "he": jax.nn.initializers.he_normal(),  # named normal, and truncated
        "xavier": jax.nn.initializers.glorot_normal(),
        "lecun": jax.nn.initializers.lecun_normal(),
    }
    for name, theirs in jax_s.items():
        mine = draw(part(name, distribution="truncated_normal"))
        np.testing.assert_allclose(mine, theirs(key, shape), rtol=1e-6)
    theirs = jax.nn.initializers.truncated_normal(0.2)(key, shape)
    np.testing.assert_allclose(draw(part("truncated_normal", std=0.2)), theirs, rtol=1e-6)


def test_what_is_not_drawn_is_what_it_says():
    assert (draw(part("constant", value=-0.3)) == np.float32(-0.3)).all()
    assert not draw(part("zeros")).any()
    np.testing.assert_array_equal(draw(part("identity", gain=2.0), (3, 5)), 2 * np.eye(3, 5))
    assert initializer.make(part("looks_linear")).mirrored


@pytest.mark.few(1)
@pytest.mark.parametrize("shape", [(64, 64), (64, 24), (24, 64)])
def test_orthogonal_rows_or_columns_are_orthonormal_times_the_gain(shape):
    w = draw({"name": "orthogonal", "gain": 1.3}, shape)
    small = w @ w.T if shape[0] <= shape[1] else w.T @ w
    np.testing.assert_allclose(small, 1.69 * np.eye(min(shape)), atol=2e-6)


@pytest.mark.slow
def test_orthogonal_draws_have_no_preferred_direction():
    drawn = np.stack([draw({"name": "orthogonal", "gain": 1.0}, (8, 8), seed) for seed in range(40)])
    np.testing.assert_allclose(drawn.mean(0), 0, atol=5 / math.sqrt(8 * 40))
    assert {round(sign) for sign in np.linalg.det(drawn)} == {-1, 1}


@pytest.mark.few(2)
@pytest.mark.parametrize("name", sorted(initializer.makers))
def test_biases_are_zero_unless_the_initializer_says_otherwise(name):
    given = part(name)
    random = "sigma_b" in given
    given |= {"sigma_b": 0.4, "sigma_w": 1.0} if random else {}
    bias = np.asarray(initializer.make(given).bias(jax.random.key(0), (20_000,)))
    assert bias.std() == pytest.approx(0.4, rel=0.03) if random else not bias.any()


@pytest.fixture(scope="module")
def started():
    """Two seeds of one network: every block drawn as `gradlab run` draws it."""
    made = driver("initializer=normal", "initializer.sigma_b=0.5", "width=40", "depth=6", "activation=tanh")
    return [made.start(seed).params for seed in (0, 1)], made.start(0).params


@pytest.mark.slow
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


def test_the_interval_of_uniform_is_the_given_one():
    """Against the interval's own moments: mean (low + high)/2, variance (high − low)²/12, and its ends."""
    w = draw(part("uniform", low=-0.1, high=0.5))
    assert w.mean() == pytest.approx(0.2, abs=5 * 0.6 / math.sqrt(12 * w.size))
    assert w.var() == pytest.approx(0.36 / 12, rel=0.02)
    assert -0.1 <= w.min() < -0.0999 < 0.4999 < w.max() <= 0.5
    np.testing.assert_array_equal(draw(part("uniform", low=-0.1, high=0.1)), draw(part("uniform")))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"low": -0.1}, "initializer.low=-0.1 and initializer.high=auto: give both"),
        ({"high": 0.1}, "give both, or neither"),
        ({"low": 0.2, "high": 0.2}, "low must be below high"),
        ({"low": 0.2, "high": 0.1}, "low must be below high"),
    ],
)
def test_half_an_interval_or_an_empty_one_is_refused(values, message):
    with pytest.raises(RecipeError, match=message):
        initializer.check(part("uniform", **values))


def test_a_stored_uniform_without_an_interval_keeps_its_folder():
    """The digest of a recipe whose interval is that of its scale is the one it had before there was another."""
    assert folder_name(recipe("initializer=uniform")) == "mlp-d20-tanh-uniform-9d169b1b"
    assert (
        folder_name(recipe("initializer=uniform", "initializer.low=-1", "initializer.high=1"))
        != "mlp-d20-tanh-uniform-9d169b1b"
    )


def test_theory_takes_the_interval_s_variance_and_refuses_a_mean():
    words = ("model=mlp", "initializer=uniform")
    symmetric = plain(recipe(*words, "initializer.low=-0.2", "initializer.high=0.2"))
    assert weight_variance(symmetric["initializer"], 8, 8) == pytest.approx(0.4**2 / 12)
    assert unavailable(symmetric) is None
    shifted = plain(recipe(*words, "initializer.low=-0.1", "initializer.high=0.2"))
    assert unavailable(shifted) == (
        "weights between -0.1 and 0.2 have a mean other than 0, which mean field takes for 0"
    )
