"""Every measure of a step against the float64 reference, for each part: the same weights, the same batch."""

import math
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import measures, rules
from tests.driver import LINEAR, Driver, batch, driver, recipe, tree
from tests.reference import network

# each activation, normalization and place, residual, clip, penalty, optimizer and schedule at least once
CASES = {
    "linear": LINEAR,
    "sigmoid": ("activation=sigmoid", "normalization=batch", "residual=plain", "clip=norm", "penalty=l2"),
    "tanh": ("activation=tanh", "normalization=layer", "residual=scaled", "clip=value", "optimizer=adam"),
    "relu": ("activation=relu", "normalization=rms", "clip=norm", "penalty=l2", "schedule=linear"),
    "leaky_relu": (
        "activation=leaky_relu",
        "normalization=batch",
        "normalization.place=after",
        "residual=scaled",
        "optimizer=momentum",
    ),
    "gelu": (
        "activation=gelu",
        "normalization=layer",
        "normalization.place=after",
        "residual=plain",
        "clip=value",
        "penalty=l2",
    ),
    "selu": (
        "activation=selu",
        "normalization=rms",
        "normalization.place=after",
        "clip=norm",
        "schedule=exponential",
    ),
}
NUMBERS = {  # such that each part has something to do
    "lr": 0.05,
    "penalty__strength": 0.3,
    "activation__slope": 0.2,
    "schedule__end": 0.25,
    "schedule__period": 3.0,
    "normalization__epsilon": 1e-3,
}
# float32 adds about 1e-7 a product; sums over a few hundred of them, through six layers, stay below 2e-5
CLOSE = 2e-5


@pytest.fixture(scope="module", params=CASES)
def pair(request):
    """What gradlab measures and what the reference says, of one step from random weights."""
    found = driver(*CASES[request.param])
    threshold = {"norm": 0.2, "value": 0.01}.get(found.recipe.clip["name"])
    changes = {key: value for key, value in NUMBERS.items() if key.replace("__", ".") in found.numbers()}
    changes |= {} if threshold is None else {"clip__threshold": threshold}
    state, (x, y) = found.random(), batch()
    before = tree(state.params)
    taken = found.train_step(state, (x, y), at=2, **changes)
    return taken, expected(found.recipe, changes, before, tree(state.stats), x, y)


def expected(recipe, changes, params, stats, x, y):
    """All columns of the step, by the definitions."""
    part = lambda family: (
        getattr(recipe, family)
        | {key.partition("__")[2]: value for key, value in changes.items() if key.startswith(f"{family}__")}
    )
    recipe = replace(recipe, activation=part("activation"), normalization=part("normalization"))
    found = network(recipe, params, stats, x, y)
    grads = rules.penalized(part("penalty"), params, found.grads)
    clipped = rules.clip(part("clip"), grads)
    rate = changes["lr"] * rules.factor(part("schedule"), 2, 20)
    updates = rules.Optimizer(part("optimizer")).delta(clipped, rate)
    steps = {"loss": found.loss, "penalty": rules.penalty(part("penalty"), params), "learning_rate": rate}
    steps |= {"weight_zeros": math.nan, "phase": 0, "evaluations": 2}
    return {
        "layers": measures.signals(recipe, found),
        "parameters": measures.parameters(recipe.depth, params, found.grads, updates, "float32"),
        "steps": steps | measures.clipping(grads, clipped) | acted(recipe, grads, clipped),
        "params": {path: value + updates[path] for path, value in params.items()},
        "stats": found.stats,
    }


def acted(recipe, grads, clipped):
    """The share of entries that the clip changed; a norm clip changes all or none."""
    moved = any((grads[path] != clipped[path]).any() for path in grads)
    return {"clipped": float(moved)} if recipe.clip["name"] == "norm" else {}


@pytest.mark.few(1)
def test_signals_are_the_reference_s(pair):
    taken, wanted = pair
    for column in wanted["layers"].keys() - {"centred", "effective_rank"}:  # which this row has not measured
        values = wanted["layers"][column]
        np.testing.assert_allclose(taken.layers[column], values, atol=CLOSE, err_msg=column)


@pytest.mark.few(1)
def test_parameters_are_the_reference_s(pair):
    taken, wanted = pair
    assert taken.parameters.keys() == wanted["parameters"].keys()
    for key, columns in wanted["parameters"].items():
        for column, value in columns.items():
            if column in ("log10_gradient", "log10_update") and value < -12:
                assert taken.parameters[key][column] < -6  # zero but for rounding: a bias before batch norm
            elif column not in ("zeros", "update_lost"):
                assert taken.parameters[key][column] == pytest.approx(value, abs=CLOSE), (key, column)


@pytest.mark.few(1)
def test_steps_are_the_reference_s(pair):
    taken, wanted = pair
    assert taken.steps.keys() == wanted["steps"].keys()
    for column, value in wanted["steps"].items():
        assert taken.steps[column] == pytest.approx(value, rel=CLOSE, abs=CLOSE, nan_ok=True), column


