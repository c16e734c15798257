"""Schedules against float64 NumPy, Optax and PyTorch; what warm-up, horizon and bad losses do to them."""

import math
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from gradlab.parts.schedules import FOLLOWING, ScheduleContext, remarks, schedule
from gradlab.recipe.errors import RecipeError
from gradlab.recipe.paths import CONF
from tests import rules

STEPS, RATE = 20, 0.05
USUAL = {
    path.stem: OmegaConf.to_container(OmegaConf.load(path))
    for path in sorted((CONF / "schedule").glob("*.yaml"))
}
ROWS = [  # beside every option as its file has it
    {"name": "linear", "end": 1.5},
    {"name": "linear", "end": 0.25, "warmup": 4.0},
    {"name": "linear", "end": 0.0, "horizon": 8.0},
    {"name": "polynomial", "power": 2.0, "end": 0.1},
    {"name": "polynomial", "power": 0.9, "end": 0.0, "warmup": 3.0, "horizon": 12.0},
    {"name": "cosine", "end": 0.1, "warmup": 2.5},
    {"name": "one_cycle", "start": 0.1, "rise": 0.5, "end": 0.0},
    {"name": "exponential", "rate": 0.5, "period": 7.0},
    {"name": "exponential", "rate": 0.5, "period": 7.0, "staircase": True, "warmup": 1.0},
    {"name": "exponential", "rate": 1.1, "period": 1.0, "horizon": 10.0},
    {"name": "step", "rate": 0.1, "period": 3.0},
    {"name": "milestones", "milestones": [3.0, 4.0, 12.5], "rate": 0.5},
    {"name": "milestones", "milestones": [], "rate": 0.5},
    {"name": "inverse_sqrt", "period": 4.0, "warmup": 4.0},
    {"name": "range", "low": 1e-6},
    {"name": "plateau", "rate": 0.5, "patience": 1.0, "window": 1.0, "cooldown": 2.0, "low": 0.2},
    {"name": "plateau", "rate": 0.1, "patience": 2.0, "window": 2.0, "threshold": 0.05, "warmup": 3.0},
    {"name": "loss_power", "rate": 0.5, "low": 0.2, "high": 0.6},
    {"name": "loss_power", "rate": 1.5, "low": 0.0, "high": 10.0, "warmup": 5.0},
    {"name": "polyak", "f_star": 1.0},
]
PARTS = [*USUAL.values(), *({**USUAL[row["name"]], **row} for row in ROWS)]
OF_TIME = [part for part in PARTS if part["name"] not in FOLLOWING]
named = lambda part: " ".join(map(str, part.values()))
GRADIENT = 7.0  # long enough for polyak to go below lr


def course(seed=0, steps=STEPS):
    """Losses that fall, then do not."""
    rng = np.random.default_rng(seed)
    return (2 + np.maximum(1 - np.arange(steps) / 6, 0) + 0.1 * rng.standard_normal(steps)).tolist()


@lru_cache
def compiled(structure):
    """The factors of so many steps, for any numbers of this schedule."""

    def run(numbers, losses, log2_gradient, lr, horizon):
        made = schedule.make({**dict(structure), **numbers})

        def body(state, now):
            factor, state = made.apply(ScheduleContext(now[0], horizon, now[1], log2_gradient, lr), state)
            return state, factor

        return jax.lax.scan(body, made.init(), (jnp.arange(len(losses)), losses))[1]

    return jax.jit(run)


def factors(part, losses=None, gradient=GRADIENT, lr=RATE, horizon=STEPS):
    """gradlab's factors, with all numbers traced."""
    fixed = {key: value for key, value in part.items() if type(value) not in (float, list)}
    numbers = {key: value for key, value in part.items() if key not in fixed}
    return np.asarray(
        compiled(tuple(fixed.items()))(
            jax.tree.map(jnp.float32, numbers),
            jnp.asarray(course() if losses is None else losses, jnp.float32),
            jnp.float32(math.log2(gradient)),
            jnp.float32(lr),
            jnp.int32(horizon),
        ),
        np.float64,
    )


