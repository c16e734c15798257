"""Handwritten digits: 1 797 real images of 8×8 pixels that come with scikit-learn (a copy of UCI's test set)."""

import numpy as np

from gradlab.data.standardization import standardize_features
from gradlab.data.task import Task, data, split
from gradlab.recipe.bounds import Count, Fraction


@data
def digits(seed: Count, test_fraction: Fraction) -> Task:
    """Images (examples, 8, 8, 1) of ten classes, split by `seed` and standardized pixel by pixel."""
    from sklearn.datasets import load_digits  # slow to import: only when needed

    x, y = load_digits(return_X_y=True)
    images = x.reshape(-1, 8, 8, 1)
    train_x, train_y, test_x, test_y = split(images, y.astype(np.int32), seed, test_fraction)
    train_x, test_x = standardize_features(train_x, test_x)
    source = "real: 1 797 handwritten digits, 8×8 pixels (scikit-learn, UCI)"
    return Task(source, train_x, train_y, test_x, test_y, outputs=10)