@pytest.mark.few(1)
def test_the_state_after_is_the_reference_s(pair):
    taken, wanted = pair
    for path, value in wanted["params"].items():
        np.testing.assert_allclose(taken.state.params[path], value, atol=CLOSE, err_msg=path)
    for path, value in wanted["stats"].items():
        np.testing.assert_allclose(taken.state.stats[path], value, rtol=CLOSE, atol=1e-6, err_msg=path)


@pytest.mark.few(1)
@pytest.mark.parametrize("rate", [1e-9, 1e-7, 1e-6])
def test_lost_updates_are_counted_as_they_are_lost(rate):
    found = driver(*CASES["linear"])
    state = found.random()
    taken = found.train_step(state, batch(), lr=rate)
    shares = []
    for (layer, name), columns in taken.parameters.items():
        prefix = "input" if layer == 0 else "output" if layer == 5 else "hidden"
        old, new = (np.asarray(one.params[f"{prefix}/{name}"]) for one in (state, taken.state))
        same = (old == new)[layer - 1] if prefix == "hidden" else old == new
        assert columns["update_lost"] == pytest.approx(same.mean(), abs=1e-6)
        shares.append(columns["update_lost"])
    assert min(shares) < 1


@pytest.mark.slow
def test_dead_units_and_zero_gradients_are_counted():
    found = driver(*CASES["leaky_relu"])
    state = found.random()
    params = {path: np.array(value) for path, value in state.params.items()}
    params["hidden/linear/kernel"][1, :, :3] = 0
    params["hidden/linear/bias"][1, :3] = -1  # three units that no example switches on
    taken = found.train_step(state._replace(params=state.params | params), batch(), activation__slope=0.0)
    kernel, bias = taken.parameters[2, "linear/kernel"], taken.parameters[2, "linear/bias"]
    assert taken.layers["dead"][2] == pytest.approx(3 / 8)
    assert (bias["zeros"], kernel["zeros"]) == (3, 24)
    assert kernel["nans"] == kernel["infs"] == 0
    assert (taken.layers["saturated"][:-1] == 0).all()  # a flat piece of a ReLU is off, not saturated


@pytest.mark.slow
def test_a_clip_that_does_nothing_says_so():
    for name in ("relu", "gelu"):
        found = driver(*CASES[name])
        taken = found.train_step(found.random(), batch(), clip__threshold=1e6)
        assert taken.steps["clipped"] == 0
        assert taken.steps["clip_cosine"] == pytest.approx(1, abs=1e-6)
        assert taken.steps["log10_clipped"] == pytest.approx(taken.steps["log10_gradient"], abs=1e-6)


def test_everything_zero_is_a_true_zero_and_no_nan():
    found = driver(*CASES["linear"])
    state = found.random(bias=0.0)
    x, y = batch()
    taken = found.train_step(state, (0 * x, y))
    assert (taken.layers["log10_forward"] == -math.inf).all()
    assert (taken.layers["cosine"] == 0).all()
    assert (taken.layers["var"] == 0).all()
    assert np.isfinite(taken.layers["log10_backward"]).all()  # the weights still carry it
    assert taken.parameters[2, "linear/kernel"]["log10_gradient"] == -math.inf
    assert taken.parameters[2, "linear/kernel"]["zeros"] == 64
    assert taken.parameters[2, "linear/bias"]["log10_weight"] == -math.inf


def test_a_nan_weight_is_seen_from_its_layer_on():
    found = driver(*CASES["linear"])
    state = found.random()
    kernel = np.array(state.params["hidden/linear/kernel"])
    kernel[1, 0, 0] = np.nan
    taken = found.train_step(state._replace(params=state.params | {"hidden/linear/kernel": kernel}), batch())
    assert np.isfinite(taken.layers["log10_forward"][:2]).all()
    assert np.isnan(taken.layers["log10_forward"][2:]).all()
    assert np.isnan(taken.layers["log10_backward"]).all()
    assert np.isnan(taken.steps["loss"])
    assert np.isnan(taken.steps["log10_gradient"])
    assert np.isnan(taken.parameters[2, "linear/kernel"]["log10_weight"])
    assert np.isfinite(taken.parameters[3, "linear/kernel"]["log10_weight"])
    assert taken.parameters[4, "linear/kernel"]["nans"] == 64


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float64", "bfloat16", "float16"])
@pytest.mark.parametrize("case", CASES)
def test_every_part_keeps_its_dtypes_in_every_precision(case, dtype):
    """Traced only: a state of other dtypes after a step would break the scan."""
    with jax.enable_x64(dtype == "float64"):
        found = Driver(recipe(*CASES[case], f"dtype={dtype}"))
        before = jax.eval_shape(found._start, found.numbers(), jax.random.key(0))
        data = (jnp.zeros((12, 9), dtype), jnp.zeros(12, jnp.int32))
        time = (jnp.int32(0), jnp.int32(9))
        after, row = jax.eval_shape(
            lambda *given: found._step(*given, True),
            found.numbers(),
            before,
            *data,
            jax.random.key(0),
            *time,
        )
    kinds = lambda tree: jax.tree.map(lambda leaf: str(leaf.dtype), tree)
    assert kinds(before) == kinds(after)
    assert set(jax.tree.leaves(kinds(before.params))) == {"float64" if dtype == "float64" else "float32"}
    assert row.layers.dtype == row.steps.dtype == np.float32
