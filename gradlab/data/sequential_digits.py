"""The handwritten digits as sequences: read a row or a pixel at a time (Le et al. 2015 did so with MNIST)."""

from typing import Literal

from gradlab.data.digits import digits
from gradlab.data.task import Task, data
from gradlab.recipe.bounds import Count, Fraction


@data
def sequential_digits(seed: Count, test_fraction: Fraction, by: Literal["row", "pixel"]) -> Task:
    """8 steps of a row's 8 pixels, or 64 steps of one pixel; the same examples as data=digits."""
    task = digits(seed, test_fraction)
    shape = (-1, 8, 8) if by == "row" else (-1, 64, 1)
    images = {"train_x": task.train_x.reshape(shape), "test_x": task.test_x.reshape(shape)}
    sequence: Task = task._replace(source=f"{task.source}, a {by} at a time", **images)
    return sequence
