"""Gaussian inputs and random labels: nothing can be learned, which is enough to study an initialization."""

from typing import Annotated

import numpy as np

from gradlab.data.generated import split_generated
from gradlab.data.sizes import Classes, Examples, check_size
from gradlab.data.task import Task, data
from gradlab.recipe.bounds import Bound, Count, Many
from gradlab.recipe.errors import RecipeError

InputShape = Annotated[list[int], Many(Bound(int, 1, 1_000_000))]


@data
def gaussian(seed: Count, train: Examples, test: Examples, shape: InputShape, classes: Classes) -> Task:
    """x ~ N(0, 1) of any shape, (examples, *shape), as mean-field theory assumes, and uniform labels (examples,).

    The accuracy on the test set stays at chance level, 1/classes.

    Raises:
        RecipeError: the shape has more than three axes, or none.
    """
    if not 1 <= len(shape) <= 3:
        raise RecipeError(
            f"data.shape={shape} must be one of [features], [length,features] and [height,width,channels]"
        )
    check_size(train + test, *shape)
    rng, count = np.random.default_rng(seed), train + test
    x = rng.standard_normal((count, *shape), np.float32)
    y = rng.integers(classes, size=count, dtype=np.int32)
    source = f"synthetic: Gaussian inputs of shape {'×'.join(map(str, shape))}, random labels"
    return Task(source, *split_generated(x, y, train), outputs=classes)
