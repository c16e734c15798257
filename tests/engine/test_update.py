"""Update schemes in the step itself: what comes before what, what is left alone, and what the row says of it."""

import math

import numpy as np
import pytest

from gradlab.engine.loop import load_run, train
from gradlab.engine.prepare import prepare
from gradlab.engine.rows import step_values
from gradlab.engine.tasks import with_batch_size
from gradlab.recipe.recipe import Recipe
from tests import rules
from tests.driver import batch, driver, recipe, task, tree
from tests.measures import length

CLOSE = {"rtol": 2e-5, "atol": 1e-6}


def moved(words, state=None, **changes):
    """A step of `gradlab run WORDS`: what is taken, the parameters before, Δθ and the gradient before a penalty."""
    found = driver(*words)
    state = found.random() if state is None else state
    taken = found.train_step(state, batch(), at=2, **changes)
    before, after = tree(state.params), tree(taken.state.params)
    return taken, before, {path: after[path] - before[path] for path in before}


def gradient():
    """The data loss's gradient at the random state."""
    found = driver("lr=1.0")
    return tree(found.loss_and_grads(found.random(), batch(), measured=False).grads)


def close(found, wanted):
    for path, value in wanted.items():
        np.testing.assert_allclose(found[path], value, err_msg=path, **CLOSE)


@pytest.mark.slow
@pytest.mark.parametrize("parts", [2, 3])
def test_micro_batches_are_one_batch(parts):
    one, _, step = moved(("lr=1.0",))
    many, _, same = moved(("lr=1.0", f"accumulate={parts}"))
    close(same, step)
    for column in ("loss", "log10_gradient", "log10_clipped", "evaluations"):
        assert many.steps[column] == pytest.approx(one.steps[column], abs=2e-6), column
    for key, columns in one.parameters.items():
        assert many.parameters[key]["log10_gradient"] == pytest.approx(columns["log10_gradient"], abs=1e-4)


@pytest.mark.slow
def test_batch_norm_makes_micro_batches_another_thing():
    _, _, step = moved(("lr=1.0", "normalization=batch"))
    _, _, other = moved(("lr=1.0", "normalization=batch", "accumulate=3"))
    assert max(np.abs(other[path] - step[path]).max() for path in step) > 1e-3


