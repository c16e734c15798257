"""Initializers that look at the data, at theory or at the activation: what the started network shows."""

import math
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradlab.engine import step
from gradlab.engine.checks import check
from gradlab.engine.critical import critical_sigma
from gradlab.engine.seed_programs import numbers_for
from gradlab.engine.setup import make_setup
from gradlab.nn import chain
from gradlab.nn.chain import BlockContext
from gradlab.numerics.tree import under
from gradlab.recipe.errors import RecipeError
from gradlab.recipe.recipe import numbers
from gradlab.theory.activations import activation
from gradlab.theory.meanfield import critical_weight
from tests.driver import FORM, recipe
from tests.models.plain import passes

SIZE = ("width=48", "depth=6", "batch_size=32", "probe=[forward]")


def started(*words):
    the = recipe(*SIZE, *words)
    parts = make_setup(the, numbers_for(numbers(the), the.dtype), FORM)
    x = 3 * jax.random.normal(jax.random.key(5), (32, 9)) + 1
    return parts.chain, jax.jit(lambda x: step.init_state(parts, jax.random.key(0), x))(x), x


def preactivations(blocks, state, x):
    """Var (W h + b) of every dense layer of the chain, layer after layer."""
    found, h = [], x
    for index, block in enumerate(blocks):
        own = (under(state.params, f"{block.name}/"), under(state.stats, f"{block.name}/"))
        for layer in range(block.layers):
            params, stats = (
                {path: value[layer] if block.count else value for path, value in one.items()} for one in own
            )
            look = lambda path, z: found.append(float(np.var(z))) or z
            visit = BlockContext(jax.random.key(index), stats, True, lambda z: z, layer + 1, look)
            h, _ = block.apply(params, h, visit)
    return np.array(found)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "layers"),
    [
        (("activation=relu",), 8),
        (("activation=tanh", "residual=pre_activation", "model.branch=2"), 14),
        (("activation=gelu", "normalization=layer", "residual=plain"), 8),
    ],
)
def test_lsuv_gives_every_layer_s_pre_activations_unit_variance(words, layers):
    found = preactivations(*started("initializer=lsuv", "initializer.tolerance=0.001", *words))
    assert len(found) == layers
    np.testing.assert_allclose(found, 1, atol=0.001)


@pytest.mark.slow
def test_lsuv_leaves_alone_what_is_near_enough():
    loose = started("initializer=lsuv", "initializer.tolerance=1e6", "activation=relu")
    usual = started("initializer=orthogonal", "activation=relu")
    for path, value in usual[1].params.items():
        np.testing.assert_allclose(loose[1].params[path], value, atol=1e-6)
    assert np.abs(preactivations(*loose) - 1).max() > 0.5


@pytest.mark.slow
def test_a_looks_linear_network_is_linear_and_keeps_every_length():
    blocks, state, x = started("initializer=looks_linear", "activation=crelu")
    run = lambda x: chain.forward(blocks, state.params, {}, x, jax.random.key(0), train=False)[0]
    a, b = x, jax.random.normal(jax.random.key(6), x.shape)
    np.testing.assert_allclose(run(2 * a - 3 * b), 2 * run(a) - 3 * run(b), atol=2e-4)
    jacobian = jax.jacobian(lambda x: run(x[None])[0])(x[0])  # 4 × 9, of matrices with orthonormal sides
    assert np.linalg.norm(jacobian, 2) <= 1 + 1e-5
    kernel = np.asarray(state.params["hidden/linear/kernel"])
    assert kernel.shape == (6, 96, 48)
    np.testing.assert_array_equal(kernel[:, :48], -kernel[:, 48:])
    np.testing.assert_allclose(kernel[0, :48].T @ kernel[0, :48], np.eye(48), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "sigma_b"), [("tanh", 0.05**0.5), ("sigmoid", 0.5), ("selu", 0.0), ("relu", 0.0)]
)
def test_critical_is_the_reference_s_line(name, sigma_b):
    wanted = math.sqrt(critical_weight(activation({"name": name}), sigma_b**2))
    assert critical_sigma({"name": name}, sigma_b) == pytest.approx(wanted, rel=1e-9)
    the = recipe("initializer=critical", f"activation={name}", f"initializer.sigma_b={sigma_b!r}")
    assert the.initializer["sigma_w"] == pytest.approx(wanted, rel=1e-9)
    assert check(the) == the  # a stored recipe is run again as it is


@pytest.mark.slow
def test_the_critical_network_has_the_gain_one():
    words = ("width=300", "depth=30", "batch_size=16", "activation=tanh", "initializer=critical")
    curve = passes(*words, "initializer.sigma_b=0.3", networks=4).backward
    slope = (curve[:, 5] - curve[:, 25]).mean() / 20
    assert slope == pytest.approx(0, abs=0.03)  # the drift of width 300 is 0.01


def bent(z):
    return jnp.clip(z, -0.7, 1.3)


@pytest.mark.slow
def test_a_user_s_own_activation_has_its_critical_point_too():
    found = critical_sigma({"name": "tests.models.test_start:bent"}, 0.3)
    low, high = -0.7, 1.3
    z = np.linspace(-12, 12, 400_001)
    density = np.exp(-z * z / 2) / math.sqrt(2 * math.pi) * (z[1] - z[0])
    q = 1.0
    for _ in range(300):
        q = found**2 * (np.clip(math.sqrt(q) * z, low, high) ** 2 @ density) + 0.09
    inside = (math.sqrt(q) * z > low) & (math.sqrt(q) * z < high)
    assert found**2 * (inside @ density) == pytest.approx(1, abs=1e-4)


@pytest.mark.few(2)
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("initializer=critical", "activation=gelu"), "activation=gelu has no stable critical point"),
        (("initializer=critical", "initializer.sigma_w=1.3"), "choose initializer=normal to set sigma_w"),
        (("initializer=critical", "initializer.sigma_w=autom"), "must be a number above 0 or auto"),
        (("initializer=looks_linear",), "made for activation=crelu, not tanh"),
        (("activation=crelu", "residual=pre_activation"), "choose residual=plain"),
        (("residual=fixup", "normalization=weight_norm"), "which have no direction"),
        (("normalization=group", "normalization.groups=5"), "groups=5 does not divide the 48 units"),
    ],
)
def test_parts_that_do_not_fit_are_refused_in_one_line(words, told):
    with pytest.raises(RecipeError) as caught:
        recipe(*SIZE, *words)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_groups_may_divide_what_an_activation_has_widened():
    the = recipe(*SIZE, "normalization=group", "normalization.groups=32", "normalization.place=after",
                 "activation=crelu")  # fmt: skip
    assert the.normalization["groups"] == 32
    with pytest.raises(RecipeError, match="48 units"):
        check(replace(the, normalization=the.normalization | {"place": "before"}))
