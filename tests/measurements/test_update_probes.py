"""Probes of the update against NumPy in float64: ratios, distances, directions, the optimizer's moments."""

from functools import cache

import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradlab
from gradlab.measurements.probe import UpdateSignal, probe
from gradlab.measurements.probes.optimizer_state import FIRST, SECOND, moments
from gradlab.numerics.norms import log2_norms
from tests.recipes import TINY

SHAPES = {
    "hidden/linear/bias": (3, 5),
    "hidden/linear/kernel": (3, 5, 5),
    "input/linear/bias": (5,),
    "input/linear/kernel": (4, 5),
}
AXES = {path: int(path.startswith("hidden")) for path in SHAPES}
LAYERS = {path: range(1, 4) if AXES[path] else range(1) for path in SHAPES}
KERNELS = frozenset(path for path in SHAPES if path.endswith("kernel"))
RATE = 0.25


def tree(seed, scale=1.0):
    rng = np.random.default_rng(seed)
    arrays = {path: scale * rng.normal(size=shape) for path, shape in SHAPES.items()}
    return {path: jnp.asarray(array, jnp.float32) for path, array in arrays.items()}


def signal(**changes):
    grads = changes.get("grads", tree(1))
    given = {
        "params": tree(0),
        "grads": grads,
        "norms": None if "norms" in changes else log2_norms(grads, AXES),
        "true_norms": {},
        "direction": tree(2),
        "step_size": jnp.float32(RATE),
        "learning_rate": jnp.float32(RATE),
        "stacked_axes": AXES,
        "layers_of": LAYERS,
        "kernels": KERNELS,
        "layers": 5,  # the last one has no kernel
        "loss": jnp.zeros(()),
        "optimizer": (),
    }
    return UpdateSignal(**(given | changes))


@cache
def made(name):
    (one,) = probe.make({"name": name})
    return one


def by_layer(values):
    """The kernels of each of five layers as one float64 vector; of a layer without any an empty one."""
    vectors = [values["input/linear/kernel"].ravel(), *values["hidden/linear/kernel"].reshape(3, -1)]
    return [np.asarray(v, np.float64) for v in vectors]


def all_of(values):
    return np.concatenate([np.asarray(value, np.float64).ravel() for value in values.values()])


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e25])  # squares leave float32
def test_the_update_ratio_is_that_of_a_layer_s_kernels(scale):
    got = made("update_ratio").update(signal(direction=tree(2, scale)))["log10_update_ratio"]
    moved, weights = by_layer(tree(2, scale)), by_layer(tree(0))
    pairs = zip(moved, weights, strict=True)
    expected = [np.log10(RATE * np.linalg.norm(d) / np.linalg.norm(w)) for d, w in pairs]
    np.testing.assert_allclose(got[:4], expected, atol=2e-6)
    assert np.isnan(got[4])


def test_the_update_ratio_of_zero_weights_is_infinite_and_of_nothing_null():
    zeros = {path: np.zeros_like(value) for path, value in tree(0).items()}
    got = made("update_ratio").update(signal(params=zeros))["log10_update_ratio"]
    assert (np.asarray(got[:4]) == np.inf).all()
    got = made("update_ratio").update(signal(params=zeros, direction=zeros))["log10_update_ratio"]
    assert np.isnan(got).all()


def test_distances_are_from_the_start():
    start = tree(7)
    got, after = made("distance").update(signal(), start)
    assert after is start
    for path, value in tree(0).items():
        moved = (np.asarray(value, np.float64) - np.asarray(start[path], np.float64)).reshape(
            3 if AXES[path] else 1, -1
        )
        expected = np.log10(np.linalg.norm(moved, axis=1))
        np.testing.assert_allclose(np.ravel(got["log10_distance"][path]), expected, atol=2e-6)
    relative = np.linalg.norm(all_of(tree(0)) - all_of(start)) / np.linalg.norm(all_of(start))
    assert float(got["log10_relative_distance"]) == pytest.approx(np.log10(relative), abs=2e-6)


def test_at_the_start_the_distance_is_exactly_zero():
    got, _ = made("distance").update(signal(), tree(0))
    assert float(got["log10_relative_distance"]) == -np.inf


def cosine(a, b):
    return a @ b / (np.linalg.norm(a) * np.linalg.norm(b))


@pytest.mark.parametrize(("mine", "others"), [(1.0, 1.0), (1e-30, 1e25), (1e-25, 1e-25)])
def test_cosines_are_those_of_the_vectors_at_any_scale(mine, others):
    grads, before = tree(1, mine), tree(3, others)
    got, after = made("direction").update(signal(grads=grads), before)
    for path, value in grads.items():
        np.testing.assert_array_equal(after[path], value)
    for name, other in (("gradient_cosine", before), ("descent_cosine", tree(2))):
        expected = [cosine(a, b) for a, b in zip(by_layer(grads), by_layer(other), strict=True)]
        np.testing.assert_allclose(got[name][:4], expected, atol=3e-6)
        assert np.isnan(got[name][4])
        whole = float(got[f"network_{name}"])
        assert whole == pytest.approx(cosine(all_of(grads), all_of(other)), abs=3e-6)


