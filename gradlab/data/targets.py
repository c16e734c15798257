"""What the target column of a file means: classes, or numbers for a regression."""

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradlab.data.files import shown
from gradlab.data.standardization import standardize_features
from gradlab.recipe.errors import RecipeError

Kind = Literal["auto", "classification", "regression"]
_AUTO_CLASSES = 20  # at most so many different whole numbers are classes with data.kind=auto
MOST_CLASSES = 10_000
_LARGEST_NUMBER = (
    1e30  # squares are finite in float64, and sums in float32; markers of missing values are larger
)


class Targets(NamedTuple):
    """Targets of the training and the test set as in a `Task`, the number of outputs, and the score.

    train, test: int32 labels (examples,) or float32 numbers (examples, 1).
    """

    train: NDArray[Any]
    test: NDArray[Any]
    outputs: int
    metric: str


def make_targets(train: NDArray[Any], test: NDArray[Any], kind: Kind, where: str) -> Targets:
    """Targets from a column's values in the training and the test set, (examples,) each.

    Classes become the labels 0, 1, … in sorted order; numbers are standardized by the training set. With kind="auto"
    text, booleans and up to 20 different whole numbers are classes, and fractions are numbers. `where` names the column
    in messages.

    Raises:
        RecipeError: there is only one class, or too many; the numbers are constant or not finite; the values are text
            and regression is asked for; or "auto" cannot decide.
    """
    resolved = _resolved_kind(np.concatenate([train, test]), where) if kind == "auto" else kind
    return (_class_targets if resolved == "classification" else _number_targets)(train, test, where)


def _resolved_kind(values: NDArray[Any], where: str) -> str:
    if values.dtype.kind == "f":
        return "regression"
    count = len(np.unique(values)) if values.dtype.kind in "iu" else 0
    if count > _AUTO_CLASSES:
        raise RecipeError(
            f"{where} has {count} different whole numbers: set data.kind=classification or data.kind=regression"
        )
    return "classification"


def _class_targets(train: NDArray[Any], test: NDArray[Any], where: str) -> Targets:
    names, indices = np.unique(np.concatenate([train, test]), return_inverse=True)
    if len(names) < 2:
        raise RecipeError(f"{where} has only one class, {shown(str(names[0]))}; there is nothing to classify")
    if len(names) > min(MOST_CLASSES, len(indices) // 2):
        raise RecipeError(
            f"{where} has {len(names)} classes for {len(indices)} examples; did you mean data.kind=regression?"
        )
    labels = indices.astype(np.int32)
    fractions = np.bincount(labels) / len(labels)
    metric = "balanced_accuracy" if fractions.max() > 2 * fractions.min() else "accuracy"
    return Targets(train=labels[: len(train)], test=labels[len(train) :], outputs=len(names), metric=metric)


def _number_targets(train: NDArray[Any], test: NDArray[Any], where: str) -> Targets:
    if train.dtype.kind not in "iuf":
        raise RecipeError(f"{where} contains no numbers, which data.kind=regression needs")
    check_finite(np.concatenate([train, test]), where)
    if train.min() == train.max():
        raise RecipeError(f"{where} is constant ({train[0]:g}); there is nothing to predict")
    columns = (values.astype(np.float64)[:, None] for values in (train, test))
    train_y, test_y = standardize_features(*columns)
    return Targets(train=train_y, test=test_y, outputs=1, metric="r2")


def check_finite(values: NDArray[Any], where: str) -> None:
    """Check that an array of any shape contains no NaN and no infinity, and nothing of their size.

    Raises:
        RecipeError: with the number of values that are not finite, or that are too large to compute with.
    """
    if values.dtype.kind != "f" or not values.size:
        return
    count = values.size - int(np.isfinite(values).sum())
    if count:
        raise RecipeError(
            f"{where} has {count} NaN or infinite values out of {values.size}; replace or remove them"
        )
    largest = max(values.max(), -values.min())
    if largest > _LARGEST_NUMBER:
        raise RecipeError(
            f"{where} has values up to {largest:g}, beyond ±{_LARGEST_NUMBER:g}; are they missing values? remove them"
        )
