"""Generated examples: drawn until they are distinct, and divided into a training and a test set."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradlab.data.task import Split
from gradlab.recipe.errors import RecipeError

_ROUNDS = 20  # how often more rows are drawn to replace duplicates


def split_generated(x: NDArray[Any], y: NDArray[Any], train: int) -> Split:
    """The first `train` of the examples (examples, …), which are in random order already, and the others."""
    return Split(train_x=x[:train], train_y=y[:train], test_x=x[train:], test_y=y[train:])


def random_tokens(rng: np.random.Generator, vocabulary: int, length: int, count: int) -> NDArray[np.int32]:
    """(count, length): tokens, uniform from 0 to vocabulary − 1."""
    return rng.integers(vocabulary, size=(count, length), dtype=np.int32)


def distinct_rows(draw: Callable[[int], NDArray[np.int32]], count: int) -> NDArray[np.int32]:
    """`count` distinct rows (count, time) in the order drawn, so that no test example is in the training set.

    draw: number of rows -> that many random rows.

    Raises:
        RecipeError: fewer than `count` distinct rows were drawn in 20 rounds.
    """
    rows = draw(count)
    for _ in range(_ROUNDS):
        first_indices = np.sort(np.unique(rows, axis=0, return_index=True)[1])
        if len(first_indices) >= count:
            return rows[first_indices[:count]]
        rows = np.concatenate([rows[first_indices], draw(count)])
    raise RecipeError(
        f"there are not {count} different sequences of this length; "
        "use longer sequences, or fewer examples (data.train, data.test)"
    )
