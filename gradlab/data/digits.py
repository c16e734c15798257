"""Handwritten digits: 1 797 real images of 8×8 pixels that scikit-learn carries (UCI test set copy)."""

import numpy as np

from gradlab.data.standardization import standardize_features
from gradlab.data.task import Task, data, split
from gradlab.recipe.bounds import Count, Fraction


@data
def digits(seed: Count, test_fraction: Fraction) -> Task:
    """Split by `seed` first, then standardized with the training part's statistics."""
    from sklearn.datasets import load_digits  # slow to import: only when asked for

    x, y = load_digits(return_X_y=True)
    images = x.reshape(-1, 8, 8, 1)
    train_x, train_y, test_x, test_y = split(images, y.astype(np.int32), seed, test_fraction)
    train_x, test_x = standardize_features(train_x, test_x)
    source = "real: 1 797 handwritten digits, 8×8 pixels (scikit-learn, UCI)"
    return Task(source, train_x, train_y, test_x, test_y, outputs=10)