def alone(part, step, horizon, loss=1.0, log2_gradient=0.0, lr=0.1):
    """The factor at one step, from a fresh state."""
    made = schedule.make(part)
    now = ScheduleContext(
        jnp.int32(step), jnp.int32(horizon), jnp.float32(loss), jnp.float32(log2_gradient), lr
    )
    return float(made.apply(now, made.init())[0])


def test_every_schedule_has_its_file():
    assert USUAL.keys() == schedule.makers.keys()


@pytest.mark.few(3)
@pytest.mark.parametrize("part", PARTS, ids=named)
def test_twenty_steps_are_the_formula_s(part):
    losses = course()
    wanted = [rules.factor(part, step, STEPS, losses[: step + 1], GRADIENT, RATE) for step in range(STEPS)]
    np.testing.assert_allclose(factors(part), wanted, rtol=2e-5, atol=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS, ids=named)
def test_a_schedule_in_float64_is_that_of_float32(part):
    with jax.enable_x64(True):
        made = schedule.make({k: np.float64(v) if type(v) is float else v for k, v in part.items()})
        now = ScheduleContext(
            jnp.int32(7), jnp.int32(STEPS), jnp.float64(2.0), jnp.float64(1.0), np.float64(RATE)
        )
        factor, after = made.apply(now, made.init())
        assert [leaf.dtype for leaf in after] == [leaf.dtype for leaf in made.init()]
    assert float(factor) == pytest.approx(alone(part, 7, STEPS, 2.0, 1.0, RATE), rel=1e-5)


@pytest.mark.few(2)
@pytest.mark.parametrize("part", OF_TIME, ids=named)
@settings(max_examples=25)
@given(
    horizon=st.integers(0, 10**6),
    beyond=st.integers(0, 2**31 - 2 * 10**6),
    warmup=st.sampled_from([0.0, 0.5, 10.0, 1e9]),
    own=st.sampled_from([0.0, 0.3, 1.0, 17.0, 1e9]),
)
def test_at_and_after_its_end_a_factor_is_a_number_and_not_negative(part, horizon, beyond, warmup, own):
    found = alone({**part, "warmup": warmup, "horizon": own}, horizon + beyond, horizon)
    assert found >= 0  # not NaN either


