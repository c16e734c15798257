"""Loss scaling: float16 gradients that would underflow, the rule of the scale, and what is measured of it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradlab.analysis.verdicts import diagnose
from gradlab.data.task import Task
from gradlab.engine.checks import check, remarks
from gradlab.engine.loss_scale import LossScaling
from gradlab.engine.tasks import load_task
from gradlab.recipe.errors import RecipeError
from gradlab.store.read import open_run
from tests.driver import batch, driver
from tests.recipes import launch, recipe

SMALL = ("depth=2", "width=8", "batch_size=8", "eval.every=20", "snapshot=[]", "steps=20")
DYNAMIC = "loss_scale.kind=dynamic"


def faint() -> Task:
    """Two separable classes whose gradient is tiny: the loss is that of targets next to zero."""
    random = np.random.default_rng(0)
    y = np.sign(random.standard_normal((96, 1))).astype(np.float32)
    x = (random.standard_normal((96, 4)) + 2 * y).astype(np.float32)
    return Task("synthetic: mine", x[:64], y[:64], x[64:], y[64:], 1, metric="r2")


def faint_loss(outputs, targets):
    """1e-9·(output − target)²: its gradient, over a batch, is below what float16 can hold."""
    return 1e-9 * ((outputs - targets) ** 2).sum(-1)


FAINT = (*SMALL, f"data={__name__}:faint", f"loss={__name__}:faint_loss", "probe=[backward,gradient]")


def slow_rule(flags, value, interval):
    """jmp's rule, in plain Python: the scale before each step and after the last."""
    scales, count = [value], 0
    for finite in flags:
        scale = scales[-1]
        count = count + 1 if finite else 0
        if not finite:
            scale = max(1.0, scale / 2)
        elif count == interval:
            count, scale = 0, scale * 2 if scale < 2.0**127 else scale
        scales.append(scale)
    return scales


@pytest.mark.parametrize(("value", "interval"), [(32768.0, 3), (2.0, 2), (2.0**126, 1), (1.0, 1)])
def test_the_scale_follows_the_rule_of_jmp(value, interval):
    flags = np.random.default_rng(1).random(60) < 0.7
    scaling = LossScaling("dynamic", value, interval)
    state, found = scaling.init(), []
    for finite in flags:
        found.append(2.0 ** int(state.exponent))
        state = scaling.adjusted(state, jnp.asarray(finite))
    assert [*found, 2.0 ** int(state.exponent)] == slow_rule(flags, value, interval)


def scaled_and_plain(*words):
    """One step of two drivers that differ in the scale only, from the same state."""
    plain, scaled = driver(*words), driver(*words, "loss_scale.kind=static", "loss_scale.value=65536")
    state = plain.random()
    with_scale = state._replace(loss_scale=scaled.start().loss_scale)
    return plain.train_step(state, batch()), scaled.train_step(with_scale, batch())


@pytest.mark.few(1)
@pytest.mark.parametrize("words", [("accumulate=2", "optimizer=adam", "penalty=l2"), ("optimizer=sam",)])
def test_in_float32_a_scale_changes_no_bit_of_training_and_nothing_that_is_measured(words):
    """Powers of two are exact, so a step with any scale is the step without one."""
    plain, scaled = scaled_and_plain("depth=3", *words)
    for path, value in plain.state.params.items():
        np.testing.assert_array_equal(scaled.state.params[path], value, err_msg=path)
    assert scaled.steps.pop("scale") == 65536
    logs = {"rtol": 1e-5, "atol": 1e-5}  # a logarithm less 16 has other rounding
    for name, values in [*plain.layers.items(), *plain.steps.items()]:
        np.testing.assert_allclose((scaled.layers | scaled.steps)[name], values, **logs, err_msg=name)
    for place, columns in plain.parameters.items():
        assert scaled.parameters[place] == pytest.approx(columns, rel=1e-5, abs=1e-5, nan_ok=True)


@pytest.mark.slow
def test_the_norms_of_a_vanishing_gradient_are_without_the_scale_too():
    """Beyond float32, where the taps rescale the signal themselves."""
    words = ("depth=40", "activation=linear")
    plain, scaled = (driver(*words, *more) for more in ((), ("loss_scale.kind=static",)))
    state = plain.random(gain=0.05)
    with_scale = state._replace(loss_scale=scaled.start().loss_scale)
    before, after = plain.train_step(state, batch()), scaled.train_step(with_scale, batch())
    assert before.layers["log10_backward"][0] < -45
    for name in ("log10_backward", "log10_backward_z"):
        np.testing.assert_allclose(after.layers[name], before.layers[name], rtol=1e-5, err_msg=name)
    for place, columns in before.parameters.items():
        assert after.parameters[place]["log10_gradient"] == pytest.approx(columns["log10_gradient"], rel=1e-5)


def half_loss(params, x, y, scale):
    """The scaled loss of the driver's network of one hidden layer, in plain JAX: float16 until the logits."""
    h = jnp.asarray(x, jnp.float16)
    for name in ("input", "hidden", "output"):
        kernel, bias = (params[f"{name}/linear/{part}"].astype(jnp.float16) for part in ("kernel", "bias"))
        kernel, bias = (
            value.reshape(value.shape[-2:]) if value.ndim > 2 else value for value in (kernel, bias)
        )
        h = h @ kernel + bias.reshape(-1)
        h = h if name == "output" else jnp.tanh(h)
    logits = h.astype(jnp.float32)
    return scale * jnp.mean(jax.nn.logsumexp(logits, -1) - logits[jnp.arange(len(y)), y])