def test_the_cosine_with_itself_is_one_and_with_zeros_undefined():
    state = made("direction").init(tree(1))
    got, _ = made("direction").update(signal(direction=tree(1)), state)
    np.testing.assert_allclose(got["descent_cosine"][:4], 1, atol=1e-6)
    assert np.isnan(got["gradient_cosine"]).all()
    assert np.isnan(got["network_gradient_cosine"])


@pytest.mark.parametrize("rule", ["adam", "rmsprop", "momentum"])
def test_the_moments_are_those_in_optax_s_state(rule):
    transformation = {
        "adam": optax.adam(RATE),
        "rmsprop": optax.rmsprop(RATE),
        "momentum": optax.sgd(RATE, momentum=0.9),
    }[rule]
    params, grads = tree(0), tree(1)
    state = transformation.init(params)
    _, state = transformation.update(grads, state, params)
    got = made("optimizer_state").update(signal(optimizer=state))
    factor = {"adam": 0.1, "momentum": 1.0}.get(rule)  # after one step m = factor·g
    for path, g in grads.items():
        rows = np.asarray(g, np.float64).reshape(3 if AXES[path] else 1, -1)
        first = np.ravel(got["log10_first_moment"][path])
        if factor is None:
            assert np.isnan(first).all()
        else:
            np.testing.assert_allclose(first, np.log10(factor * np.linalg.norm(rows, axis=1)), atol=1e-5)
        second = np.ravel(got["log10_second_moment"][path])
        share = {"adam": 1e-3, "rmsprop": 0.1}.get(rule)
        if share is None:
            assert np.isnan(second).all()
        else:
            squares = np.log10(share * np.linalg.norm(rows**2, axis=1))
            np.testing.assert_allclose(second, squares, atol=1e-4)


def test_the_effective_step_is_the_update_over_the_learning_rate():
    got = made("optimizer_state").update(signal(step_size=jnp.float32(1.0)))["log10_effective_step"]
    expected = [np.log10(np.sqrt((kernel**2).mean()) / RATE) for kernel in by_layer(tree(2))]
    np.testing.assert_allclose(got[:4], expected, atol=2e-6)
    assert np.isnan(got[4])


def test_a_field_of_another_shape_is_no_moment():
    shapes = {path: value.shape for path, value in tree(0).items()}
    state = optax.contrib.muon(0.1).init(tree(0))
    assert moments((), FIRST, shapes) == {}
    assert not moments(optax.novograd(0.1).init(tree(0)), SECOND, shapes)
    assert set(moments(state, FIRST, shapes)) <= set(shapes)


@pytest.mark.parametrize(
    "words",
    [
        ("optimizer=adam",),
        pytest.param(("optimizer=phases", "seeds=2"), marks=pytest.mark.slow),
        pytest.param(("optimizer=optax:lamb", "accumulate=2"), marks=pytest.mark.slow),
        pytest.param(("freeze=[input/*]", "optimizer=momentum", "dtype=bfloat16"), marks=pytest.mark.slow),
    ],
)
def test_a_run_has_them_and_is_trained_as_without(tmp_path, words):
    names = ("update_ratio", "distance", "direction", "optimizer_state")
    every = [f"probes.{name}.every={4 if name == 'optimizer_state' else 1}" for name in names]
    run = gradlab.run(*TINY, *words, f"probe=[standard,{','.join(names)}]", *every, f"outputs={tmp_path}")
    plain = gradlab.run(*TINY, *words, f"outputs={tmp_path}")
    assert run.steps.loss.equals(plain.steps.loss)
    rows = run.layers[(run.layers.source == "batch").to_numpy()]
    ratio = rows.log10_update - rows.log10_weight
    known = rows.log10_update_ratio.notna().to_numpy() & np.isfinite(ratio.to_numpy(float, na_value=np.nan))
    np.testing.assert_allclose(
        rows.log10_update_ratio[known].astype(float), ratio[known].astype(float), atol=2e-6
    )
    assert known.any()
    steps = run.steps[(run.steps.source == "batch").to_numpy()]
    assert steps.network_gradient_cosine.isna().to_numpy()[steps.step == 0].all()
    assert steps.network_gradient_cosine.notna().to_numpy()[steps.step > 0].all()
    assert (steps.log10_relative_distance[steps.step == 0].astype(float) == -np.inf).all()
    for column in ("log10_first_moment", "log10_second_moment", "log10_effective_step"):
        assert set(rows.step[rows[column].notna().to_numpy()]) <= {0, 4, 8}, column
    assert {0, 4} <= set(rows.step[rows.log10_effective_step.notna().to_numpy()])
