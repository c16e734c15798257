"""What a data set hands to the trainer, and the family of data sets."""

from typing import NamedTuple

import numpy as np

from gradlab.errors import RecipeError
from gradlab.parts.family import Family

data = Family("data")
Floats = np.ndarray[tuple[int, int], np.dtype[np.float32]]
Labels = np.ndarray[tuple[int], np.dtype[np.int32]]


class Task(NamedTuple):
    """Standardized inputs (examples, features) and integer labels, already split; `source` says where from."""

    source: str
    train_x: Floats
    train_y: Labels
    test_x: Floats
    test_y: Labels
    classes: int

    def summary(self) -> dict[str, float | int | str]:
        """What verdicts, figures and theory need to know of the data, whatever the loss."""
        x = self.train_x.astype(np.float64)
        unit = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-300)
        count = len(x)
        return {
            "source": self.source,
            "train": count,
            "test": len(self.test_y),
            "features": x.shape[1],
            "classes": self.classes,
            "chance_accuracy": float(np.bincount(self.test_y).max() / len(self.test_y)),
            "second_moment": float((x**2).mean()),
            "cosine": float((count**2 * (unit.mean(0) ** 2).sum() - count) / (count * (count - 1))),
        }


def standardized(train: Floats, test: Floats) -> tuple[Floats, Floats]:
    """Both parts less the training part's mean, over its deviation; a constant feature stays at 0."""
    mean, deviation = train.mean(0, dtype=np.float64), train.std(0, dtype=np.float64)
    deviation[deviation == 0] = 1
    return tuple(((part - mean) / deviation).astype(np.float32) for part in (train, test))


def split(x: np.ndarray, y: np.ndarray, seed: int, test_fraction: float) -> tuple[np.ndarray, ...]:
    """train_x, train_y, test_x, test_y: shuffled by a seed of the split's own, so that arms are paired."""
    order = np.random.default_rng(seed).permutation(len(x))
    tests = max(1, round(test_fraction * len(x)))
    test, train = order[:tests], order[tests:]
    if len(train) < 2:
        raise RecipeError(
            f"data.test_fraction={test_fraction} leaves {len(train)} of {len(x)} to train on; give less"
        )
    return x[train], y[train], x[test], y[test]