def slow_training(params, batches, scale, interval):
    """Parameters and scales of SGD at rate 0.1 with dynamic scaling, in a plain loop."""
    flags, scales = [], [scale]
    for x, y in batches:
        grads = jax.grad(half_loss)(params, x, y, scales[-1])
        grads = {path: np.asarray(value, np.float64) / scales[-1] for path, value in grads.items()}
        flags.append(all(np.isfinite(value).all() for value in grads.values()))
        if flags[-1]:
            params = {
                path: jnp.asarray(value - 0.1 * grads[path], jnp.float32) for path, value in params.items()
            }
        scales = slow_rule(flags, scale, interval)
    return params, scales


def test_dynamic_scaling_trains_as_a_plain_loop_does():
    found = driver(
        "depth=1", "dtype=float16", DYNAMIC, "loss_scale.value=16777216", "loss_scale.growth_interval=4"
    )
    state, batches, scales = found.random(), [batch(seed=seed) for seed in range(16)], []
    state = state._replace(loss_scale=found.start().loss_scale)
    params, wanted = slow_training(state.params, batches, 2.0**24, 4)
    for x, y in batches:
        taken = found.train_step(state, (x.astype(np.float16), y))
        state = taken.state
        scales.append(taken.steps["scale"])
    assert scales == wanted[:-1]
    assert max(scales) > scales[-1] > min(scales) or len({*scales}) > 3  # it fell, and rose again
    for path, value in params.items():
        assert state.params[path].dtype == jnp.float32
        # sums of float16 may be rounded in another order
        np.testing.assert_allclose(state.params[path], value, rtol=2e-2, atol=2e-3, err_msg=path)


@pytest.mark.slow
def test_a_float16_gradient_underflows_without_a_scale_and_learns_with_one(tmp_path):
    words = (*FAINT, "dtype=float16", f"outputs={tmp_path}", "lr=1e8")
    plain, scaled = (launch(recipe(*words, *more)) for more in ((), (DYNAMIC, "loss_scale.value=67108864")))
    without, with_scale = (open_run(outcome.folder).steps for outcome in (plain, scaled))
    assert (without.log10_gradient == -np.inf).all()
    assert np.isfinite(with_scale.log10_gradient).all()
    verdict = diagnose(open_run(scaled.folder)).training
    assert verdict.verdict == "learned", verdict.sentence
    assert diagnose(open_run(plain.folder)).training.verdict != "learned"


@pytest.mark.slow
def test_a_step_that_overflows_leaves_parameters_optimizer_and_clip_as_they_were():
    found = driver("dtype=float16", DYNAMIC, "optimizer=adam", "clip=autoclip", "normalization=batch")
    state = found.start(loss_scale__value=2.0**127)
    x, y = batch()
    taken = found.train_step(state, (x.astype(np.float16), y), loss_scale__value=2.0**127)
    assert (taken.steps["overflowed"], taken.steps["scale"]) == (1, 2.0**127)
    assert int(taken.state.loss_scale.exponent) == 126
    same = taken.state._replace(loss_scale=None, probes={})
    kept = state._replace(loss_scale=None, probes={})
    for before, after in zip(jax.tree.leaves(kept), jax.tree.leaves(same), strict=True):
        np.testing.assert_array_equal(after, before)


def test_an_overflow_drops_the_step_and_halves_the_scale(tmp_path):
    words = (*SMALL, "dtype=float16", DYNAMIC, "loss_scale.value=16777216", f"outputs={tmp_path}")
    outcome = launch(recipe(*words, "loss_scale.growth_interval=5", "seeds=2"))
    run = open_run(outcome.folder)
    assert (outcome.state, run.status["nonfinite"]) == ("finished", [])
    for seed, rows in run.steps[run.steps.source == "batch"].groupby("seed"):
        flags = rows.overflowed.to_numpy(float, na_value=0)[:-1] == 1
        assert flags[0], "a scale of 2**24 overflows at first"
        assert rows.scale.tolist() == slow_rule(~flags, 2.0**24, 5)
        assert run.status["overflows"][seed] == flags.sum() < 20
        assert np.isfinite(rows.log10_gradient[:-1][~flags]).all()
        assert not np.isfinite(rows.log10_gradient[:-1][flags]).any()
    found = diagnose(run).training
    assert found.overflows == sum(run.status["overflows"])
    assert f"loss scaling dropped {found.overflows} of 40 updates" in found.sentence


@pytest.mark.parametrize("value", ["1000", "0.5", "3e38"])
def test_a_scale_that_is_no_power_of_two_is_refused(value):
    with pytest.raises(RecipeError, match=r"loss_scale.value=.* must be a power of two from 1 to 2\*\*127"):
        check(recipe(DYNAMIC, f"loss_scale.value={value}"))


def test_float16_without_a_scale_is_remarked_on():
    assert any("loss_scale.kind=dynamic" in line for line in remarks(check(recipe("dtype=float16"))))
    assert not remarks(check(recipe("dtype=float16", DYNAMIC)))


def large() -> Task:
    """Inputs that float16 cannot hold."""
    x = np.full((12, 2), 7e4, np.float32)
    return Task(
        "synthetic: mine", x, np.arange(12, dtype=np.int32) % 2, x, np.arange(12, dtype=np.int32) % 2, 2
    )


def test_inputs_that_float16_cannot_hold_are_refused():
    words = (f"data={__name__}:large", "batch_size=4")
    with pytest.raises(RecipeError, match=r"inputs beyond ±65504, the largest number of dtype=float16"):
        load_task(recipe(*words, "dtype=float16"))
    assert load_task(recipe(*words, "dtype=bfloat16")).outputs == 2
