"""Optimizers against their formulas in float64, twenty steps in a bowl and a valley; PyTorch where it agrees."""

from functools import lru_cache
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gradlab.engine.families import FAMILIES
from gradlab.parts.optimizers.contract import Objective, OptimizerContext
from gradlab.recipe.errors import RecipeError
from tests import rules
from tests.driver import batch, driver

optimizer = FAMILIES["optimizer"]  # with the optimizers of all files
STEPS = 20
ADAM = {"b1": 0.9, "b2": 0.999, "eps": 1e-8}
OPTIMIZERS = [
    {"name": "sgd"},
    {"name": "gd"},
    {"name": "ascent"},
    {"name": "momentum", "decay": 0.9},
    {"name": "momentum", "decay": 0.0},
    {"name": "nesterov", "decay": 0.9},
    {"name": "adagrad", "initial": 0.1, "eps": 1e-7},
    {"name": "rmsprop", "decay": 0.9, "eps": 1e-8, "eps_in_sqrt": True},
    {"name": "rmsprop", "decay": 0.99, "eps": 1e-3, "eps_in_sqrt": False},
    {"name": "adam", **ADAM},
    {"name": "adam", "b1": 0.5, "b2": 0.9, "eps": 1e-2},
    {"name": "adamw", **ADAM, "decay": 0.3, "mask": "kernels"},
    {"name": "adamw", **ADAM, "decay": 0.3, "mask": "all"},
    {"name": "lion", "b1": 0.9, "b2": 0.99, "decay": 0.1, "mask": "kernels"},
    {"name": "sign"},
    {"name": "sam", "rho": 0.1, "decay": 0.5},
]
TESTED_BELOW = {"phases", "spsa", "es", "random_search"}  # random, or made of others
named = lambda part: " ".join(map(str, part.values()))


def bowl(p):
    return 0.5 * (0.1 * p["kernel"][0, 0] ** 2 + p["kernel"][0, 1] ** 2 + 10 * p["bias"][0] ** 2)


def valley(p):
    a, b = p["kernel"][0, 0], p["bias"][0]
    return (1 - a) ** 2 + 100 * (b - a**2) ** 2 + 0 * p["kernel"][0, 1]


PROBLEMS = {  # loss, its gradient in NumPy, rate
    "bowl": (bowl, lambda p: {"kernel": p["kernel"] * np.array([[0.1, 1.0]]), "bias": 10 * p["bias"]}, 0.05),
    "valley": (
        valley,
        lambda p: {
            "kernel": np.array(
                [
                    [
                        2 * (p["kernel"][0, 0] - 1)
                        - 400 * p["kernel"][0, 0] * (p["bias"][0] - p["kernel"][0, 0] ** 2),
                        0.0,
                    ]
                ]
            ),
            "bias": 200 * (p["bias"] - p["kernel"][0, :1] ** 2),
        },
        1e-3,
    ),
}
START = {"kernel": np.array([[-1.2, 0.7]]), "bias": np.array([1.0])}


def optimizer_context(learning_rate, step, loss, params, objective=None, stacked=False):
    """What an optimizer is given at a step; every leaf of `params` is a stack of layers, or none is."""
    return OptimizerContext(
        learning_rate=jnp.asarray(learning_rate),
        step=jnp.asarray(step),
        loss=jnp.asarray(loss),
        stacked_axes=dict.fromkeys(params, int(stacked)),
        objective=objective or Objective(None, None),
    )


@lru_cache
def walk(words, problem):
    """A jitted function: gradlab's steps from START, for any numbers of an optimizer of this structure."""
    loss, _, rate = PROBLEMS[problem]
    fixed = dict(words)

    def run(numbers):
        rule = optimizer.make(fixed | numbers)
        stacked_axes = dict.fromkeys(START, 0)
        objective = Objective(loss, jax.grad(loss))

        def body(carry, step):
            x, state = carry
            value = loss(x)
            state = rule.begin_step(state, step, value, x, stacked_axes)
            grads = jax.grad(loss)(x)
            if rule.estimator is not None:
                key = jax.random.fold_in(jax.random.key(7), step)
                grads, state = rule.estimator.estimate(x, state, grads, key, objective)
            phase = rule.phase(state)
            peak = jnp.asarray(rate if rule.peak_lr is None else rule.peak_lr(state, rate))
            update, state = rule.update(grads, state, x, optimizer_context(peak, step, value, x, objective))
            decay, step_size = update.decay or {}, update.step_size_or(peak)
            x = {
                key: w - step_size * update.direction[key] - peak * decay.get(key, 0) for key, w in x.items()
            }
            return (x, state), (x, phase, value)

        x = jax.tree.map(jnp.asarray, START)
        (_, state), steps = jax.lax.scan(body, (x, rule.init(x, stacked_axes)), jnp.arange(STEPS))
        return steps, rule.eval_params(state, x)

    return jax.jit(run)


