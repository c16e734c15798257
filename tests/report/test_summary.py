"""The few lines of a run's end: what it was, where it began and ended."""

from itertools import pairwise

import jax.numpy as jnp
import pytest

from gradlab.commands.compose.grid import grid
from gradlab.engine.prepare import prepare
from gradlab.recipe.recipe import plain
from gradlab.report.summary import aligned, describe, power_of_ten, start_and_end
from gradlab.store.read import open_run
from tests import runs


def described(*words: str) -> str:
    (recipe,) = grid(words).recipes
    return describe(plain(recipe), prepare(recipe).layout.used)


def net(plan, key):
    """A network of one block, which knows the sizes of its data only."""
    return [
        (
            lambda params, x: x.reshape(len(x), -1) @ params["w"],
            {"w": jnp.ones((plan.features, plan.outputs))},
        )
    ]


def deep(plan, key):
    """One that reads the recipe's depth and width."""
    sizes = [plan.features, *[plan.width] * plan.depth, plan.outputs]
    return [
        (lambda params, x: x.reshape(len(x), -1) @ params["w"], {"w": jnp.ones(pair)})
        for pair in pairwise(sizes)
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["model=point"], "point · loss rosenbrock · sgd lr 0.1 · clip none · single · seed 0"),
        (
            ["model=linear", "activation=linear"],
            "linear · depth 1 · orthogonal · sgd lr 0.1 · clip none · digits · seed 0",
        ),
        (["model=perceptron", "activation=sigmoid"], "perceptron · depth 1 · sigmoid · orthogonal · sgd"),
        ([f"model={__name__}:net"], f"{__name__}:net · sgd lr 0.1 · clip none · digits · seed 0"),
        ([f"model={__name__}:deep", "depth=3"], f"{__name__}:deep · depth 3 · width 64 · sgd"),
        (["batch_size=64"], "digits · batch 64 · seed 0"),
        (["batch_size=0", "dtype=bfloat16"], "digits · all examples · bfloat16 · seed 0"),
        (["log.every=5", "freeze=[input/*]"], "digits · measured every 5 steps · frozen input/* · seed 0"),
    ],
)
def test_a_header_names_only_what_takes_part(words, said):
    assert said in described(*words)


def test_a_stored_run_without_that_knowledge_names_everything():
    (recipe,) = grid(["model=point"]).recipes
    assert "depth 1 · width 1 · tanh" in describe(plain(recipe))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["depth=50", "clip=norm"],
            "mlp · depth 50 · width 64 · tanh · orthogonal · sgd lr 0.1 · clip norm 1.0 · digits · seed 0",
        ),
        (["initializer=normal", "initializer.sigma_w=2"], "normal sigma_w 2.0 ·"),
        (["normalization=layer", "residual=scaled"], "normalization layer · residual scaled"),
        (["schedule=linear", "seeds=3", "dropout=0.1"], "dropout 0.1 · sgd lr 0.1 · linear · clip none"),
        (["seeds=3", "seed=2"], "seeds 2–4"),
    ],
)
def test_a_header_names_what_is_chosen(words, said):
    assert said in described(*words)


@pytest.mark.parametrize(
    ("log10", "said"),
    [
        (0.0, "1"),
        (-127.3, "5.0e-128"),
        (58.0, "1.0e+58"),
        (float("-inf"), "0"),
        (float("nan"), "nan"),
        (-2, "0.01"),
    ],
)
def test_a_power_is_right_beyond_the_range_of_floats(log10, said):
    assert power_of_ten(log10) == said


def test_the_table_has_the_first_and_the_last_step(tmp_path):
    lines = start_and_end(open_run(runs.simple(tmp_path / "run", depth=20, seeds=3))).splitlines()
    assert [line.split()[0] for line in lines] == ["step", "0", "100"]
    assert "backward 20" in lines[0]
    assert lines[1].split()[1:4] == ["2.35", "0.10", "0.10"]
    assert lines[2].split()[1:4] == ["0.09", "0.97", "0.97"]


def test_columns_are_aligned():
    assert aligned([["a", "b"], ["long", "1.5"]]) == "a       b\nlong  1.5"
