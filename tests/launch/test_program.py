"""Compiled once: recipes of equal structure share their programs, whatever their numbers."""

import jax
import jax.numpy as jnp
import pytest

from gradlab.parts.losses.surfaces import COORDINATES
from gradlab.recipe import options
from gradlab.recipe.paths import CONF
from gradlab.recipe.recipe import leaves, numbers
from tests.driver import batch, driver
from tests.launch import stored
from tests.recipes import TINY, launch, recipe, tiny
from tests.test_conf import FILES, part


def numbers_of(group: str, name: str) -> list[str]:
    """The floats of an option as it stands in its file."""
    return [key for key, value in leaves(part(CONF / group / f"{name}.yaml")).items() if type(value) is float]


compiled: list[str] = []  # every compilation of this process, as JAX itself counts
jax.monitoring.register_event_duration_secs_listener(
    lambda event, seconds, **more: (
        compiled.append(event) if event.endswith("backend_compile_duration") else None
    )
)
# run for real; every number of every part is traced below
NETWORKS = [
    "activation=leaky_relu initializer=normal normalization=batch optimizer=adam schedule=exponential "
    "clip=value penalty=l2 dropout=0.1",
]
CHANGED = {
    "clip.threshold": 1e-3,
    "schedule.period": 2.0,
    "schedule.warmup": 3.0,
    "schedule.horizon": 4.0,
    "dropout": 0.5,
    "initializer.sigma_b": 0.5,
}
HOST_NUMBERS = {"data.test_fraction", "stop.loss"}  # for the host
NUMBERS = [
    pytest.param(words, key, id=f"{NETWORKS.index(words)}-{key}")
    for words in NETWORKS
    for key in numbers(recipe(*TINY, *words.split()))
    if key not in HOST_NUMBERS
]


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """The tables of each network with its own numbers, compiled and run once."""
    made = {}

    def of(words: str) -> dict:
        if words not in made:
            made[words] = stored.result(launch(tiny(tmp_path_factory.mktemp("first"), *words.split())).folder)
        return made[words]

    return of


def tables(result: dict) -> dict:
    return {name: content for name, content in result.items() if name.endswith(".parquet")}


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(("words", "key"), NUMBERS)
def test_another_number_is_another_run_of_the_same_program(first, tmp_path, words, key):
    before = first(words)
    count = len(compiled)
    old = numbers(recipe(*TINY, *words.split()))[key]
    changed = launch(tiny(tmp_path, *words.split(), f"{key}={CHANGED.get(key, old / 2)!r}"))
    assert len(compiled) == count
    assert changed.state == "finished"
    assert tables(stored.result(changed.folder)) != tables(before)  # the number is not baked into the program


GROUPS = "activation initializer normalization residual optimizer schedule clip penalty loss".split()
NEEDS = {"looks_linear": "activation=crelu", "fixup": "model.branch=2"}
ELSEWHERE = {*COORDINATES, "instance"}  # of a point; of images: tests/launch/test_models.py
FLOATS = {  # the options of each group that have numbers, and what stands for none
    group: [name for name in options.groups()[group] if numbers_of(group, name) and name not in ELSEWHERE]
    for group in GROUPS
}
MOST = max(map(len, FLOATS.values()))


@pytest.mark.slow
@pytest.mark.parametrize("turn", range(MOST))
def test_no_number_of_any_part_is_baked_into_the_program(turn):
    """The n-th options of all groups in one network, traced with abstract numbers: each must be read."""
    chosen = {group: names[turn % len(names)] for group, names in FLOATS.items() if names}
    words = dict(chosen) | dict(NEEDS[name].split("=") for name in chosen.values() if name in NEEDS)
    words |= {"dropout": "0.1", "lr_factors": "{input/*:0.5}"}
    found = driver(*(f"{key}={value}" for key, value in words.items()))
    key = jax.random.key(0)
    x, y = map(jnp.asarray, batch())

    def run(given: dict) -> object:
        state = found._initial(given, key)
        return found._step(given, state, x, y, key, jnp.int32(0), jnp.int32(9), measured=True)

    given = found.numbers()
    traced = jax.make_jaxpr(run)(given)
    read = {id(var) for equation in traced.jaxpr.eqns for var in equation.invars}
    baked = [
        name for name, var in zip(sorted(given), traced.jaxpr.invars, strict=True) if id(var) not in read
    ]
    assert set(baked) <= HOST_NUMBERS


def test_every_number_there_is_stands_in_one_of_those_networks():
    traced = {(group, name) for group, names in FLOATS.items() for name in names}
    every = {
        (path.parent.name, path.stem)
        for path in FILES
        if path.parent.name in GROUPS
        and path.stem not in ELSEWHERE
        and any(type(value) is float for value in leaves(part(path)).values())
    }
    assert traced == every


@pytest.mark.slow
def test_a_new_seed_or_horizon_compiles_nothing(tmp_path):
    launch(tiny(tmp_path))
    count = len(compiled)
    for words in (
        ("seed=7",),
        ("steps=5",),
        ("steps=0",),
        ("steps=30", "seed=3"),
        ("study=other",),
        ("lr=2",),
    ):
        assert launch(tiny(tmp_path, *words)).state == "finished"
    assert len(compiled) == count


@pytest.mark.slow
def test_the_second_chunk_compiles_nothing(tmp_path):
    counts = []
    launch(tiny(tmp_path, "seeds=3"), lambda now: counts.append(len(compiled)))
    assert counts[0] == counts[1] == counts[-1]


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_a_split_of_another_size_is_another_program(tmp_path):
    count = len(compiled)
    launch(tiny(tmp_path, "data.test_fraction=0.5"))
    assert len(compiled) >= count + 3  # a start, a chunk, an evaluation