def walked(part, problem):
    part = optimizer.check(part)
    numbers = {key: value for key, value in part.items() if type(value) is float}
    words = tuple((key, value) for key, value in part.items() if type(value) is not float)
    with jax.enable_x64(True):
        (x, _, _), _ = walk(words, problem)(numbers)
    return {key: np.asarray(value) for key, value in x.items()}


@pytest.mark.few(3)
@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("part", OPTIMIZERS, ids=named)
def test_twenty_steps_are_the_formula_s(part, problem):
    _, gradient, rate = PROBLEMS[problem]
    x, rule, expected = START, rules.Optimizer(part), []
    for _ in range(STEPS):
        g = gradient(x)
        if part["name"] == "sam":
            size = np.sqrt(sum((value**2).sum() for value in g.values()))
            g = gradient({key: w + part["rho"] * g[key] / size for key, w in x.items()})
        delta = rule.delta(g, rate, x)
        x = {key: w + delta[key] for key, w in x.items()}
        expected.append(x)
    actual = walked(part, problem)
    for key in START:
        np.testing.assert_allclose(actual[key], [params[key] for params in expected], rtol=1e-9, atol=1e-12)


def test_every_optimizer_is_in_the_table():
    assert {part["name"] for part in OPTIMIZERS} | TESTED_BELOW == optimizer.makers.keys()


PARITY = {  # where PyTorch means the same
    "SGD": ({"name": "sgd"}, {}),
    "SGD momentum": ({"name": "momentum", "decay": 0.9}, {"momentum": 0.9}),
    "SGD nesterov": ({"name": "nesterov", "decay": 0.9}, {"momentum": 0.9, "nesterov": True}),
    "Adam": ({"name": "adam", **ADAM}, {}),
    "AdamW": ({"name": "adamw", **ADAM, "decay": 0.3, "mask": "all"}, {"weight_decay": 0.3}),
    "RMSprop": ({"name": "rmsprop", "decay": 0.99, "eps": 1e-8, "eps_in_sqrt": False}, {}),
    "Adagrad": ({"name": "adagrad", "initial": 0.0, "eps": 1e-20}, {}),
}


@pytest.mark.parametrize("name", PARITY)
def test_pytorch_goes_the_same_way_where_it_means_the_same(name):
    torch = pytest.importorskip("torch")
    part, options = PARITY[name]
    loss, _, rate = PROBLEMS["bowl"]
    x = {key: torch.tensor(value, requires_grad=True) for key, value in START.items()}
    rule = getattr(torch.optim, name.split()[0])(list(x.values()), lr=rate, **options)
    expected = []
    for _ in range(STEPS):
        rule.zero_grad()
        loss(x).backward()
        rule.step()
        expected.append({key: value.detach().numpy().copy() for key, value in x.items()})
    actual = walked(part, "bowl")
    for key in START:
        np.testing.assert_allclose(actual[key], [params[key] for params in expected], rtol=1e-7, atol=1e-10)


TESTED = (
    "adafactor amsgrad lamb lars muon nadam schedule_free_adamw schedule_free_sgd contrib.prodigy".split()
)


