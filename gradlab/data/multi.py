"""Two tasks on one network: which digit it is, and how much ink it has and where."""

import numpy as np
from numpy.typing import NDArray

from gradlab.data.standardization import standardize_features
from gradlab.data.task import Task, data, split
from gradlab.recipe.bounds import Count, Fraction

CLASSES = 10


@data
def multi(seed: Count, test_fraction: Fraction) -> Task:
    """The digits (examples, 8, 8, 1) with 13 targets: the one-hot vector of the class, and three standardized numbers.

    These are the sum of the pixels, and the row and the column of their centre. The loss is one of numbers: the mean
    over all targets, so that both tasks share the network; `probe=conflict` measures whether they agree.
    """
    from sklearn.datasets import load_digits  # slow to import: only when needed

    x, y = load_digits(return_X_y=True)
    images = x.reshape(-1, 8, 8, 1)
    targets = np.concatenate([np.eye(CLASSES)[y], _ink(images[..., 0])], axis=1)
    train_x, train_y, test_x, test_y = split(images, targets, seed, test_fraction)
    train_x, test_x = standardize_features(train_x, test_x)
    numbers = slice(CLASSES, None)
    train_y[:, numbers], test_y[:, numbers] = standardize_features(train_y[:, numbers], test_y[:, numbers])
    train_y, test_y = train_y.astype(np.float32), test_y.astype(np.float32)
    source = "real: 1 797 handwritten digits (scikit-learn, UCI): the class, and amount and centre of the ink"
    heads = (CLASSES, train_y.shape[1] - CLASSES)
    return Task(source, train_x, train_y, test_x, test_y, outputs=sum(heads), metric="r2", heads=heads)


def _ink(images: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum of the pixels, mean row and mean column, (examples, 3), of images (examples, rows, columns)."""
    total = images.sum((1, 2))
    places = np.arange(images.shape[1])
    rows, columns = images.sum(2) @ places / total, images.sum(1) @ places / total
    return np.stack([total, rows, columns], 1)
