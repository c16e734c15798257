"""How large a data set may be, refused before anything is made; and how a generated one is cut in two."""

from collections.abc import Callable
from math import prod
from typing import Annotated

import numpy as np

from gradlab.recipe.bounds import Bound
from gradlab.recipe.errors import RecipeError

Examples = Annotated[int, Bound(int, 2, 10_000_000)]
Length = Annotated[int, Bound(int, 2, 1_000_000)]
Classes = Annotated[int, Bound(int, 2, 10_000)]
Parts = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
NUMBERS = 2**28  # in one array: 1 GiB of float32
_ROUNDS = 20  # of drawing again until enough are different


def room(*shape: int) -> None:
    """Refuse an array larger than `NUMBERS`, whatever asked for it: an option, or a file's header."""
    if prod(shape) > NUMBERS:
        raise RecipeError(
            f"data of {' × '.join(map(str, shape))} = {prod(shape):,} numbers is more than {NUMBERS:,}; "
            "ask for fewer or shorter examples"
        )


def parts(x: np.ndarray, y: np.ndarray, train: int) -> Parts:
    """train_x, train_y, test_x, test_y of generated examples, which are in random order already."""
    return x[:train], y[:train], x[train:], y[train:]


def different(draw: Callable[[int], np.ndarray], count: int) -> np.ndarray:
    """`count` rows no two of which are equal, in the order drawn, so that no test example was trained on."""
    rows = draw(count)
    for _ in range(_ROUNDS):
        kept = np.sort(np.unique(rows, axis=0, return_index=True)[1])
        if len(kept) >= count:
            return rows[kept[:count]]
        rows = np.concatenate([rows[kept], draw(count)])
    raise RecipeError(
        f"there are not {count} different sequences of this length; "
        "ask for longer ones, or for fewer by data.train and data.test"
    )