@pytest.mark.few(8)
@pytest.mark.parametrize("part", [one for one in PARTS if one["name"] in FOLLOWING], ids=named)
@pytest.mark.parametrize("loss", [0.0, -1e30, 1e30, math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("log2_gradient", [-math.inf, -400.0, 0.0, 400.0, math.inf, math.nan])
def test_a_bad_loss_or_gradient_gives_no_bad_factor(part, loss, log2_gradient):
    assert 0 <= alone(part, 5, STEPS, loss, log2_gradient) < math.inf


@pytest.mark.few(2)
@pytest.mark.parametrize("part", OF_TIME, ids=named)
def test_past_its_horizon_a_schedule_stays_where_it_ended(part):
    short = factors({**part, "warmup": 2.0, "horizon": 9.0})
    np.testing.assert_array_equal(short[9:], short[9])
    if part["name"] in ("linear", "polynomial", "cosine"):
        assert short[9] == pytest.approx(part["end"], abs=1e-7)
    else:
        assert short[9] == short[8]
    np.testing.assert_allclose(short[:9], factors({**part, "warmup": 2.0, "horizon": 0.0}, horizon=9)[:9])
    held = alone({**part, "horizon": 0.0}, 10**6, STEPS)  # the recipe's own horizon holds alike
    assert held == pytest.approx(
        alone({**part, "horizon": 0.0}, int(STEPS + part["warmup"]), STEPS), rel=1e-6
    )


@pytest.mark.few(2)
@pytest.mark.parametrize("part", OF_TIME, ids=named)
def test_a_warm_up_rises_to_the_schedule_s_own_start(part):
    plain, slow = ({**part, "horizon": 0.0, "warmup": warmup} for warmup in (0.0, 4.0))
    start = factors(plain)[0]
    np.testing.assert_allclose(factors(slow)[:5], start * np.arange(1, 6) / 5, rtol=1e-5)
    np.testing.assert_allclose(factors(slow)[4:], factors(plain, horizon=STEPS - 4)[: STEPS - 4], rtol=1e-5)


def test_a_linear_schedule_begins_at_one_and_ends_at_its_end():
    part = {**USUAL["linear"], "end": 0.25}
    assert [alone(part, step, 20) for step in (0, 10, 20, 25)] == [1.0, 0.625, 0.25, 0.25]
    assert alone({**part, "end": 0.0}, 19, 20) == pytest.approx(1 / 20)  # the last update still moves
    assert alone(part, 0, 1) == 1.0  # a single step
    assert alone(part, 0, 0) == 1.0  # none


@pytest.mark.slow
def test_optax_has_the_same_numbers():
    theirs = {
        "linear": (optax.linear_schedule(1, 0.25, STEPS), {"end": 0.25}),
        "polynomial": (optax.polynomial_schedule(1, 0.1, 0.9, STEPS), {"end": 0.1, "power": 0.9}),
        "cosine": (optax.cosine_decay_schedule(1.0, STEPS, 0.1), {"end": 0.1}),
        "exponential": (
            optax.exponential_decay(1.0, 6, 0.5, staircase=True),
            {"rate": 0.5, "period": 6.0, "staircase": True},
        ),
        "step": (optax.exponential_decay(1.0, 6, 0.5, staircase=True), {"rate": 0.5, "period": 6.0}),
        "milestones": (
            optax.piecewise_constant_schedule(1.0, {3: 0.1, 12: 0.1}),
            {"milestones": [3.0, 12.0], "rate": 0.1},
        ),
    }
    for name, (rule, numbers) in theirs.items():
        wanted = [float(rule(step)) for step in range(STEPS)]
        np.testing.assert_allclose(
            factors({**USUAL[name], **numbers}), wanted, rtol=1e-5, atol=1e-7, err_msg=name
        )
    cycle = optax.cosine_onecycle_schedule(20, 1.0, 0.3, 25.0, 1e4)
    wanted = [float(cycle(step)) for step in range(21)]
    found = factors({**USUAL["one_cycle"], "horizon": 21.0}, course(steps=21))
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)


def scales(transform, losses):
    """What an Optax rule that looks at the loss multiplies the updates by."""

    def body(state, loss):
        state = transform.update({"x": jnp.zeros(1)}, state, value=loss)[1]
        return state, state.scale

    return jax.lax.scan(body, transform.init({"x": jnp.zeros(1)}), jnp.asarray(losses))[1]


LOSSES = [3.0, 2.0, 2.0, 2.0, 2.0, 2.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]


@pytest.mark.slow
def test_a_plateau_is_optax_s_and_cuts_one_step_before_pytorch_s():
    numbers = {"rate": 0.5, "patience": 3.0, "window": 1.0, "threshold": 1e-4}
    found = factors({**USUAL["plateau"], **numbers}, LOSSES)
    transform = optax.contrib.reduce_on_plateau(0.5, 3, 1e-4)
    wanted = scales(transform, LOSSES)
    np.testing.assert_allclose(found, wanted)
    assert found.tolist().index(0.5) == 4  # the third loss that is no better

    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=3)
    after = []
    for loss in LOSSES:
        theirs.step(loss)  # for the steps that follow
        after.append(optimizer.param_groups[0]["lr"])
    assert after.index(0.5) == 5  # the fourth


@pytest.mark.slow
def test_a_plateau_s_windows_and_cooldown_are_optax_s():
    numbers = {"rate": 0.5, "patience": 2.0, "window": 2.0, "threshold": 0.01, "cooldown": 1.0, "low": 0.2}
    losses = course(steps=60)
    transform = optax.contrib.reduce_on_plateau(0.5, 2, 0.01, cooldown=1, accumulation_size=2, min_scale=0.2)
    wanted = scales(transform, losses)
    np.testing.assert_allclose(factors({**USUAL["plateau"], **numbers}, losses), wanted)
    assert float(wanted.min()) == pytest.approx(0.2)