@pytest.mark.slow
@pytest.mark.parametrize("name", TESTED)
def test_an_optimizer_of_optax_is_optax_s(name):
    """At every step as if Optax were given the learning rate itself."""
    loss, _, rate = PROBLEMS["bowl"]
    word = name.removeprefix("contrib.")
    make = getattr(optax, word, None) or getattr(optax.contrib, word)
    with jax.enable_x64(True):
        x, rule = jax.tree.map(jnp.asarray, START), make(rate)
        state, expected = rule.init(x), []
        for _ in range(STEPS):
            updates, state = rule.update(jax.grad(loss)(x), state, x)
            x = optax.apply_updates(x, updates)
            expected.append(x)
    actual = walked({"name": f"optax:{name}"}, "bowl")
    for key in START:
        np.testing.assert_allclose(actual[key], [params[key] for params in expected], rtol=1e-6, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lamb", "lars", "muon", "adafactor", "sgd"])
def test_a_stack_of_layers_is_to_optax_what_the_layers_are(name):
    rule = optimizer.make(optimizer.check({"name": f"optax:{name}"}))
    rng = np.random.default_rng(1)
    layers = {f"{k}": jnp.asarray(rng.standard_normal((4, 4)) * 3**k, jnp.float32) for k in range(3)}
    stack = {"stack": jnp.stack(list(layers.values()))}
    directions = []
    for params in (layers, stack):
        context = optimizer_context(jnp.float32(0.1), 0, jnp.float32(1), params, stacked=params is stack)
        grads = jax.tree.map(lambda w: w**2 - 0.3, params)
        state = rule.init(params, context.stacked_axes)
        for _ in range(3):
            update, state = rule.update(grads, state, params, context)
        directions.append(update.direction)
    by_layer, stacked = directions
    np.testing.assert_allclose(stacked["stack"], jnp.stack([*by_layer.values()]), rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (
            {"name": "optax:admw"},
            "optimizer=optax:admw: Optax has no optimizer 'admw'; did you mean 'adamw'?",
        ),
        ({"name": "optax:clip"}, "Optax has no optimizer 'clip'"),
        ({"name": "optax:lamb", "beta": 0.9}, "optimizer=optax:lamb has no option 'optimizer.beta'"),
        ({"name": "optax:lamb", "b1": "x"}, "optimizer.b1=x must be a number"),
        ({"name": "optax:lamb", "b1": float("nan")}, "optimizer.b1=nan must be a number"),
        ({"name": "nowhere:rule"}, "'nowhere' cannot be imported"),
    ],
)
def test_a_wrong_name_or_argument_is_reported_in_one_line(part, message):
    with pytest.raises(RecipeError) as caught:
        optimizer.check(part)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_schedule_free_is_evaluated_at_its_average():
    part = optimizer.check({"name": "optax:schedule_free_sgd"})
    rule, x = optimizer.make(part), {"w": jnp.array([1.0, -2.0])}
    state = rule.init(x, {"w": 0})
    context = optimizer_context(jnp.float32(0.1), 0, jnp.float32(1), x)
    for _ in range(3):
        update, state = rule.update(x, state, x, context)
        x = {"w": x["w"] - update.step_size * update.direction["w"]}
    z = state[0].z["w"]
    np.testing.assert_allclose(rule.eval_params(state, x)["w"], (x["w"] - 0.1 * z) / 0.9, rtol=1e-5)


# --- gradient-free


@pytest.mark.slow
def test_spsa_is_the_gradient_on_average():
    rule = optimizer.make({"name": "spsa", "perturbation": 1e-3, "pairs": 4000})
    x = {"kernel": jnp.array([[-1.2, 0.7]]), "bias": jnp.array([0.3])}
    estimate, _ = rule.estimator.estimate(x, (), None, jax.random.key(0), Objective(bowl, None))
    for key, g in jax.grad(bowl)(x).items():  # an entry's standard error is |g|·√(entries/pairs), 3.1·0.03
        np.testing.assert_allclose(estimate[key], g, atol=0.4)


@pytest.mark.slow
def test_one_parameter_makes_spsa_exact():
    rule = optimizer.make({"name": "spsa", "perturbation": 0.5, "pairs": 1})
    loss = lambda p: 3 * p["x"][0] ** 2
    estimate, _ = rule.estimator.estimate(
        {"x": jnp.array([2.0])}, (), None, jax.random.key(3), Objective(loss, None)
    )
    assert float(estimate["x"][0]) == pytest.approx(12, rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["open_es", "sep_cma_es", "snes", "pgpe"])
