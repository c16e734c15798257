"""Noise for inputs and chance for labels: nothing to learn, all to measure of an initialization."""

from typing import Annotated

import numpy as np

from gradlab.data.generated import split_generated
from gradlab.data.sizes import Classes, Examples, check_size
from gradlab.data.task import Task, data
from gradlab.recipe.bounds import Bound, Count, Many
from gradlab.recipe.errors import RecipeError

Shape = Annotated[list[int], Many(Bound(int, 1, 1_000_000))]


@data
def gaussian(seed: Count, train: Examples, test: Examples, shape: Shape, classes: Classes) -> Task:
    """x ~ N(0, 1) of any shape, y uniform: what mean-field theory assumes; chance is 1/classes for ever."""
    if not 1 <= len(shape) <= 3:
        raise RecipeError(
            f"data.shape={shape} is one of [features], [length,features] and [height,width,channels]"
        )
    check_size(train + test, *shape)
    rng, count = np.random.default_rng(seed), train + test
    x = rng.standard_normal((count, *shape), np.float32)
    y = rng.integers(classes, size=count, dtype=np.int32)
    source = f"synthetic: Gaussian inputs of shape {'×'.join(map(str, shape))}, random labels"
    return Task(source, *split_generated(x, y, train), outputs=classes)
