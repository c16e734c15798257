"""A regression whose true function is known, so that the remaining error is due to the network."""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gradlab.data.generated import split_generated
from gradlab.data.sizes import Examples, check_size
from gradlab.data.task import Task, data
from gradlab.recipe.bounds import Count, NonNegative, Size

_FUNCTIONS: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "linear": lambda z: z,
    "quadratic": lambda z: (z**2 - 1) / np.sqrt(2),
    "sine": lambda z: np.sqrt(2) * np.sin(3 * z),
}


@data
def teacher(
    seed: Count,
    train: Examples,
    test: Examples,
    kind: Literal["linear", "quadratic", "sine"],
    features: Size,
    noise: NonNegative,
) -> Task:
    """y = f(x) + noise·N(0, 1) with x ~ N(0, I) and Var f = 1: the best R² is 1/(1 + noise²).

    With w of norm 1, f is linear w·x, quadratic ((w·x)² − 1)/√2, or sine √2·sin(3 w·x). Inputs are
    (examples, features), targets (examples, 1).
    """
    check_size(train + test, features)
    rng, count = np.random.default_rng(seed), train + test
    x = rng.standard_normal((count, features), np.float32)
    w = rng.standard_normal(features)
    f = _FUNCTIONS[kind](x @ (w / np.linalg.norm(w)))
    y = (f + noise * rng.standard_normal(count)).astype(np.float32)[:, None]
    source = f"synthetic: {kind} teacher of {features} Gaussian features, noise {noise:g}"
    return Task(source, *split_generated(x, y, train), outputs=1, metric="r2")
