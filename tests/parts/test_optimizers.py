"""Optimizers against their formulas in float64, twenty steps down a bowl and a valley; PyTorch where it agrees."""

from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gradlab.engine.families import FAMILIES
from gradlab.parts.optimizers.contract import Objective, OptimizerContext
from gradlab.recipe.errors import RecipeError
from tests import rules

optimizer = FAMILIES["optimizer"]  # with the optimizers of all files
STEPS = 20
ADAM = {"b1": 0.9, "b2": 0.999, "eps": 1e-8}
OPTIMIZERS = [
    {"name": "sgd"},
    {"name": "gd"},
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
APART = {"phases", "spsa", "es"}  # random, or made of others: tested below
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


@lru_cache
def walk(words, problem):
    """gradlab's own steps from START, for any numbers of an optimizer of this structure."""
    loss, _, rate = PROBLEMS[problem]
    fixed = dict(words)

    def run(numbers):
        rule = optimizer.make(fixed | numbers)
        stacked_axes = dict.fromkeys(START, 0)
        batch = Objective(loss, jax.grad(loss))

        def body(carry, step):
            x, memory = carry
            value = loss(x)
            memory = rule.begin_step(memory, step, value, x, stacked_axes)
            grads = jax.grad(loss)(x)
            if rule.estimate_gradient is not None:
                key = jax.random.fold_in(jax.random.key(7), step)
                grads, memory = rule.estimate_gradient(x, memory, grads, key, batch)
            phase = rule.phase(memory)
            peak = rate if rule.pace is None else rule.pace(memory, rate)
            given = OptimizerContext(jnp.asarray(peak), step, value, stacked_axes, batch)
            move, memory = rule.update(grads, memory, x, given)
            decay = move.decay or {}
            own = move.paced(given.rate)
            x = {key: w - own * move.direction[key] - given.rate * decay.get(key, 0) for key, w in x.items()}
            return (x, memory), (x, phase, value)

        x = jax.tree.map(jnp.asarray, START)
        (_, memory), found = jax.lax.scan(body, (x, rule.init(x, stacked_axes)), jnp.arange(STEPS))
        return found, rule.evaluated(memory, x)

    return jax.jit(run)


def walked(part, problem):
    part = optimizer.check(part)
    numbers = {key: value for key, value in part.items() if type(value) is float}
    words = tuple((key, value) for key, value in part.items() if type(value) is not float)
    with jax.enable_x64(True):
        (x, _, _), _ = walk(words, problem)(numbers)
    return {key: np.asarray(value) for key, value in x.items()}


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("part", OPTIMIZERS, ids=named)
def test_twenty_steps_are_the_formula_s(part, problem):
    _, gradient, rate = PROBLEMS[problem]
    x, rule, wanted = START, rules.Optimizer(part), []
    for _ in range(STEPS):
        g = gradient(x)
        if part["name"] == "sam":
            size = np.sqrt(sum((value**2).sum() for value in g.values()))
            g = gradient({key: w + part["rho"] * g[key] / size for key, w in x.items()})
        moved = rule.move(g, rate, x)
        x = {key: w + moved[key] for key, w in x.items()}
        wanted.append(x)
    found = walked(part, problem)
    for key in START:
        np.testing.assert_allclose(found[key], [one[key] for one in wanted], rtol=1e-9, atol=1e-12)


def test_every_optimizer_stands_in_the_table():
    assert {part["name"] for part in OPTIMIZERS} | APART == optimizer.makers.keys()


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
    wanted = []
    for _ in range(STEPS):
        rule.zero_grad()
        loss(x).backward()
        rule.step()
        wanted.append({key: value.detach().numpy().copy() for key, value in x.items()})
    found = walked(part, "bowl")
    for key in START:
        np.testing.assert_allclose(found[key], [one[key] for one in wanted], rtol=1e-7, atol=1e-10)


TRIED = "adafactor amsgrad lamb lars muon nadam schedule_free_adamw schedule_free_sgd contrib.prodigy".split()


@pytest.mark.parametrize("name", TRIED)
def test_an_optimizer_of_optax_is_optax_s(name):
    """At every step as with a learning rate of Optax's own."""
    loss, _, rate = PROBLEMS["bowl"]
    word = name.removeprefix("contrib.")
    made = getattr(optax, word, None) or getattr(optax.contrib, word)
    with jax.enable_x64(True):
        x, rule = jax.tree.map(jnp.asarray, START), made(rate)
        memory, wanted = rule.init(x), []
        for _ in range(STEPS):
            updates, memory = rule.update(jax.grad(loss)(x), memory, x)
            x = optax.apply_updates(x, updates)
            wanted.append(x)
    found = walked({"name": f"optax:{name}"}, "bowl")
    for key in START:
        np.testing.assert_allclose(found[key], [one[key] for one in wanted], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", ["lamb", "lars", "muon", "adafactor", "sgd"])
def test_a_stack_of_layers_is_to_optax_what_the_layers_are(name):
    rule = optimizer.make(optimizer.check({"name": f"optax:{name}"}))
    rng = np.random.default_rng(1)
    layers = {f"{k}": jnp.asarray(rng.standard_normal((4, 4)) * 3**k, jnp.float32) for k in range(3)}
    stack = {"stack": jnp.stack(list(layers.values()))}
    given = lambda stacked_axes: OptimizerContext(
        jnp.float32(0.1), jnp.int32(0), jnp.float32(1), stacked_axes, Objective(None, None)
    )
    found = []
    for params in (layers, stack):
        stacked_axes = dict.fromkeys(params, int(params is stack))
        grads = jax.tree.map(lambda w: w**2 - 0.3, params)
        memory = rule.init(params, stacked_axes)
        for _ in range(3):
            move, memory = rule.update(grads, memory, params, given(stacked_axes))
        found.append(move.direction)
    np.testing.assert_allclose(found[1]["stack"], jnp.stack([*found[0].values()]), rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("part", "told"),
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
def test_a_wrong_name_or_argument_is_told_in_one_line(part, told):
    with pytest.raises(RecipeError) as caught:
        optimizer.check(part)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_schedule_free_is_evaluated_at_its_average():
    part = optimizer.check({"name": "optax:schedule_free_sgd"})
    rule, x = optimizer.make(part), {"w": jnp.array([1.0, -2.0])}
    memory = rule.init(x, {"w": 0})
    given = OptimizerContext(jnp.float32(0.1), jnp.int32(0), jnp.float32(1), {"w": 0}, Objective(None, None))
    for _ in range(3):
        move, memory = rule.update(x, memory, x, given)
        x = {"w": x["w"] - move.rate * move.direction["w"]}
    z = memory[0].z["w"]
    np.testing.assert_allclose(rule.evaluated(memory, x)["w"], (x["w"] - 0.1 * z) / 0.9, rtol=1e-5)


# --- gradient-free


def test_spsa_is_the_gradient_on_average():
    rule = optimizer.make({"name": "spsa", "perturbation": 1e-3, "pairs": 4000})
    x = {"kernel": jnp.array([[-1.2, 0.7]]), "bias": jnp.array([0.3])}
    found, _ = rule.estimate_gradient(x, (), None, jax.random.key(0), Objective(bowl, None))
    for key, g in jax.grad(bowl)(x).items():  # each entry strays by |g|·√(entries/pairs), 3.1·0.03
        np.testing.assert_allclose(found[key], g, atol=0.4)


def test_one_parameter_makes_spsa_exact():
    rule = optimizer.make({"name": "spsa", "perturbation": 0.5, "pairs": 1})
    loss = lambda p: 3 * p["x"][0] ** 2
    found, _ = rule.estimate_gradient(
        {"x": jnp.array([2.0])}, (), None, jax.random.key(3), Objective(loss, None)
    )
    assert float(found["x"][0]) == pytest.approx(12, rel=1e-6)


@pytest.mark.parametrize("strategy", ["open_es", "sep_cma_es", "snes", "pgpe"])
def test_an_evolution_strategy_is_evosax_s_own_at_rate_one(strategy):
    pytest.importorskip("evosax")
    part = {"name": "es", "strategy": strategy, "population": 16, "sigma": 0.3}
    rule, x = optimizer.make(optimizer.check(part)), {"w": jnp.array([3.0, -2.0]), "b": jnp.array([1.0])}
    loss = lambda p: jnp.sum(p["w"] ** 2) + jnp.sum(p["b"] ** 2)
    given = OptimizerContext(
        jnp.float32(0.2), jnp.int32(0), jnp.float32(1), {"w": 0, "b": 0}, Objective(loss, None)
    )

    def body(carry, key):
        x, memory = carry
        grads, memory = rule.estimate_gradient(x, memory, None, key, given.batch)
        move, memory = rule.update(grads, memory, x, given)
        return (jax.tree.map(lambda w, d: w - given.rate * d, x, move.direction), memory), loss(x)

    keys = jax.random.split(jax.random.key(1), 200)
    _, losses = jax.jit(lambda x: jax.lax.scan(body, (x, rule.init(x, given.stacked_axes)), keys))(x)
    assert float(losses[-10:].mean()) < 0.2 * float(losses[0])
    assert (rule.free, rule.cost) == (True, 16)


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


@pytest.mark.parametrize("memory", ["fresh", "carried"])
def test_a_phase_ends_at_its_step_and_the_next_begins(memory):
    found, phase, _ = phased({"until_step": 8.0}, memory)
    _, gradient, _ = PROBLEMS["bowl"]
    x, one, two = (
        START,
        rules.Optimizer({"name": "momentum", **FIRST}),
        rules.Optimizer({"name": "adam", **ADAM}),
    )
    for step in range(STEPS):
        g = gradient(x)
        first = one.move(g, 0.02) if step < 8 or memory == "carried" else None
        second = two.move(g, 0.1) if step >= 8 or memory == "carried" else None
        moved = first if step < 8 else second
        x = {key: w + moved[key] for key, w in x.items()}
        for key in START:
            np.testing.assert_allclose(found[key][step], x[key], rtol=1e-7, atol=1e-9)
    assert phase.tolist() == [0] * 8 + [1] * 12


def smoothed(losses):
    kept = [losses[0]]
    for value in losses[1:]:
        kept.append(0.9 * kept[-1] + 0.1 * value)
    return np.array(kept)


def test_a_fresh_memory_begins_where_its_phase_does():
    part = {
        "name": "phases",
        "memory": "fresh",
        "phases": [FIRST | {"until_step": 2.0}, {"optimizer": "optax:schedule_free_sgd"}],
    }
    rule, stacked_axes = optimizer.make(optimizer.check(part)), {"w": 0}
    memory, now = rule.init({"w": jnp.zeros(2)}, stacked_axes), {"w": jnp.array([3.0, -1.0])}
    for step, wanted in ((1, jnp.zeros(2)), (2, now["w"]), (3, now["w"])):
        memory = rule.begin_step(memory, jnp.int32(step), jnp.float32(1), now, stacked_axes)
        np.testing.assert_array_equal(memory.states[1][0].z["w"], wanted)


def test_an_argument_of_optax_that_is_none_may_be_given():
    given = optimizer.check({"name": "optax:sgd", "momentum": 0.9})
    found, wanted = walked(given, "bowl"), walked({"name": "momentum", "decay": 0.9}, "bowl")
    np.testing.assert_allclose(found["kernel"], wanted["kernel"], rtol=1e-9)
    assert "momentum" not in optimizer.check({"name": "optax:sgd"})


def test_a_phase_ends_where_the_smoothed_loss_is_low_enough():
    _, phase, losses = phased({"until_loss": 3.0})
    assert phase.tolist() == [int(value) for value in np.maximum.accumulate(smoothed(losses) < 3.0)]
    assert 0 < phase.sum() < STEPS


def test_a_phase_ends_on_a_plateau():
    _, phase, losses = phased({"until_plateau": 2.0})
    kept, best, since, ended = smoothed(losses), np.inf, 0, []
    for value in kept:
        best, since = (value, 0) if value < best else (best, since + 1)
        ended.append(since >= 2)
    assert phase.tolist() == [int(value) for value in np.maximum.accumulate(ended)]


@pytest.mark.parametrize(
    ("phases", "told"),
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
def test_phases_out_of_order_or_misspelt_are_told_in_one_line(phases, told):
    with pytest.raises(RecipeError) as caught:
        optimizer.check({"name": "phases", "phases": phases, "memory": "fresh"})
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