def test_an_evolution_strategy_is_evosax_s_own_at_rate_one(strategy):
    pytest.importorskip("evosax")
    part = {"name": "es", "strategy": strategy, "population": 16, "sigma": 0.3}
    rule, x = optimizer.make(optimizer.check(part)), {"w": jnp.array([3.0, -2.0]), "b": jnp.array([1.0])}
    loss = lambda p: jnp.sum(p["w"] ** 2) + jnp.sum(p["b"] ** 2)
    context = optimizer_context(jnp.float32(0.2), 0, jnp.float32(1), x, Objective(loss, None))

    def body(carry, key):
        x, state = carry
        grads, state = rule.estimator.estimate(x, state, None, key, context.objective)
        update, state = rule.update(grads, state, x, context)
        return (
            jax.tree.map(lambda w, d: w - context.learning_rate * d, x, update.direction),
            state,
        ), loss(x)

    keys = jax.random.split(jax.random.key(1), 200)
    _, losses = jax.jit(lambda x: jax.lax.scan(body, (x, rule.init(x, context.stacked_axes)), keys))(x)
    assert float(losses[-10:].mean()) < 0.2 * float(losses[0])
    assert (rule.gradient_free, rule.evals_per_step) == (True, 16)


def searched(loss, x, sigma=0.3, candidates=7, key=3):
    """The step of a random search, and the losses of its candidates, each computed by itself."""
    rule = optimizer.make({"name": "random_search", "sigma": sigma, "candidates": candidates})
    seen = []
    note = lambda p: seen.append({path: np.array(value) for path, value in p.items()}) or loss(p)
    with jax.disable_jit():  # every candidate is seen as a plain array
        estimate, _ = rule.estimator.estimate(x, (), None, jax.random.key(key), Objective(note, None))
    assert rule.evals_per_step == len(seen) == candidates + 1
    return estimate, seen


@pytest.mark.parametrize("key", range(4))
def test_a_random_search_goes_to_the_best_of_its_points(key):
    x = {"kernel": jnp.array([[-1.2, 0.7]]), "bias": jnp.array([0.3])}
    estimate, points = searched(bowl, x, key=key)
    lowest = min(points, key=lambda point: float(bowl(point)))
    for path, value in x.items():
        np.testing.assert_allclose(value - estimate[path], lowest[path], atol=1e-6)
    spread = np.concatenate([(point[path] - x[path]).ravel() for point in points[1:] for path in x])
    assert 0.15 < spread.std() < 0.45  # of sigma = 0.3, over 21 entries
    assert len(np.unique(spread)) == spread.size


@pytest.mark.parametrize(
    "loss",
    [lambda p: jnp.zeros(()), lambda p: jnp.sum(p["w"] ** 2), lambda p: jnp.log(-jnp.sum(p["w"] ** 2))],
)
def test_a_random_search_stays_where_no_point_is_better(loss):
    estimate, _ = searched(loss, {"w": jnp.zeros(3)})
    assert (np.asarray(estimate["w"]) == 0).all()


def test_a_random_search_never_climbs_and_counts_its_losses():
    found = driver("optimizer=random_search", "optimizer.candidates=4", "depth=1")
    assert found.recipe.lr == 1
    state, losses = found.random(), []
    for at in range(8):
        taken = found.train_step(state, batch(), at=at, key=at)
        assert taken.steps["evaluations"] == 5 * at
        state, losses = taken.state, [*losses, taken.steps["loss"]]
    assert all(later <= before + 1e-6 for before, later in pairwise(losses))
    assert losses[-1] < losses[0]


def test_an_odd_population_is_refused():
    with pytest.raises(RecipeError, match="population=7 must be even"):
        optimizer.check({"name": "es", "strategy": "snes", "population": 7, "sigma": 0.1})


# --- phases

FIRST = {"optimizer": "momentum", "decay": 0.9, "lr": 0.02}
SECOND = {"optimizer": "adam", **ADAM, "lr": 0.1}


def phased(first_end, memory="fresh"):
    part = optimizer.check({"name": "phases", "phases": [FIRST | first_end, SECOND], "memory": memory})
    with jax.enable_x64(True):
        run = walk.__wrapped__((("name", "phases"), ("phases", part["phases"]), ("memory", memory)), "bowl")
        (x, phase, losses), _ = run({})
    return {key: np.asarray(value) for key, value in x.items()}, np.asarray(phase), np.asarray(losses)


