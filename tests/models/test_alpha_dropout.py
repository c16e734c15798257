"""Alpha dropout keeps mean 0 and variance 1, and is PyTorch's formula."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradlab.nn.normalize import alpha_dropout
from gradlab.recipe.recipe import folder_name, plain
from gradlab.report.summary import describe
from gradlab.theory.mlp import unavailable
from tests.driver import batch, driver
from tests.recipes import recipe

ENTRIES = 200_000


@pytest.mark.parametrize("rate", [0.05, 0.5, 0.9])
def test_mean_and_variance_of_a_selu_unit_stay(rate):
    """Of z ~ N(0, 1), selu(z) has mean 0 and variance 1, and so has what alpha dropout makes of it."""
    h = jax.nn.selu(jax.random.normal(jax.random.key(0), (ENTRIES,)))
    dropped = np.asarray(alpha_dropout(h, rate, jax.random.key(1)), np.float64)
    spread = 5 * np.sqrt((dropped**4).mean() / ENTRIES)
    assert dropped.mean() == pytest.approx(0, abs=5 * np.sqrt(2 / ENTRIES))
    assert dropped.var() == pytest.approx(1, abs=spread)


def test_each_entry_is_one_of_the_two_of_the_formula():
    """The formula of torch.nn.functional.alpha_dropout, written as there: a = ((1 − p)(1 + p·α²))^−1/2, b = a·p·α."""
    p, alpha = 0.3, 1.7580993408473766
    a = 1 / np.sqrt((alpha**2 * p + 1) * (1 - p))
    h = np.linspace(-2, 3, 1001)
    dropped = np.asarray(alpha_dropout(jnp.asarray(h, jnp.float32), p, jax.random.key(0)), np.float64)
    kept, gone = a * h + a * p * alpha, a * -alpha + a * p * alpha
    is_gone = np.isclose(dropped, gone, atol=1e-5)
    np.testing.assert_allclose(dropped[~is_gone], kept[~is_gone], atol=1e-5)
    assert is_gone.mean() == pytest.approx(p, abs=0.06)


def test_a_deep_selu_network_keeps_its_signal_with_alpha_dropout_and_not_with_plain():
    words = ("depth=20", "width=64", "activation=selu", "initializer=lecun", "dropout=0.2", "probe=[forward]")
    level = {}
    for kind in ("plain", "alpha"):
        found = driver(*words, f"dropout_kind={kind}")
        level[kind] = found.train_step(found.start(), batch()).layers["log10_forward"][20]
    assert abs(level["alpha"]) < 0.15 < level["plain"] - level["alpha"]


def test_alpha_dropout_is_named_and_has_no_theory_and_plain_keeps_its_folder():
    alpha = plain(recipe("dropout=0.2", "dropout_kind=alpha", "activation=selu"))
    assert "· alpha dropout 0.2 ·" in describe(alpha)
    assert unavailable(alpha) == "no mean-field theory for dropout_kind=alpha"
    assert unavailable(plain(recipe("dropout=0.2", "activation=selu"))) is None
    assert folder_name(recipe("dropout=0.2")) == folder_name(recipe("dropout=0.2", "dropout_kind=plain"))
