"""What a task is judged by beside its loss: the columns that hold it, what a guesser reaches, when it is learned."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from gradlab.analysis.selection import values
from gradlab.recipe.errors import RecipeError

SKILL = 0.5  # of the way from chance to perfect: what counts as learned
BITS = 0.8  # of a guesser's bits: no text is foretold without any
DOWN = 0.01  # of the first loss, where there is no guesser: a point on a surface


@dataclass(frozen=True)
class Score:
    """Its stored values are those of `column` times `factor`; `chance` is a guesser's, `error` its sampling error."""

    name: str  # as a sentence says it
    axis: str  # as a figure says it
    column: str
    chance: float | None
    train_error: float = 0.0
    test_error: float = 0.0
    factor: float = 1.0
    share: bool = True  # within 0 and 1
    goal: float = 1 - SKILL  # of a guesser's loss, where that alone judges

    def told(self, rows: pd.DataFrame, part: str) -> pd.Series:
        """The score on the training or the test part, null where it was not measured."""
        return rows[f"{part}_{self.column}"] * self.factor

    def of(self, rows: pd.DataFrame, part: str) -> np.ndarray:
        """The same as float64, NaN where it was not measured."""
        return values(self.told(rows, part))

    def learned(self, found: np.ndarray, loss: np.ndarray, chance_loss: float) -> np.ndarray:
        """Where the training part is learned: half-way from chance to perfect, and surely above chance."""
        if self.column == "loss" or self.chance is None or np.isnan(found).all():
            return loss <= self.goal * chance_loss
        way = self.chance + SKILL * (1 - self.chance)
        return (loss < chance_loss) & (found >= max(way, self.chance + 2 * self.train_error))

    def guessed(self, found: float | None) -> bool:
        """Whether a value on the test part is within two sampling errors of a guesser's, or worse."""
        if found is None or self.chance is None:
            return False
        return found >= self.chance if self.column == "loss" else found <= self.chance + 2 * self.test_error


def score(data: Mapping[str, Any]) -> Score:
    """The score of a run's data, as its status.json has them."""
    metric, chance = data.get("metric", "accuracy"), data.get("chance_accuracy")
    told = int(data.get("practised", data["train"])), int(data.get("judged", data["test"]))
    errors = lambda chance: (_error(chance, told[0]), _error(chance, told[1]))
    if metric == "accuracy":
        return Score("accuracy", "share told rightly", metric, chance, *errors(chance))
    if metric == "balanced_accuracy":
        level = 1 / int(data["outputs"])
        errors_of = data.get("balanced_errors") or errors(level)
        return Score("balanced accuracy", "mean share told rightly of a class", metric, level, *errors_of)
    if metric == "r2":
        return Score("R²", "share of the variance explained", metric, 0.0)
    if metric == "bits":
        bits = 1 / math.log(2)
        level = float(data["chance_loss"]) * bits
        return Score("bits a token", "bits a token", "loss", level, factor=bits, share=False, goal=BITS)
    if metric == "loss":
        return Score("loss", "loss", "loss", None, share=False, goal=DOWN)
    raise RecipeError(f"metric '{metric}' of the data is not accuracy, balanced_accuracy, r2, bits or loss")


def _error(chance: float | None, answers: int) -> float:
    """Standard deviation of the share that a guesser tells rightly of so many."""
    return 0.0 if chance is None else math.sqrt(chance * (1 - chance) / max(answers, 1))
