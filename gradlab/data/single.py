"""One example, one number in and one out, as articles show a gradient step on."""

import numpy as np

from gradlab.data.task import Task, data
from gradlab.recipe.bounds import Number


@data
def single(x: Number, y: Number) -> Task:
    """The pair (x, y), as it is; with model=point it stands for nothing, and the loss is a function of θ."""
    given, wanted = (np.full((2, 1), value, np.float32) for value in (x, y))
    source = f"synthetic: one example, x = {x:g} and y = {y:g}"
    return Task(source, given, wanted, given[:1], wanted[:1], outputs=1, metric="loss")
