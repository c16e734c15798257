"""Recipes as `gradlab run` composes them, small enough to train in a moment."""

from functools import cache
from pathlib import Path

from gradlab import launch as launching
from gradlab.commands.compose.grid import grid
from gradlab.engine.prepare import prepare
from gradlab.recipe.recipe import Recipe

TINY = ("depth=2", "width=8", "steps=8", "eval.every=4", "batch_size=16")


@cache
def _composed(words: tuple[str, ...]) -> Recipe:
    return grid(words).recipes[0]


def recipe(*words: str) -> Recipe:
    """The recipe of `gradlab run WORDS`."""
    return _composed(words)


def tiny(outputs: Path | str, *words: str) -> Recipe:
    """A network of two hidden layers that trains for eight steps, unless the words say otherwise."""
    return recipe(*TINY, f"outputs={outputs}", *words)


def launch(
    recipe: Recipe, report: launching.run.Report = None, write_seconds: float = 0.0
) -> launching.run.Outcome:
    """Run a recipe as `gradlab run` does."""
    return launching.launch(prepare(recipe), report, write_seconds=write_seconds)
