"""Classes of points in the plane: small enough to show everything that a network does."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradlab.data.generated import split_generated
from gradlab.data.sizes import Classes, Examples, check_size
from gradlab.data.standardization import standardize_features
from gradlab.data.task import Task, data
from gradlab.recipe.bounds import Count, NonNegative, Positive


@data
def spirals(
    seed: Count, train: Examples, test: Examples, classes: Classes, turns: Positive, noise: NonNegative
) -> Task:
    """Interleaved spirals, points (examples, 2) at the angle 2π(turns·r + class/classes).

    r ~ √U(0, 1), so that the points lie evenly over the disc.
    """
    rng, count = np.random.default_rng(seed), train + test
    check_size(count, 2)
    radius, y = np.sqrt(rng.random(count)), rng.integers(classes, size=count, dtype=np.int32)
    angle = 2 * np.pi * (turns * radius + y / classes)
    points = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    x = points + noise * rng.standard_normal((count, 2))
    return _task(f"synthetic: {classes} spirals of {turns:g} turns, noise {noise:g}", x, y, train, classes)


@data
def moons(seed: Count, train: Examples, test: Examples, noise: NonNegative) -> Task:
    """Two interleaved half circles (scikit-learn's make_moons), points (examples, 2): a curved boundary."""
    from sklearn.datasets import make_moons  # slow to import: only when needed

    check_size(train + test, 2)
    x, y = make_moons(train + test, noise=noise, random_state=seed)
    return _task(f"synthetic: two moons, noise {noise:g} (scikit-learn)", x, y.astype(np.int32), train, 2)


def _task(source: str, x: NDArray[Any], y: NDArray[Any], train: int, classes: int) -> Task:
    train_x, train_y, test_x, test_y = split_generated(x, y, train)
    train_x, test_x = standardize_features(train_x, test_x)
    return Task(source, train_x, train_y, test_x, test_y, outputs=classes)