def test_pytorch_has_the_same_numbers():
    torch = pytest.importorskip("torch")
    paces = torch.optim.lr_scheduler
    theirs = {
        "exponential": (lambda o: paces.ExponentialLR(o, 0.9), {"rate": 0.9, "period": 1.0}),
        "step": (lambda o: paces.StepLR(o, 6, 0.5), {"rate": 0.5, "period": 6.0}),
        "milestones": (
            lambda o: paces.MultiStepLR(o, [3, 12], 0.1),
            {"milestones": [3.0, 12.0], "rate": 0.1},
        ),
        "cosine": (lambda o: paces.CosineAnnealingLR(o, STEPS, 0.1), {"end": 0.1}),
        "linear": (lambda o: paces.LinearLR(o, 1.0, 0.25, STEPS), {"end": 0.25}),
        "polynomial": (lambda o: paces.PolynomialLR(o, STEPS, 0.9), {"power": 0.9, "end": 0.0}),
    }
    for name, (make, numbers) in theirs.items():
        optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
        pace, wanted = make(optimizer), []
        for _ in range(STEPS):
            wanted.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            pace.step()
        found = factors({**USUAL[name], **numbers})
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-7, err_msg=name)


def test_the_article_s_polynomial_is_a_number_after_its_end():
    assert isinstance((1 - 1001 / 1000) ** 0.9, complex)
    assert alone(USUAL["polynomial"], 1001, 1000) == 0.0


def test_a_polyak_step_lands_on_the_least_of_a_parabola_and_is_right_beyond_float32_s_squares():
    part = USUAL["polyak"]
    # f = c x²/2, g = c x: a step of f/g² = 1/(2c) halves x
    assert 10 * alone(part, 0, 9, loss=8.0, log2_gradient=2.0, lr=10.0) == pytest.approx(0.5)
    assert alone(part, 0, 9, loss=1e30, log2_gradient=100.0, lr=1.0) == pytest.approx(1e30 / 2.0**200)
    assert alone(part, 0, 9, loss=1e-30, log2_gradient=-100.0, lr=1.0) == 1.0
    assert alone({**part, "f_star": 1.0}, 0, 9, loss=0.5) == 0.0


def test_milestones_that_do_not_rise_and_bounds_that_cross_are_refused():
    for wrong in ([5.0, 5.0], [7.0, 3.0]):
        with pytest.raises(RecipeError, match="must rise"):
            schedule.check({**USUAL["milestones"], "milestones": wrong})
    with pytest.raises(RecipeError, match=r"schedule\.low"):
        schedule.check({**USUAL["loss_power"], "low": 0.7, "high": 0.6})


@pytest.mark.few(3)
@pytest.mark.parametrize(
    ("part", "said"),
    [
        ({"name": "linear"}, []),
        ({"name": "linear", "horizon": 500.0, "warmup": 499.0}, []),
        ({"name": "linear", "horizon": 100.0}, ["ends at step 100 of 500"]),
        ({"name": "cosine", "horizon": 600.0}, ["ends at step 500, before"]),
        ({"name": "constant", "warmup": 500.0}, ["warm-up of 500 steps is not over"]),
        ({"name": "cosine", "warmup": 60.0, "horizon": 50.0}, ["ends at step 50 of", "leaves nothing"]),
        ({"name": "milestones"}, []),
        (
            {"name": "milestones", "milestones": [9.0, 500.0]},
            ["milestones 500 come after the last step, 499"],
        ),
        ({"name": "milestones", "warmup": 200.0}, ["375 after a warm-up of 200 come after"]),
        ({"name": "step", "period": 500.0}, ["never over"]),
        ({"name": "polyak", "horizon": 50.0}, ["follows the loss"]),
    ],
    ids=str,
)
def test_what_is_odd_is_said(part, said):
    found = remarks({**USUAL[part["name"]], **part}, 500)
    assert len(found) == len(said)
    assert all(words in remark for words, remark in zip(said, found, strict=True))
    assert remarks({**USUAL[part["name"]], "horizon": 0.0, "warmup": 0.0}, 0) == []  # no step is taken


def wave(step, horizon, period=4.0):
    """A factor of one's own."""
    return 0.5 + 0.5 * jnp.cos(2 * jnp.pi * step / period)


def test_a_function_of_one_s_own_is_a_schedule_with_warm_up_and_horizon():
    part = schedule.check({"name": f"{__name__}:wave", "warmup": 2.0, "horizon": 0.0})
    assert part["period"] == 4.0
    np.testing.assert_allclose(factors(part)[:7], [1 / 3, 2 / 3, 1, 0.5, 0, 0.5, 1], atol=1e-6)
