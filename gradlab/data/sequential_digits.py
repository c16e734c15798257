"""The handwritten digits as sequences, one row or one pixel per step, as Le et al. (2015) did with MNIST."""

from typing import Literal

from gradlab.data.digits import digits
from gradlab.data.task import Task, data
from gradlab.recipe.bounds import Count, Fraction


@data
def sequential_digits(seed: Count, test_fraction: Fraction, by: Literal["row", "pixel"]) -> Task:
    """The examples of `digits` as (examples, 8, 8), a row per step, or (examples, 64, 1), a pixel per step."""
    task: Task = digits(seed, test_fraction)
    shape = (-1, 8, 8) if by == "row" else (-1, 64, 1)
    return task._replace(
        source=f"{task.source}, a {by} at a time",
        train_x=task.train_x.reshape(shape),
        test_x=task.test_x.reshape(shape),
    )
