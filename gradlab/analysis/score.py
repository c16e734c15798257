"""The score of a task beside its loss: the columns that hold it, its chance level, and when it counts as learned."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gradlab.analysis.arrays import Rows
from gradlab.analysis.selection import to_float64
from gradlab.recipe.errors import RecipeError

LEARNED_FRACTION = 0.5  # of the way from chance level to a perfect score
LEARNED_BITS = 0.8  # of the chance loss of a language model: no text can be predicted without error
LEARNED_LOSS = 0.01  # of the first loss on a surface (model=point), which has no chance level


@dataclass(frozen=True)
class Score:
    """How well a task is solved: the stored values of `train_` and `test_` + `column`, times `factor`."""

    name: str  # in the results as JSON
    label: str  # in sentences and titles
    axis_label: str
    column: str
    chance_level: float | None  # of a constant prediction
    # standard deviation of a score at chance level, by the number of examples
    train_error: float = 0.0
    test_error: float = 0.0
    factor: float = 1.0
    is_fraction: bool = True  # at most 1, which is perfect
    # fraction of the chance loss that counts as learned where only the loss can tell
    learned_loss: float = 1 - LEARNED_FRACTION

    def series(self, rows: pd.DataFrame, part: str) -> pd.Series:
        """The score on the `train` or the `test` set, per row; null where it was not measured."""
        return rows[f"{part}_{self.column}"] * self.factor

    def array(self, rows: pd.DataFrame | Rows, part: str) -> NDArray[np.float64]:
        """The same as float64, shape (rows,), NaN where it was not measured."""
        if isinstance(rows, Rows):
            return np.asarray(rows[f"{part}_{self.column}"] * self.factor)
        return to_float64(self.series(rows, part))

    def is_learned(
        self, scores: NDArray[np.float64], losses: NDArray[np.float64], chance_loss: float
    ) -> NDArray[np.bool_]:
        """Whether each evaluation counts as learned; training scores and losses have shape (evaluations,).

        The score is at least half-way from chance level to perfect and two sampling errors above chance level, and
        the loss is below the chance loss. Without a score the loss is at most `learned_loss` of the chance loss.
        """
        if self.column == "loss" or self.chance_level is None or np.isnan(scores).all():
            return losses <= self.learned_loss * chance_loss
        half_way = self.chance_level + LEARNED_FRACTION * (1 - self.chance_level)
        least_score = max(half_way, self.chance_level + 2 * self.train_error)
        return (losses < chance_loss) & (scores >= least_score)

    def at_chance(self, test_score: float | None) -> bool:
        """Whether a score on the test set is within two sampling errors of chance level, or worse."""
        if test_score is None or self.chance_level is None:
            return False
        if self.column == "loss":
            return test_score >= self.chance_level
        return test_score <= self.chance_level + 2 * self.test_error


def score_of(data: Mapping[str, Any] | None) -> Score:
    """The score of a run's data, as its status.json describes them; without them accuracy, whose chance is not known.

    Raises:
        RecipeError: the metric of the data is not one of gradlab's.
    """
    if data is None:  # of a foreign run
        return Score("accuracy", "accuracy", "accuracy", "accuracy", None)
    metric = data.get("metric", "accuracy")
    if metric == "accuracy":
        level = data.get("chance_accuracy")
        train_error, test_error = _sampling_errors(level, data)
        return Score("accuracy", "accuracy", "accuracy", metric, level, train_error, test_error)
    if metric == "balanced_accuracy":
        level = 1 / int(data["outputs"])
        train_error, test_error = data.get("balanced_errors") or _sampling_errors(level, data)
        words = "balanced accuracy"
        return Score(
            words, words, "balanced accuracy (mean over classes)", metric, level, train_error, test_error
        )
    if metric == "r2":
        return Score("R²", "R²", "R² (fraction of the variance explained)", metric, chance_level=0.0)
    if metric == "bits":
        return _bits(float(data["chance_loss"]))
    if metric == "loss":
        return Score("loss", "loss", "loss", "loss", None, is_fraction=False, learned_loss=LEARNED_LOSS)
    raise RecipeError(f"metric '{metric}' of the data is not accuracy, balanced_accuracy, r2, bits or loss")


def _bits(chance_loss: float) -> Score:
    """The loss of a language model in bits."""
    factor = 1 / math.log(2)
    return Score(
        name="bits a token",
        label="bits per token",
        axis_label="bits per token",
        column="loss",
        chance_level=chance_loss * factor,
        factor=factor,
        is_fraction=False,
        learned_loss=LEARNED_BITS,
    )


def _sampling_errors(chance_level: float | None, data: Mapping[str, Any]) -> tuple[float, float]:
    """Of the training and of the test set."""
    train, test = int(data.get("practised", data["train"])), int(data.get("judged", data["test"]))
    return _sampling_error(chance_level, train), _sampling_error(chance_level, test)


def _sampling_error(chance_level: float | None, predictions: int) -> float:
    """Standard deviation of the accuracy at chance level over this number of predictions."""
    if chance_level is None:
        return 0.0
    return math.sqrt(chance_level * (1 - chance_level) / max(predictions, 1))
