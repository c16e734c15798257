"""The command that a report gives runs the same recipe: composed, it names the same folder."""

import shlex

import pytest

from gradlab.commands.compose.grid import grid
from gradlab.recipe.recipe import folder_name, plain
from gradlab.report.html.command import command

RECIPES = [
    "depth=50 clip=norm",
    "clip=norm clip.threshold=0.3 lr=0.05",
    "model=resnet",
    "model=transformer",
    "model=lstm data=adding",
    "model=point",
    "model=cnn data=cifar10 optimizer=adam lr=0.001",
    "width=[32,16,8] depth=2",
    "freeze=[input/*] schedule=cosine",
    "seeds=5 seed=3 dropout=0.1 stop.on=[vanishing] loss_scale.kind=dynamic dtype=float16",
    "probe=[forward,backward] log.every=7 eval.every=3",
    "probes.rank.every=10 on_nonfinite=continue",
    "batch_size=0 accumulate=1 stop.patience=3",
]


@pytest.mark.parametrize("words", RECIPES)
def test_it_composes_to_the_same_recipe(words):
    (recipe,) = grid(words.split()).recipes
    line = shlex.split(command(plain(recipe)))
    assert line[:2] == ["gradlab", "run"]
    (again,) = grid(line[2:]).recipes
    assert folder_name(again) == folder_name(recipe)


def test_a_command_that_says_another_recipe_names_another_folder():
    (recipe,) = grid(["depth=50"]).recipes
    line = shlex.split(command(plain(recipe)).replace("lr=0.1", "lr=0.2"))
    assert folder_name(grid(line[2:]).recipes[0]) != folder_name(recipe)


@pytest.mark.parametrize("words", ["clip=[tensor_norm,norm]", "lr_factors={input/*: 0.5}"])
def test_what_no_word_can_say_has_no_command(words):
    assert command(plain(grid([words]).recipes[0])) == ""


def test_nobody_knows_the_command_of_a_foreign_run():
    assert command({"origin": {"source": "log.csv"}, "lr": 0.1}) == ""