@pytest.mark.slow
def test_l2_is_clipped_with_the_gradient_and_decoupled_decay_is_not():
    grads, rate, strength = gradient(), 0.5, 0.3
    numbers = {"lr": rate, "penalty__strength": strength, "clip__threshold": 0.1}
    _, params, step = moved(("penalty=l2", "clip=norm"), **numbers)
    joined = rules.clip(
        {"name": "norm", "threshold": 0.1},
        rules.penalized({"name": "l2", "strength": strength}, params, grads),
    )
    close(step, {path: -rate * g for path, g in joined.items()})
    _, params, step = moved(("penalty=decoupled", "clip=norm"), **numbers)
    apart = rules.clip({"name": "norm", "threshold": 0.1}, grads)
    close(
        step,
        {path: -rate * (g + strength * params[path] * rules.is_kernel(path)) for path, g in apart.items()},
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_l2_is_decoupled_decay_for_sgd_and_not_for_adam(name):
    numbers = {"lr": 0.1, "penalty__strength": 0.3}
    steps = [moved((f"penalty={kind}", f"optimizer={name}"), **numbers)[2] for kind in ("l2", "decoupled")]
    gap = max(np.abs(steps[0][path] - steps[1][path]).max() for path in steps[0])
    assert gap < 1e-6 if name == "sgd" else gap > 1e-2


@pytest.mark.slow
def test_adamw_is_adam_with_decoupled_decay():
    numbers = {"lr": 0.1, "penalty__strength": 0.3}
    _, _, one = moved(("optimizer=adam", "penalty=decoupled"), **numbers)
    _, _, two = moved(("optimizer=adamw",), lr=0.1, optimizer__decay=0.3)
    close(one, two)


@pytest.mark.slow
def test_a_clip_of_the_update_stands_after_the_optimizer():
    plain, _, free = moved(("optimizer=adam",), lr=0.5)
    taken, _, step = moved(("optimizer=adam", "clip=norm", "clip.where=update"), lr=0.5, clip__threshold=0.2)
    before = length(*free.values())
    assert length(*step.values()) == pytest.approx(0.2, rel=1e-5)
    close(step, {path: value * 0.2 / before for path, value in free.items()})
    assert taken.steps["log10_unclipped"] == pytest.approx(math.log10(before), abs=1e-5)
    assert taken.steps["log10_clipped"] == pytest.approx(math.log10(0.2), abs=1e-5)
    assert taken.steps["log10_gradient"] == pytest.approx(plain.steps["log10_gradient"], abs=1e-6)
    assert taken.steps["clip_cosine"] == pytest.approx(1, abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("order", [("tensor_norm", "norm"), ("norm", "tensor_norm")])
def test_a_chain_of_the_update_stands_after_the_optimizer(order):
    _, _, free = moved(("optimizer=adam",), lr=0.5)
    words = (
        "optimizer=adam",
        f"clip=[{','.join(order)}]",
        "clip.where=update",
        "clips.tensor_norm.threshold=0.3",
    )
    taken, _, step = moved((*words, "clips.norm.threshold=0.6"), lr=0.5)
    axes = {path: int(path.startswith("hidden/")) for path in free}
    expected = rules.clip(driver(*words, "clips.norm.threshold=0.6").recipe.clip, free, free, axes)
    close(step, expected)
    assert taken.steps["log10_unclipped"] == pytest.approx(math.log10(length(*free.values())), abs=1e-5)
    assert taken.steps["log10_clipped"] == pytest.approx(math.log10(length(*expected.values())), abs=1e-5)
    assert taken.steps["clipped_norm"] == 1


@pytest.mark.slow
def test_a_warm_up_counts_the_updates():
    found = driver("clip=norm", "lr=1.0", "optimizer=sgd")
    numbers = {"clip__threshold": 0.01, "clip__warmup": 2.0, "clip__warmup_from": 16.0}
    state, norms = found.random(), []
    for step in range(4):
        taken = found.train_step(state, batch(), at=step, **numbers)
        norms.append(10 ** taken.steps["log10_clipped"])
        state = taken.state
    assert norms == pytest.approx([0.16, 0.04, 0.01, 0.01], rel=1e-5)


@pytest.mark.slow
def test_a_clip_of_the_update_leaves_decoupled_decay_alone():
    words = ("optimizer=adamw", "clip=norm", "clip.where=update")
    _, params, step = moved(words, lr=0.5, clip__threshold=1e-6, optimizer__decay=0.3)
    decay = {path: -0.5 * 0.3 * w * rules.is_kernel(path) for path, w in params.items()}
    close(step, decay)


@pytest.mark.slow
def test_a_skipped_step_changes_no_bit_of_parameters_and_optimizer():
    found = driver("clip=skip", "optimizer=adam", "penalty=decoupled", "normalization=batch")
    state = found.random()
    state = found.train_step(state, batch(), clip__threshold=1e6).state  # something in Adam's memory
    taken = found.train_step(state, batch(seed=1), at=1, clip__threshold=1e-6)
    for path, value in state.params.items():
        np.testing.assert_array_equal(taken.state.params[path], value)
    for path, value in state.stats.items():
        np.testing.assert_array_equal(taken.state.stats[path], value)
    for before, after in zip(state.optimizer, taken.state.optimizer, strict=True):
        assert str(before) == str(after)
    assert taken.steps["clipped"] == 1
    for (_, name), columns in taken.parameters.items():
        assert columns["log10_update"] == -math.inf, name


@pytest.mark.slow
def test_factors_by_path_freeze_and_slow():
    _, _, whole_step = moved(("optimizer=adamw",), lr=0.1)
    factors = "lr_factors={*:0.5,input/*:0.0,hidden 2/*:0.1,output/linear/bias:2.0}"
    taken, _, step = moved(("optimizer=adamw", factors), lr=0.1)
    for path, value in step.items():
        block = path.partition("/")[0]
        if block == "input":
            assert not value.any()
        elif block == "hidden":
            for layer, factor in enumerate([0.5, 0.1, 0.5, 0.5]):
                np.testing.assert_allclose(value[layer], factor * whole_step[path][layer], atol=2e-7)
        else:
            factor = 2.0 if path == "output/linear/bias" else 0.5
            np.testing.assert_allclose(value, factor * whole_step[path], atol=2e-7)
    assert taken.parameters[0, "linear/kernel"]["log10_update"] == -math.inf


@pytest.mark.slow
def test_a_proximal_step_makes_zeros_and_a_subgradient_does_not():
    numbers = {"lr": 0.5, "penalty__strength": 0.4}
    grads = gradient()
    taken, params, step = moved(("penalty=l1", "penalty.proximal=true"), **numbers)
    for path, w in params.items():
        after = w - 0.5 * grads[path]
        if rules.is_kernel(path):
            after = np.sign(after) * np.maximum(np.abs(after) - 0.2, 0)
            assert ((after == 0) == (np.asarray(taken.state.params[path]) == 0)).mean() > 0.99
            assert (after == 0).mean() > 0.1
        np.testing.assert_allclose(w + step[path], after, **CLOSE)
    assert taken.steps["weight_zeros"] == 0  # at θ_t
    again = driver("penalty=l1", "penalty.proximal=true").train_step(taken.state, batch(), **numbers)
    kernels = [np.asarray(value) for path, value in taken.state.params.items() if rules.is_kernel(path)]
    share = sum((w == 0).sum() for w in kernels) / sum(w.size for w in kernels)
    assert again.steps["weight_zeros"] == pytest.approx(share, abs=1e-6)
    _, params, step = moved(("penalty=l1",), **numbers)
    joined = rules.penalized({"name": "l1", "strength": 0.4}, params, grads)
    close(step, {path: -0.5 * g for path, g in joined.items()})


@pytest.mark.slow
def test_a_penalty_on_all_parameters_shrinks_biases_too():
    _, params, step = moved(("penalty=l2", "penalty.mask=all"), lr=0.5, penalty__strength=0.3)
    joined = rules.penalized({"name": "l2", "strength": 0.3, "mask": "all"}, params, gradient())
    close(step, {path: -0.5 * g for path, g in joined.items()})


@pytest.mark.slow
def test_a_search_s_row_tells_the_true_gradient_and_the_one_in_use():
    plain, _, _ = moved(("lr=1.0",))
    taken, _, step = moved(("optimizer=spsa",), lr=1.0)
    assert taken.steps["log10_gradient"] == pytest.approx(plain.steps["log10_gradient"], abs=1e-6)
    assert taken.steps["log10_unclipped"] == pytest.approx(math.log10(length(*step.values())), abs=1e-4)
    assert taken.steps["log10_unclipped"] > taken.steps["log10_gradient"]  # its noise
    assert taken.steps["evaluations"] == 2 * 2 * 8


@pytest.mark.slow
def test_sam_s_step_is_the_gradient_at_the_worst_place_near():
    found, grads, rho = driver("lr=1.0"), gradient(), 0.05
    state, size = found.random(), length(*grads.values())
    up = {path: np.float32(np.asarray(w) + rho * grads[path] / size) for path, w in state.params.items()}
    there = tree(
        found.loss_and_grads(state._replace(params=state.params | up), batch(), measured=False).grads
    )
    taken, _, step = moved(("optimizer=sam",), lr=1.0, optimizer__rho=rho)
    close(step, {path: -g for path, g in there.items()})
    assert taken.steps["evaluations"] == 2 * 2


@pytest.mark.slow
def test_full_batch_descent_sees_every_example_at_every_step():
    made: Recipe = with_batch_size(recipe("optimizer=gd", "batch_size=0"), task())
    assert made.batch_size == len(task().train_y)
    run = load_run(
        prepare(recipe("optimizer=gd", "batch_size=0", "steps=3", "eval.every=1"), lambda _: task())
    )
    rows = [chunk for chunk in train(run) if chunk.source == "batch"]
    losses = [float(step_values(chunk, run.layout)["loss"][0, 0]) for chunk in rows]
    trained = [float(chunk.evaluation[0, 0]) for chunk in rows]
    np.testing.assert_allclose(losses, trained, rtol=1e-5)
    assert losses[-1] < losses[0]


@pytest.mark.slow
def test_a_search_without_gradients_trains_on_unmeasured_steps_alike():
    found = driver("optimizer=spsa")
    state = found.random()
    ends = [found.train_step(state, batch(), at=2, measured=flag).state.params for flag in (True, False)]
    close(tree(ends[1]), tree(ends[0]))


@pytest.mark.slow
def test_each_phase_has_its_own_rate_and_the_row_tells_it():
    phases = "optimizer.phases=[{optimizer:adamw,lr:0.02,until_step:2,decay:0.3},{optimizer:momentum}]"
    found = driver("optimizer=phases", phases, "schedule=linear")
    state, rates = found.random(), []
    alone = driver("optimizer=adamw", "schedule=linear")
    for at in range(4):
        taken = found.train_step(state, batch(), at=at, lr=0.5, schedule__end=0.0)
        if at == 0:
            one = alone.train_step(
                alone.random(), batch(), at=0, lr=0.02, optimizer__decay=0.3, schedule__end=0.0
            )
            close(tree(taken.state.params), tree(one.state.params))
        rates.append((taken.steps["phase"], taken.steps["learning_rate"]))
        state = taken.state
    wanted = [(at // 2, (0.02, 0.5)[at // 2] * (1 - at / 19)) for at in range(4)]
    np.testing.assert_allclose(rates, wanted, rtol=1e-5)
