"""Losses against float64 NumPy and PyTorch, and the loss that a constant output can reach."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from scipy.optimize import minimize

from gradlab.parts.losses.chance import chance_loss
from gradlab.parts.losses.contract import loss
from gradlab.parts.losses.surfaces import COORDINATES
from gradlab.recipe.errors import RecipeError
from gradlab.recipe.paths import CONF

CLASSES = 4
FILES = [OmegaConf.to_container(OmegaConf.load(path)) for path in sorted((CONF / "loss").glob("*.yaml"))]
USUAL = [part for part in FILES if part["name"] not in COORDINATES]  # the others: test_surfaces.py
PARTS = [*USUAL, {"name": "huber", "delta": 0.2}, {"name": "huber", "delta": 0.6}]
named = lambda part: " ".join(map(str, part.values()))


def formula(part, outputs, y):
    """One number an example, in float64."""
    rows = np.eye(CLASSES)[y] if y.ndim == 1 else y
    e = outputs - rows
    match part["name"]:
        case "cross_entropy":
            top = outputs.max(1, keepdims=True)
            chances = outputs - top - np.log(np.exp(outputs - top).sum(1, keepdims=True))
            return -(rows * chances).sum(1)
        case "mse":
            return (e**2).sum(1) / CLASSES
        case "l1":
            return np.abs(e).sum(1) / CLASSES
        case "huber":
            d = part["delta"]
            return np.where(np.abs(e) < d, 0.5 * e * e, d * np.abs(e) - 0.5 * d * d).sum(1) / CLASSES


def drawn(seed=0, count=50):
    rng = np.random.default_rng(seed)
    return 3 * rng.standard_normal((count, CLASSES)), rng.choice(CLASSES, count, p=[0.1, 0.2, 0.2, 0.5])


def test_every_loss_is_here():
    assert {part["name"] for part in PARTS} == loss.makers.keys() - COORDINATES.keys()


@pytest.mark.few(1)
@pytest.mark.parametrize("part", PARTS, ids=named)
def test_a_loss_and_its_gradient_are_the_formula_s(part):
    outputs, y = drawn()
    with jax.enable_x64(True):
        each = loss.make(part)
        found = each(jnp.asarray(outputs), jnp.asarray(y))
        grad = jax.grad(lambda o: each(o, jnp.asarray(y)).sum())(jnp.asarray(outputs))
    np.testing.assert_allclose(found, formula(part, outputs, y), rtol=1e-12)
    for c in range(CLASSES):
        shift = 1e-6 * np.eye(CLASSES)[c]
        numeric = (formula(part, outputs + shift, y) - formula(part, outputs - shift, y)) / 2e-6
        np.testing.assert_allclose(grad[:, c], numeric, atol=1e-8)


@pytest.mark.few(1)
@pytest.mark.parametrize("part", PARTS, ids=named)
def test_targets_may_be_numbers_of_the_outputs_shape(part):
    outputs, y = drawn()
    each, rows = loss.make(part), np.eye(CLASSES, dtype=np.float32)[y]
    given = jnp.asarray(outputs, jnp.float32)
    np.testing.assert_allclose(each(given, jnp.asarray(rows)), each(given, jnp.asarray(y)), rtol=1e-5)


def test_pytorch_has_the_same():
    torch = pytest.importorskip("torch")
    functional, (outputs, y) = torch.nn.functional, drawn()
    rows = torch.tensor(np.eye(CLASSES)[y])
    theirs = {
        "cross_entropy": lambda o: functional.cross_entropy(o, torch.tensor(y)),
        "mse": lambda o: functional.mse_loss(o, rows),
        "l1": lambda o: functional.l1_loss(o, rows),
        "huber 1.0": lambda o: functional.huber_loss(o, rows),
        "huber 0.2": lambda o: functional.huber_loss(o, rows, delta=0.2),
    }
    mean = lambda o, part: loss.make(part)(o, jnp.asarray(y)).mean()
    for part in PARTS:
        if named(part) in theirs:
            x = torch.tensor(outputs, requires_grad=True)
            wanted = theirs[named(part)](x)
            wanted.backward()
            with jax.enable_x64(True):
                value, grad = jax.value_and_grad(mean)(jnp.asarray(outputs), part)
            assert float(value) == pytest.approx(wanted.item(), rel=1e-12)
            np.testing.assert_allclose(grad, x.grad, rtol=1e-10, atol=1e-14)


@pytest.mark.slow
def test_the_cross_entropy_pulls_by_root_two_at_most():
    logits = jnp.array([[1e4, -1e4, 0.0], [0.0, 0.0, 0.0], [-50.0, 80.0, 1.0]])
    each = loss.make({"name": "cross_entropy"})
    grad = jax.grad(lambda z: each(z, jnp.array([1, 2, 0])).sum())(logits)
    lengths = np.linalg.norm(grad, axis=1)
    assert (lengths <= np.sqrt(2) + 1e-6).all()
    assert lengths[0] == pytest.approx(np.sqrt(2))


@pytest.mark.few(2)
@pytest.mark.parametrize("kind", ["labels", "numbers"])
@pytest.mark.parametrize("part", PARTS, ids=named)
def test_chance_is_the_least_loss_of_a_constant_output(part, kind):
    y = drawn(1, 97)[1]
    if kind == "numbers":
        rng = np.random.default_rng(3)
        y = (
            rng.dirichlet(np.ones(CLASSES), 97)
            if part["name"] == "cross_entropy"
            else rng.gamma(1.0, 2.0, (97, 4))
        )
    mean = lambda o: formula(part, np.tile(o, (len(y), 1)), y).mean()
    found = [minimize(mean, start * np.ones(CLASSES), method="Powell", tol=1e-12).fun for start in (0.1, 0.9)]
    assert chance_loss(part, y, CLASSES) == pytest.approx(min(found), rel=1e-6)


def test_chance_in_closed_form():
    y = np.repeat([0, 1, 2, 3], [10, 20, 20, 50])
    p = np.array([0.1, 0.2, 0.2, 0.5])
    assert chance_loss({"name": "cross_entropy"}, y, 4) == pytest.approx(-(p * np.log(p)).sum(), rel=1e-12)
    assert chance_loss({"name": "mse"}, y, 4) == pytest.approx((1 - (p**2).sum()) / 4, rel=1e-12)
    assert chance_loss({"name": "l1"}, y, 4) == pytest.approx(p.sum() / 4, rel=1e-12)  # the median says 0
    assert chance_loss({"name": "huber", "delta": 1.0}, y, 4) == pytest.approx(
        (p * (1 - p)).sum() / 8, rel=1e-12
    )
    assert chance_loss({"name": "cross_entropy"}, np.zeros(9, int), 4) == 0.0  # a class that is not there


@pytest.mark.few(1)
@settings(max_examples=50)
@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=30), st.lists(st.floats(-2, 2), min_size=4, max_size=4)
)
@pytest.mark.parametrize("part", PARTS, ids=named)
def test_no_constant_output_is_below_chance(part, labels, output):
    y = np.array(labels)
    mean = formula(part, np.tile(output, (len(y), 1)), y).mean()
    assert mean >= chance_loss(part, y, CLASSES) - 1e-9


def squared_hinge(outputs, labels, margin=1.0):
    """A loss of one's own: the right class is to be ahead of each other by a margin."""
    right = jnp.take_along_axis(outputs, labels[:, None], 1)
    return (jnp.maximum(0, margin - right + outputs) ** 2).sum(-1)


