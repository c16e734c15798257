"""One example, one number in and one out, as textbooks use it to show a gradient step."""

import numpy as np

from gradlab.data.task import Task, data
from gradlab.recipe.bounds import Number


@data
def single(x: Number, y: Number) -> Task:
    """The pair (x, y) twice for training, (2, 1) each, and once as the test set.

    With model=point the pair has no effect, and the loss is a function of the parameters.
    """
    inputs, targets = (np.full((2, 1), value, np.float32) for value in (x, y))
    source = f"synthetic: one example, x = {x:g} and y = {y:g}"
    return Task(source, inputs, targets, inputs[:1], targets[:1], outputs=1, metric="loss")
