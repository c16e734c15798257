"""What a file's column of targets means: classes to tell apart, or numbers to come near to."""

from typing import Literal, NamedTuple

import numpy as np

from gradlab.data.task import standardized
from gradlab.recipe.errors import RecipeError

Kind = Literal["auto", "classification", "regression"]
_FEW = 20  # different whole numbers that are taken for classes without asking
_MOST = 10_000  # classes


class Targets(NamedTuple):
    """Targets of both parts as a Task has them, how many outputs they need and how they are judged."""

    train: np.ndarray
    test: np.ndarray
    outputs: int
    metric: str


def targets(train: np.ndarray, test: np.ndarray, kind: Kind, where: str) -> Targets:
    """Labels as 0, 1, … in the order of their names; numbers standardized by the training part, (examples, 1).

    auto: words, true and false, and up to 20 different whole numbers are classes, fractions are numbers.
    """
    meant = _kind(np.concatenate([train, test]), where) if kind == "auto" else kind
    return (_classes if meant == "classification" else _numbers)(train, test, where)


def _kind(values: np.ndarray, where: str) -> str:
    if values.dtype.kind == "f":
        return "regression"
    count = len(np.unique(values)) if values.dtype.kind in "iu" else 0
    if count > _FEW:
        raise RecipeError(
            f"{where} has {count} different whole numbers: say data.kind=classification or data.kind=regression"
        )
    return "classification"


def _classes(train: np.ndarray, test: np.ndarray, where: str) -> Targets:
    names, labels = np.unique(np.concatenate([train, test]), return_inverse=True)
    if len(names) < 2:
        raise RecipeError(f"{where} has one class only, {names[0]}; there is nothing to tell apart")
    if len(names) > min(_MOST, len(labels) // 2):
        raise RecipeError(
            f"{where} has {len(names)} classes for {len(labels)} examples; data.kind=regression?"
        )
    labels = labels.astype(np.int32)
    shares = np.bincount(labels) / len(labels)
    metric = "balanced_accuracy" if shares.max() > 2 * shares.min() else "accuracy"
    return Targets(labels[: len(train)], labels[len(train) :], len(names), metric)


def _numbers(train: np.ndarray, test: np.ndarray, where: str) -> Targets:
    if train.dtype.kind not in "iuf":
        raise RecipeError(f"{where} holds words: data.kind=regression needs numbers")
    finite(np.concatenate([train, test]), where)
    if train.min() == train.max():
        raise RecipeError(f"{where} is {train[0]:g} throughout; there is nothing to foresee")
    first, second = standardized(train.astype(np.float64)[:, None], test.astype(np.float64)[:, None])
    return Targets(first, second, 1, "r2")


def finite(values: np.ndarray, where: str) -> None:
    """Refuse NaN and infinity, with their count."""
    if values.dtype.kind != "f":
        return
    wrong = values.size - int(np.isfinite(values).sum())
    if wrong:
        raise RecipeError(
            f"{where} has {wrong} NaN or infinite values of {values.size}; fill them, or leave them out"
        )
