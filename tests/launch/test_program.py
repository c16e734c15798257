"""Compiled once: recipes of equal structure share their programs, whatever their numbers."""

import jax
import pytest

from gradlab import program
from gradlab.launch import launch
from gradlab.recipe import numbers
from tests.launch import stored
from tests.recipes import TINY, recipe, tiny
from tests.test_conf import FILES, part

compiled: list[str] = []  # every compilation of this process, as JAX itself counts
jax.monitoring.register_event_duration_secs_listener(
    lambda event, seconds, **more: (
        compiled.append(event) if event.endswith("backend_compile_duration") else None
    )
)
# between them: every number of every part
NETWORKS = [
    "activation=leaky_relu initializer=normal normalization=batch optimizer=adam schedule=exponential "
    "clip=value penalty=l2 dropout=0.1",
    "initializer=orthogonal normalization=layer optimizer=momentum schedule=linear clip=norm",
    "initializer=small_normal normalization=rms",
]
CHANGED = {
    "clip.threshold": 1e-3,
    "schedule.end": 0.5,
    "schedule.period": 2.0,
    "dropout": 0.5,
    "initializer.sigma_b": 0.5,
}
NUMBERS = [
    pytest.param(
        words, key, id=f"{NETWORKS.index(words)}-{key}", marks=[pytest.mark.slow] * words.count("rms")
    )
    for words in NETWORKS
    for key in numbers(recipe(*TINY, *words.split()))
    if key != "data.test_fraction" and (key != "dropout" or "dropout" in words)
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


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(("words", "key"), NUMBERS)
def test_another_number_is_another_run_of_the_same_program(first, tmp_path, words, key):
    before = first(words)
    count, known = len(compiled), program.compilations()
    old = numbers(recipe(*TINY, *words.split()))[key]
    changed = launch(tiny(tmp_path, *words.split(), f"{key}={CHANGED.get(key, old / 2)!r}"))
    assert (len(compiled), program.compilations()) == (count, known)
    assert changed.state == "finished"
    assert tables(stored.result(changed.folder)) != tables(before)  # the number is not baked into the program


def test_the_networks_above_have_every_number_there_is():
    every = {
        f"{path.parent.name}.{key}"
        for path in FILES
        for key, value in part(path).items()
        if type(value) is float and path.parent.name != "probe"
    }
    assert {one.values[1] for one in NUMBERS} == every - {"data.test_fraction"} | {"lr", "dropout"}


def test_a_new_seed_or_horizon_compiles_nothing(tmp_path):
    launch(tiny(tmp_path))
    count, known = len(compiled), program.compilations()
    for words in (
        ("seed=7",),
        ("steps=5",),
        ("steps=0",),
        ("steps=30", "seed=3"),
        ("study=other",),
        ("lr=2",),
    ):
        assert launch(tiny(tmp_path, *words)).state == "finished"
    assert (len(compiled), program.compilations()) == (count, known)


def test_the_second_chunk_compiles_nothing(tmp_path):
    counts = []
    launch(tiny(tmp_path, "seeds=3"), lambda now: counts.append(len(compiled)))
    assert counts[0] == counts[1] == counts[-1]


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_a_split_of_another_size_is_another_program(tmp_path):
    known = program.compilations()
    launch(tiny(tmp_path, "data.test_fraction=0.5"))
    assert program.compilations() == known + 1
