"""The cells of a grid share what is composed; each has the recipe that it has alone, and that Hydra composes of it."""

import itertools
from collections.abc import Iterable

import jax.numpy as jnp
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from gradlab import Column, Probe
from gradlab.commands.compose import composition, references
from gradlab.commands.compose.grid import grid, recipe_of
from gradlab.engine.checks import check
from gradlab.recipe import options
from gradlab.recipe.errors import RecipeError
from gradlab.recipe.paths import CONF
from gradlab.recipe.recipe import Recipe, folder_name

HERE = __name__
Axes = dict[str, list[str]]


def snake(z, frequency=1.0, times=1):
    return z + times * jnp.sin(frequency * z) ** 2 / frequency


def length():
    return Probe((Column("length", "zero", kind="step"),), update=lambda now, state: ({"length": 0.0}, state))


PLAIN: dict[str, Axes] = {
    "numbers": {"depth": ["10", "20"], "lr": ["1", "1e-3"], "seed": ["0", "7"]},
    "separate groups": {"clip": ["norm", "none"], "initializer": ["he", "xavier"], "activation": ["tanh", "gelu"]},
    "a model that sets other groups": {"model": ["resnet", "mlp"], "normalization": ["none", "layer"]},
    "a data set that sets the loss": {"data": ["diabetes", "digits"], "initializer": ["he", "lecun"]},
    "an optimizer that sets the batch": {"optimizer": ["gd", "adam"], "clip": ["none", "norm"]},
    "numbers of an option": {"clip": ["norm"], "clip.threshold": ["1", "0.5"], "clip.p": ["1", "inf"]},
    "lists": {"freeze": ["[]", "[input/*]"], "lr_factors": ["{a: 1, b: 0.5}", "{b: 1}"]},
    "probes": {"probe": ["[forward]", "[forward,backward]"], "probes.forward.every": ["1", "3"]},
    "texts like numbers": {"study": ["2026", "1.5", "'1e3'"], "quiet": ["true"]},
}  # fmt: skip
OWN: dict[str, Axes] = {
    "a function": {
        "activation": [f"{HERE}:snake"],
        "activation.frequency": ["1", "2.5"],
        "activation.times": ["1", "2"],
    },
    "a function of Optax": {"optimizer": ["sgd", "optax:lamb"], "lr": ["0.1", "0.01"]},
    "a function among probes": {"probe": [f"[forward,{HERE}:length]", "[forward]"], "depth": ["3", "4"]},
    "options of a folder": {"clip": ["gentle", "norm", "none"], "activation": ["wave", "relu"]},
    "phases": {
        "optimizer": ["phases"],
        "optimizer.phases": [
            f"[{{optimizer: {name}, until_step: 9}},{{optimizer: sgd}}]" for name in ("adam", "sgd")
        ],
    },
    "an experiment": {
        "experiment": ["vanishing_by_activation"],
        "activation": ["relu", "tanh"],
        "depth": ["3"],
    },
}


def cells(axes: Axes) -> list[list[str]]:
    """The words of each cell."""
    rows = itertools.product(*axes.values())
    return [[f"{key}={value}" for key, value in zip(axes, values, strict=True)] for values in rows]


def composed(axes: Axes, **more: object) -> list[Recipe]:
    return grid([f"{key}={','.join(values)}" for key, values in axes.items()], True, **more).recipes


def composed_by_hydra(words: Iterable[str]) -> Recipe:
    """The recipe of which Hydra and OmegaConf make everything, the numbers included."""
    forced = [word if word.partition("=")[0] in options.groups() else f"++{word}" for word in words]
    with initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
        values = OmegaConf.to_container(compose("config", overrides=forced), resolve=True)
    del values["engine"]
    return check(recipe_of(values))


def assert_same(recipes: list[Recipe], expected: list[Recipe]) -> None:
    """Equal to the last digit and type, and in the same folders."""
    assert [repr(recipe) for recipe in recipes] == [repr(recipe) for recipe in expected]
    assert [folder_name(recipe) for recipe in recipes] == [folder_name(recipe) for recipe in expected]
    assert len({repr(recipe) for recipe in recipes}) == len(recipes) > 1


@pytest.mark.parametrize("kind", PLAIN)
def test_a_cell_has_the_recipe_that_hydra_composes(kind):
    assert_same(composed(PLAIN[kind]), [composed_by_hydra(words) for words in cells(PLAIN[kind])])


@pytest.fixture
def config_dir(tmp_path):
    for name, text in {
        "clip/gentle": "name: norm\nthreshold: 10.0\n",
        "activation/wave": f"name: {HERE}:snake\nfrequency: 2\n",
    }.items():
        (tmp_path / name).parent.mkdir()
        (tmp_path / f"{name}.yaml").write_text(text)
    return tmp_path


@pytest.mark.parametrize("kind", OWN)
def test_a_cell_has_the_recipe_that_it_has_alone(kind, config_dir):
    alone = [grid(["hydra.mode=RUN", *words], config_dir=config_dir).recipes for words in cells(OWN[kind])]
    assert_same(composed(OWN[kind], config_dir=config_dir), [recipe for (recipe,) in alone])


