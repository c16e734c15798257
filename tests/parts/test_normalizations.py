"""Normalizations beside PyTorch's of the same name, and what must hold of kernels that are normalized."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from gradlab.parts.normalizations import normalization
from tests.test_conf import CONF, content

B, N, EPSILON = 12, 8, 1e-3


def made(name, width=N, **values):
    part = content(CONF / "normalization" / f"{name}.yaml")
    part |= {"epsilon": EPSILON} if "epsilon" in part else {}
    return normalization.make(part | values).make(width, jnp.dtype("float32"))


def inputs(shape=(B, N), seed=0):
    return np.random.default_rng([3, seed]).standard_normal(shape).astype(np.float32) * 2 + 1


def put(module, **values):
    """Both libraries' layer with these parameters."""
    for name, value in values.items():
        setattr(module, name, nnx.Param(jnp.asarray(value)))


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


@pytest.mark.few(1)
@pytest.mark.parametrize("name", ["batch", "layer", "group", "rms"])
def test_outputs_and_gradients_in_training_are_pytorch_s(name, torch):
    kinds = {
        "batch": lambda: torch.nn.BatchNorm1d(N, eps=EPSILON),
        "layer": lambda: torch.nn.LayerNorm(N, eps=EPSILON),
        "group": lambda: torch.nn.GroupNorm(2, N, eps=EPSILON),
        "rms": lambda: torch.nn.RMSNorm(N, eps=EPSILON),
    }
    theirs = kinds[name]()
    gamma, beta, g = inputs((N,), 1), inputs((N,), 2), inputs(seed=3)

    def run(x):  # a module of running averages lives within one trace
        ours = made(name, **({"groups": 2} if name == "group" else {}))
        put(ours, scale=gamma, **({} if name == "rms" else {"bias": beta}))
        ours.set_attributes(use_running_average=False, raise_if_not_found=False)
        return ours(x)

    with torch.no_grad():
        theirs.weight.copy_(torch.tensor(gamma))
        if name != "rms":
            theirs.bias.copy_(torch.tensor(beta))
    x = torch.tensor(inputs(), requires_grad=True)
    y = theirs(x)
    y.backward(torch.tensor(g))
    mine, pull = jax.vjp(run, jnp.asarray(inputs()))
    np.testing.assert_allclose(mine, y.detach().numpy(), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(pull(jnp.asarray(g))[0], x.grad.numpy(), rtol=1e-5, atol=1e-5)


def test_running_averages_and_evaluation_are_pytorch_s_but_for_the_unbiased_variance(torch):
    theirs = torch.nn.BatchNorm1d(N, eps=EPSILON, momentum=0.3)
    ours = made("batch", momentum=0.7)  # the share kept, and not the share that is new
    variance = np.ones(N)
    for seed in range(3):
        x = inputs(seed=seed)
        ours(jnp.asarray(x), use_running_average=False)
        theirs(torch.tensor(x))
        variance = 0.7 * variance + 0.3 * x.var(0)  # over B; PyTorch's is over B − 1
    np.testing.assert_allclose(ours.mean[...], theirs.running_mean.numpy(), rtol=1e-5)
    np.testing.assert_allclose(ours.var[...], variance, rtol=1e-5)
    unbiased = 0.343 + (variance - 0.343) * B / (B - 1)
    np.testing.assert_allclose(theirs.running_var.numpy(), unbiased, rtol=1e-5)
    theirs.running_var.copy_(torch.tensor(np.asarray(ours.var[...])))
    x = inputs(seed=9)
    evaluated = ours(jnp.asarray(x), use_running_average=True)
    np.testing.assert_allclose(evaluated, theirs.eval()(torch.tensor(x)).detach().numpy(), atol=2e-6)


def test_one_group_is_layer_norm_and_a_group_sees_its_own_units():
    x = inputs()
    np.testing.assert_allclose(made("group", groups=1)(x), made("layer")(x), atol=1e-6)
    halves = made("group", groups=2)(x)
    np.testing.assert_allclose(halves[:, :4], made("layer", width=4)(x[:, :4]), atol=1e-6)


def test_weight_norm_is_pytorch_s(torch):
    v, g, x = inputs((N, 5)), inputs((5,), 1), inputs()
    linear = torch.nn.utils.parametrizations.weight_norm(torch.nn.Linear(N, 5, bias=False), dim=0)
    lengths, direction = linear.parametrizations.weight.original0, linear.parametrizations.weight.original1
    with torch.no_grad():
        direction.copy_(torch.tensor(v.T))
        lengths.copy_(torch.tensor(g[:, None]))
    linear(torch.tensor(x)).sum().backward()
    ours = made("weight_norm", width=5)
    put(ours, scale=g)
    used, pull = jax.vjp(lambda v: ours(v), jnp.asarray(v))
    np.testing.assert_allclose(used.T, linear.weight.detach().numpy(), rtol=1e-5)
    cotangent = jnp.asarray(x).T @ jnp.ones((B, 5))
    np.testing.assert_allclose(pull(cotangent)[0].T, direction.grad.numpy(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose((used / g * cotangent).sum(0), lengths.grad.numpy()[:, 0], rtol=1e-4)


@pytest.mark.few(1)
@pytest.mark.parametrize("size", [1.0, 1e-30, 1e30])
def test_weight_norm_begins_as_the_drawn_kernel_at_any_size(size):
    v = (inputs((N, 5)) * size).astype(np.float32)
    v[:, 2] = 0
    ours = made("weight_norm", width=5)
    ours.start(jnp.asarray(v))
    used, pull = jax.vjp(lambda v: ours(v), jnp.asarray(v))
    np.testing.assert_allclose(used, v, rtol=1e-6)
    turned = np.asarray(pull(jnp.ones_like(used))[0], np.float64)
    assert np.isfinite(turned).all()
    products = (turned * v).sum(0) / np.sqrt((turned**2).sum(0) * (v.astype(float) ** 2).sum(0) + 1e-300)
    assert np.abs(products).max() < 1e-6  # V only turns


def test_standardized_kernels_have_mean_zero_and_the_said_variance():
    w = inputs((N, 5)).astype(np.float64)
    standard = (w - w.mean(0)) / np.sqrt(w.var(0) + EPSILON)  # Qiao et al. 2019, equation 9
    np.testing.assert_allclose(made("weight_standardization", width=5)(jnp.asarray(w)), standard, atol=1e-6)
    ours, g = made("scaled_standardization", width=5, gain=1.7), inputs((5,), 1)
    ours.start(jnp.asarray(w))
    put(ours, scale=g)
    scaled = 1.7 * g * (w - w.mean(0)) / np.sqrt(N * w.var(0) + EPSILON)  # Brock et al. 2021
    np.testing.assert_allclose(ours(jnp.asarray(w)), scaled, rtol=1e-5)


def test_every_normalization_is_tested_here_or_against_the_reference():
    here = {
        "batch",
        "layer",
        "group",
        "rms",
        "weight_norm",
        "weight_standardization",
        "scaled_standardization",
    }
    assert normalization.makers.keys() == here | {"none", "instance"}
