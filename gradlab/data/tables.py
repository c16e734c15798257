"""Real medical tables that come with scikit-learn: a diagnosis to classify, the progress of a disease to predict."""

import numpy as np

from gradlab.data.standardization import standardize_features
from gradlab.data.task import Task, data, split
from gradlab.recipe.bounds import Count, Fraction


@data
def breast_cancer(seed: Count, test_fraction: Fraction) -> Task:
    """569 tumours, malignant (label 0, 37 %) or benign (1), with 30 measurements of their cell nuclei.

    Inputs are (examples, 30), labels (examples,). Linear models reach an accuracy of 0.97.
    """
    from sklearn.datasets import load_breast_cancer  # slow to import: only when needed

    x, y = load_breast_cancer(return_X_y=True)
    train_x, train_y, test_x, test_y = split(x, y.astype(np.int32), seed, test_fraction)
    train_x, test_x = standardize_features(train_x, test_x)
    source = "real: 569 breast tumours, 30 measures (scikit-learn, UCI Wisconsin diagnostic)"
    return Task(source, train_x, train_y, test_x, test_y, outputs=2)


@data
def diabetes(seed: Count, test_fraction: Fraction) -> Task:
    """442 patients with 10 measurements, and the progress of their disease after a year; linear models reach R² 0.5.

    Inputs are (examples, 10), targets (examples, 1), both standardized.
    """
    from sklearn.datasets import load_diabetes  # slow to import: only when needed

    x, y = load_diabetes(return_X_y=True, scaled=False)
    train_x, train_y, test_x, test_y = split(x, y[:, None], seed, test_fraction)
    train_x, test_x = standardize_features(train_x, test_x)
    train_y, test_y = standardize_features(train_y, test_y)
    source = "real: 442 diabetes patients, 10 measures (scikit-learn, Efron et al. 2004)"
    return Task(source, train_x, train_y, test_x, test_y, outputs=1, metric="r2")