def test_hydra_composes_each_option_once_and_not_each_combination(monkeypatch):
    composed_choices = []

    def counted(name, overrides):
        composed_choices.append(overrides)
        return compose(name, overrides=overrides)

    monkeypatch.setattr(composition, "compose", counted)
    axes = {
        "clip": ["norm", "value", "agc"],
        "initializer": ["he", "xavier", "lecun"],
        "seed": ["0", "1", "2"],
    }
    assert len(composed(axes)) == 27
    assert len(composed_choices) == 5  # three options of one group, two more of the other


@pytest.fixture
def experiment(tmp_path, monkeypatch):
    """Write `experiments/mine.yaml` into an empty current folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "experiments").mkdir()

    def write(text: str) -> None:
        (tmp_path / "experiments" / "mine.yaml").write_text(f"# Deep?\n{text}\n", "utf-8")

    return write


REFERENCES = """
defaults: [override /clip: norm, override /schedule: milestones]
width: ${depth}
log: ${eval}
freeze: ['${model.name}/*']
study: d${depth}_lr${lr}_${remat}
clip: {threshold: '${lr}'}
schedule: {milestones: [3, '${steps}']}
"""


@pytest.mark.parametrize("followed_here", [True, False])
def test_a_reference_is_the_number_of_its_own_cell(experiment, monkeypatch, followed_here):
    experiment(REFERENCES)
    if not followed_here:  # by OmegaConf
        monkeypatch.setattr(references, "_REFERENCE", references.re.compile("(?!)"))
    recipes = grid(["experiment=mine", "depth=3,4", "lr=0.5,1.5", "steps=9", "eval.every=7"], True).recipes
    for recipe, (depth, lr) in zip(recipes, itertools.product((3, 4), (0.5, 1.5)), strict=True):
        assert (recipe.depth, recipe.width, recipe.lr, recipe.clip["threshold"]) == (depth, depth, lr, lr)
        assert recipe.study == f"d{depth}_lr{lr}_False"
        assert (recipe.log.every, recipe.freeze, recipe.schedule["milestones"]) == (7, ("mlp/*",), [3, 9])


def test_a_number_replaces_a_reference(experiment):
    experiment("width: ${depth}")
    assert [r.width for r in grid(["experiment=mine", "depth=3", "width=5,6"], True).recipes] == [5, 6]


UNRESOLVED = {
    "width: ${depht}": "width: Interpolation key 'depht' not found",
    "width: ${depth}\ndepth: ${width}": "Recursive interpolation",
    "width: ${clip.threshold}": "width: Interpolation key 'clip.threshold' not found",
}


@pytest.mark.parametrize(("text", "message"), UNRESOLVED.items())
def test_a_reference_to_nothing_is_one_line(experiment, text, message):
    experiment(text)
    with pytest.raises(RecipeError) as error:
        grid(["experiment=mine", "seed=0,1"], True)
    assert message in str(error.value)
    assert str(error.value).startswith("seed=0, seed=1: ")
    assert "\n" not in str(error.value)


def test_a_missing_value_is_one_line(experiment):
    experiment("width: ${depth}")
    with pytest.raises(
        RecipeError, match=r"^depth=\?\?\?: depth: Missing mandatory value: depth; 1 of 2 recipes"
    ):
        grid(["experiment=mine", "depth=3,???"], True)


def test_a_reference_to_a_reference_is_followed_too(experiment):
    experiment("seed: ${width}\nwidth: ${depth}")
    recipes = grid(["experiment=mine", "depth=3,4"], True).recipes
    assert [(recipe.seed, recipe.width) for recipe in recipes] == [(3, 3), (4, 4)]


EMPTY = {
    "depth=": "depth= must be a whole number",
    "depth=range(5,5)": "is a list without a value; give one or more",
    "clip=glob(gg*)": "'clip=glob(gg*)' matches nothing; clip has agc, ",
    "depth=glob(1*)": "a pattern stands for options of a group",
    "experiment=mine": "the grid's list of clip is empty; give one value or more",
}


@pytest.mark.parametrize(("word", "message"), EMPTY.items())
def test_an_empty_grid_is_one_line(experiment, word, message):
    experiment("hydra: {mode: MULTIRUN, sweeper: {params: {clip: []}}}")
    with pytest.raises(RecipeError) as error:
        grid([word], True)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


REPEATED = {
    "depth=10,20": (2, ""),
    "depth=10,10": (1, "1 of 2 cells repeats the recipe of an earlier cell, which is run once"),
    "lr=1,1.0,2": (
        2,
        "1 of 3 cells repeats the recipe of an earlier cell, which is run once: lr=1.0 (as lr=1)",
    ),
    "depth=3,3 lr=1,2": (
        2,
        "2 of 4 cells repeat the recipe of an earlier cell, which is run once: lr=1, lr=2",
    ),
    "outputs=a,b": (2, ""),
}


@pytest.mark.parametrize(("words", "expected"), REPEATED.items())
def test_cells_of_one_recipe_are_one_run_and_it_is_said(words, expected):
    study = grid(words.split(), True)
    assert (len(study.recipes), "".join(study.repeats)) == expected
