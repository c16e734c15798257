"""clip=per_example against a loop over the examples, each with its gradient by hand in float64 NumPy."""

import math

import numpy as np
import pytest

from gradlab.commands.compose.grid import grid
from gradlab.engine.prepare import prepare
from gradlab.recipe.errors import RecipeError
from gradlab.recipe.recipe import structure
from tests import reference, rules
from tests.driver import BATCH, batch, driver, tree
from tests.measures import length

PLAIN = ("depth=2", "lr=1.0", "probe=[gradient]", "snapshot=[]")
WORDS = (*PLAIN, "clip=per_example")
STEP = {"rtol": 2e-5, "atol": 1e-6}  # float32


def loop(recipe, params, threshold):
    """The mean of the clipped gradients of the examples, and the fraction of their entries that was clipped."""
    xs, ys = batch()
    part, axes = (
        recipe.clip | {"threshold": threshold},
        {path: int(path.startswith("hidden/")) for path in params},
    )
    mean, changed = {path: np.zeros(w.shape) for path, w in params.items()}, []
    for x, y in zip(xs, ys, strict=True):
        grads = reference.network(recipe, params, {}, x[None], y[None]).grads
        for path, g in rules.clip(part, grads, params, axes).items():
            mean[path] += g / BATCH
            changed.append((np.abs(g - grads[path]) > 1e-9 * np.abs(grads[path])).sum())
    return mean, sum(changed) / BATCH / sum(w.size for w in params.values())


def middle(recipe, params):
    """A threshold between the norms of the examples."""
    norms = [
        length(*reference.network(recipe, params, {}, x[None], y[None]).grads.values())
        for x, y in zip(*batch(), strict=True)
    ]
    return float(np.float32(np.median(norms)))


@pytest.mark.parametrize(
    "words",
    [
        (),
        pytest.param(("accumulate=3",), marks=pytest.mark.slow),
        pytest.param(("clip.thresholds={hidden 2/*: 0.05, output/*: 0.2}",), marks=pytest.mark.slow),
    ],
)
def test_a_step_is_the_mean_over_a_loop(words):
    found = driver(*WORDS, *words)
    state = found.random()
    params = tree(state.params)
    threshold = middle(found.recipe, params)
    mean, fraction = loop(found.recipe, params, threshold)
    taken = found.train_step(state, batch(), clip__threshold=threshold)
    for path, after in tree(taken.state.params).items():
        np.testing.assert_allclose(params[path] - after, mean[path], err_msg=path, **STEP)
    assert taken.steps["clipped"] == pytest.approx(fraction, abs=1e-6)
    assert 0 < fraction < 1
    assert taken.steps["log10_clipped"] == pytest.approx(math.log10(length(*mean.values())), abs=1e-5)
    raw = reference.network(found.recipe, params, {}, *batch()).grads
    assert taken.steps["log10_unclipped"] == pytest.approx(math.log10(length(*raw.values())), abs=1e-5)
    assert taken.steps["log10_gradient"] == taken.steps["log10_unclipped"]
    dot = sum((raw[path] * mean[path]).sum() for path in raw)
    cosine = dot / length(*raw.values()) / length(*mean.values())
    assert taken.steps["clip_cosine"] == pytest.approx(cosine, abs=1e-5)


@pytest.mark.slow
def test_measuring_changes_no_bit():
    found = driver(*WORDS)
    state = found.random()
    numbers = {"clip__threshold": middle(found.recipe, tree(state.params))}
    taken = found.train_step(state, batch(), **numbers).state
    unmeasured = found.train_step(state, batch(), measured=False, **numbers).state
    for path, after in taken.params.items():
        np.testing.assert_array_equal(unmeasured.params[path], after)