@pytest.mark.slow
@pytest.mark.parametrize("memory", ["fresh", "carried"])
def test_a_phase_ends_at_its_step_and_the_next_begins(memory):
    actual, phase, _ = phased({"until_step": 8.0}, memory)
    _, gradient, _ = PROBLEMS["bowl"]
    x = START
    first, second = rules.Optimizer({"name": "momentum", **FIRST}), rules.Optimizer({"name": "adam", **ADAM})
    for step in range(STEPS):
        g = gradient(x)
        first_delta = first.delta(g, 0.02) if step < 8 or memory == "carried" else None
        second_delta = second.delta(g, 0.1) if step >= 8 or memory == "carried" else None
        delta = first_delta if step < 8 else second_delta
        x = {key: w + delta[key] for key, w in x.items()}
        for key in START:
            np.testing.assert_allclose(actual[key][step], x[key], rtol=1e-7, atol=1e-9)
    assert phase.tolist() == [0] * 8 + [1] * 12


def smoothed(losses):
    """The running mean of losses (steps,) after each of them."""
    means = [losses[0]]
    for loss in losses[1:]:
        means.append(0.9 * means[-1] + 0.1 * loss)
    return np.array(means)


@pytest.mark.slow
def test_a_fresh_memory_begins_where_its_phase_does():
    part = {
        "name": "phases",
        "memory": "fresh",
        "phases": [FIRST | {"until_step": 2.0}, {"optimizer": "optax:schedule_free_sgd"}],
    }
    rule, stacked_axes = optimizer.make(optimizer.check(part)), {"w": 0}
    state, params = rule.init({"w": jnp.zeros(2)}, stacked_axes), {"w": jnp.array([3.0, -1.0])}
    for step, expected in ((1, jnp.zeros(2)), (2, params["w"]), (3, params["w"])):
        state = rule.begin_step(state, jnp.int32(step), jnp.float32(1), params, stacked_axes)
        np.testing.assert_array_equal(state.states[1][0].z["w"], expected)


def test_an_argument_of_optax_that_is_none_may_be_given():
    part = optimizer.check({"name": "optax:sgd", "momentum": 0.9})
    actual, expected = walked(part, "bowl"), walked({"name": "momentum", "decay": 0.9}, "bowl")
    np.testing.assert_allclose(actual["kernel"], expected["kernel"], rtol=1e-9)
    assert "momentum" not in optimizer.check({"name": "optax:sgd"})


def test_a_phase_ends_where_the_smoothed_loss_is_low_enough():
    _, phase, losses = phased({"until_loss": 3.0})
    assert phase.tolist() == [int(value) for value in np.maximum.accumulate(smoothed(losses) < 3.0)]
    assert 0 < phase.sum() < STEPS


@pytest.mark.slow
def test_a_phase_ends_on_a_plateau():
    _, phase, losses = phased({"until_plateau": 2.0})
    best, since, ended = np.inf, 0, []
    for loss in smoothed(losses):
        best, since = (loss, 0) if loss < best else (best, since + 1)
        ended.append(since >= 2)
    assert phase.tolist() == [int(value) for value in np.maximum.accumulate(ended)]


@pytest.mark.few(4)
@pytest.mark.parametrize(
    ("phases", "message"),
    [
        ([FIRST], "must be a list of phases"),
        ([FIRST, SECOND], "phases 1 (momentum) needs one of until_step, until_loss, until_plateau; got none"),
        ([FIRST | {"until_step": 5.0, "until_loss": 1.0}, SECOND], "needs one of"),
        ([FIRST | {"until_step": 5.0}, SECOND | {"until_step": 9.0}], "needs no end, it is the last"),
        (
            [FIRST | {"until_step": 9.0}, SECOND | {"until_step": 5.0}, SECOND],
            "until_step must grow from phase to phase, got [9.0, 5.0]",
        ),
        ([FIRST | {"until_step": -1.0}, SECOND], "until_step=-1.0 must be a number above 0"),
        ([{"optimizer": "momentun", "until_step": 1.0}, SECOND], "did you mean 'momentum'"),
        ([{"optimizer": "phases", "until_step": 1.0}, SECOND], "needs an optimizer of its own"),
        (
            [{"optimizer": None, "until_step": 1.0}, SECOND],
            "needs an optimizer of its own: optimizer: one of adagrad",
        ),
        ([FIRST | {"name": "sign", "until_step": 1.0}, SECOND], "needs an optimizer of its own"),
        ([FIRST | {"until_step": 1.0, "decai": 0.3}, SECOND], "no option 'optimizer.decai'"),
    ],
)
def test_phases_out_of_order_or_misspelt_are_reported_in_one_line(phases, message):
    with pytest.raises(RecipeError) as caught:
        optimizer.check({"name": "phases", "phases": phases, "memory": "fresh"})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
