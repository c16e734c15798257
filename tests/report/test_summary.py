"""The few lines of a run's end: what it was, where it began and ended."""

import pytest

from gradlab.commands.compose.grid import grid
from gradlab.recipe.recipe import plain
from gradlab.report.summary import aligned, describe, power_of_ten, start_and_end
from gradlab.store.read import open_run
from tests import runs


def described(*words: str) -> str:
    (recipe,) = grid(words).recipes
    return describe(plain(recipe))


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
