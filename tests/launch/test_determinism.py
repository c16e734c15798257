"""The same recipe is the same bits: in another process, whatever is measured, and beside other runs."""

from pathlib import Path

import pytest

from gradlab.recipe.recipe import folder_name
from tests.launch import stored
from tests.recipes import tiny


def place(recipe) -> Path:
    return Path(recipe.outputs) / recipe.study / folder_name(recipe)


RANDOM = ("dropout=0.1", "clip=norm", "normalization=batch")


@pytest.mark.slow
@pytest.mark.parametrize("words", [(), pytest.param(RANDOM, marks=pytest.mark.slow)], ids=["plain", "random"])
def test_two_processes_write_the_same_bytes(children, tmp_path, words):
    recipes = [tiny(tmp_path / name, *words) for name in "ab"]
    assert [children.run(recipe) for recipe in recipes] == [0, 0]
    first, second = (stored.result(place(recipe)) for recipe in recipes)
    assert first == second
    assert first.keys() >= {"layers/all.parquet", "steps/all.parquet", "parameters/all.parquet"}


@pytest.mark.slow
def test_force_writes_the_same_bytes_again(children, tmp_path):
    assert children.run(tiny(tmp_path)) == 0
    folder = place(tiny(tmp_path))
    before, written = stored.result(folder), (folder / "layers" / "all.parquet").stat().st_ino
    assert children.run(tiny(tmp_path, "force=true")) == 0
    assert stored.result(folder) == before
    assert (folder / "layers" / "all.parquet").stat().st_ino != written


@pytest.mark.slow
def test_what_is_measured_does_not_change_the_training(children, tmp_path):
    recipes = [tiny(tmp_path, *words) for words in ((), ("probe=[forward]",), ("log.every=3",))]
    assert [children.run(recipe) for recipe in recipes] == [0, 0, 0]
    first, *others = [stored.weights(place(recipe)) for recipe in recipes]
    for other in others:
        assert {key: leaf.tobytes() for key, leaf in first.items()} == {
            key: leaf.tobytes() for key, leaf in other.items()
        }