@pytest.mark.slow
def test_far_above_all_norms_it_is_the_gradient_of_the_batch():
    found, plain = driver(*WORDS), driver(*PLAIN, "clip=none")
    state = plain.random()
    free = plain.train_step(state, batch())
    taken = found.train_step(found.random(), batch(), clip__threshold=1e9)
    for path, after in tree(taken.state.params).items():
        np.testing.assert_allclose(after, tree(free.state.params)[path], **STEP)
    assert taken.steps["clipped"] == 0
    assert taken.steps["clip_cosine"] == pytest.approx(1, abs=1e-6)
    for name in free.layers:  # the measured rows are those of the raw mean gradient
        if "update" not in name:
            np.testing.assert_allclose(
                taken.layers[name], free.layers[name], rtol=1e-5, atol=1e-5, err_msg=name
            )


@pytest.mark.slow
def test_an_example_of_any_size_counts_as_any_other():
    """One example's input is 1e12 times as large: its gradient is at most the threshold, the mean is finite."""
    found = driver(*WORDS, "activation=linear")
    x, y = batch()
    x = x.copy()
    x[0] *= 1e12
    state = found.random()
    taken = found.train_step(state, (x, y), clip__threshold=0.25)
    moved = [after - tree(state.params)[path] for path, after in tree(taken.state.params).items()]
    assert length(*moved) <= 0.25 * (1 + 1e-5)
    assert taken.steps["log10_unclipped"] > 6


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("normalization=batch",), "clip=per_example: normalization=batch normalizes over the examples"),
        (("dropout=0.1",), "clip=per_example: dropout=0.1 would draw other masks"),
        (("residual=stochastic_depth",), "clip=per_example: residual=stochastic_depth would draw"),
        (("penalty=l2",), "clip=per_example: penalty=l2 adds the gradient of no example"),
        (("optimizer=sam",), "clip=per_example: optimizer=sam takes its gradient elsewhere"),
        (("optimizer=es",), "clip=per_example: optimizer=es takes its gradient elsewhere"),
        (("dtype=float16", "loss_scale.kind=dynamic"), "clip=per_example: loss_scale.kind=dynamic looks at"),
        (("clip.where=update",), "clip=per_example acts on gradients"),
    ],
)
def test_what_couples_examples_is_refused(words, message):
    with pytest.raises(RecipeError) as error:
        grid(["clip=per_example", *words])
    assert message in str(error.value)


def test_too_many_gradients_are_refused_and_fewer_at_a_time_are_not():
    words = ["clip=per_example", "depth=2", "width=20000", "batch_size=1000"]
    with pytest.raises(RecipeError, match=r"the gradients of 1000 examples take about [\d,]+ GiB"):
        _ = prepare(grid(words).recipes[0]).layout
    assert prepare(grid([*words, "width=32"]).recipes[0]).layout.entries


def test_thresholds_and_warm_up_are_numbers_and_patterns_are_structure():
    words = ("depth=2", "clip=per_example")
    one, two = (
        grid(
            [*words, f"clip.threshold={c}", f"clip.warmup={w}", f"clip.thresholds={{input/*: {c}}}"]
        ).recipes[0]
        for c, w in ((0.5, 0), (2, 30))
    )
    assert structure(one) == structure(two)
    assert structure(one) != structure(grid([*words, "clip.thresholds={output/*: 0.5}"]).recipes[0])


@pytest.mark.slow
def test_frozen_parameters_have_no_part_in_the_norm_of_an_example():
    found = driver(*WORDS, "freeze=[output/*,hidden 1/*]")
    state = found.random()
    params, mean = tree(state.params), {}
    for x, y in zip(*batch(), strict=True):
        grads = reference.network(found.recipe, params, {}, x[None], y[None]).grads
        for path, g in grads.items():
            if path.startswith("output/"):
                g[...] = 0
            if path.startswith("hidden/"):
                g[0] = 0
        for path, g in grads.items():
            mean[path] = mean.get(path, 0.0) + g * min(1.0, 0.3 / length(*grads.values())) / BATCH
    taken = found.train_step(state, batch(), clip__threshold=0.3)
    for path, after in tree(taken.state.params).items():
        np.testing.assert_allclose(params[path] - after, mean[path], err_msg=path, **STEP)