def mean_of_all(outputs, labels):
    """Not a loss: it is one number for all examples."""
    return squared_hinge(outputs, labels).mean()


def endless(outputs, labels):
    """Not finite where the outputs are equal."""
    return jnp.log(jnp.abs(outputs - outputs[:, :1]).sum(-1))


OWN = f"{__name__}:squared_hinge"


@pytest.mark.slow
def test_a_function_of_one_s_own_is_a_loss_and_has_its_chance():
    part = loss.check({"name": OWN})
    assert part == {"name": OWN, "margin": 1.0}
    outputs, y = drawn()
    each = loss.make(part)
    assert each(jnp.asarray(outputs), jnp.asarray(y)).shape == (50,)
    mean = lambda o: float(each(jnp.tile(jnp.asarray(o, jnp.float32), (50, 1)), jnp.asarray(y)).mean())
    wanted = minimize(mean, np.zeros(CLASSES), method="Powell").fun
    assert chance_loss(part, y, CLASSES) == pytest.approx(wanted, rel=1e-3)


@pytest.mark.parametrize(("name", "said"), [("mean_of_all", "one number per example"), ("endless", "finite")])
def test_a_function_that_is_no_loss_is_refused(name, said):
    with pytest.raises(RecipeError, match=said):
        chance_loss(loss.check({"name": f"{__name__}:{name}"}), drawn()[1], CLASSES)


@pytest.mark.few(1)
@pytest.mark.parametrize("part", PARTS, ids=named)
def test_its_numbers_may_be_traced(part):
    outputs, y = drawn()
    numbers = {key: jnp.float32(value) for key, value in part.items() if key != "name"}
    given = (jnp.asarray(outputs, jnp.float32), jnp.asarray(y))
    found = jax.jit(lambda numbers, given: loss.make(part | numbers)(*given))(numbers, given)
    np.testing.assert_allclose(found, formula(part, outputs, y), rtol=2e-5)
