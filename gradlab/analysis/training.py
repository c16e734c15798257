"""The training's verdict: learned, learning, stalled or diverged, compared with chance level and with its evidence."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gradlab.analysis import sentences
from gradlab.analysis.results import TrainingVerdict
from gradlab.analysis.score import Score
from gradlab.analysis.selection import minibatch_rows, rows_with, to_float64
from gradlab.analysis.wording import place_text, short_number

FALLING = 0.02  # of the chance loss: a larger fall in the second half of training is a trend and no noise
BLOWN_UP = 2.0  # times the larger of first and chance loss, or the lowest one: diverged although finite
ORDER = ("diverged", "stalled", "learning", "learned", "untrained")  # of equal counts the first one


@dataclass(frozen=True)
class Baseline:
    """What a constant prediction reaches: its loss, and the task's score with its chance level."""

    loss: float
    score: Score


@dataclass(frozen=True)
class SeedVerdict:
    """One seed's verdict and the numbers that it rests on; None is not measured."""

    verdict: str
    reason: str = ""
    memorized: bool = False
    loss_first: float | None = None
    loss_last: float | None = None
    train_score: float | None = None
    test_score: float | None = None


@dataclass(frozen=True)
class _Evaluations:
    """One seed's evaluations of the whole training set: steps, losses and scores, each of shape (evaluations,)."""

    steps: NDArray[np.int64]
    losses: NDArray[np.float64]
    scores: NDArray[np.float64]


def training_verdict(
    steps: pd.DataFrame,
    baseline: Baseline,
    total_steps: int,
    nonfinite: list[dict[str, Any]],
    clip: bool,
) -> TrainingVerdict:
    """The verdict over all seeds of one run; `nonfinite` are the seeds that left the finite numbers, `clip` if any.

    For one seed, by its evaluations (the whole training and test set, in evaluation mode):
    *untrained* if no step was taken.
    *diverged* if its loss or gradient became non-finite; or the last training loss is more than twice the larger
    of the first and the chance loss; or an earlier evaluation counted as learned, the last one does not, and the
    loss is more than twice its lowest value.
    *learned* if the last training loss is below the chance loss and the score on the training set (accuracy, balanced
    accuracy, R²) is at least half-way from chance level c to perfect, and two sampling errors √(c(1 − c)/n) above
    chance level; a language model if its loss is at most 0.8 of the chance loss, and a task without a score if it is
    at most half. If the score on the test set is then within two sampling errors of chance level: also *memorized*.
    *learning* if not yet learned, but below the chance loss and fallen by 2 % of it since half of the steps.
    *stalled* otherwise: not below the chance loss, or no longer falling.

    The verdict is that of most seeds; losses and scores are means over all seeds in which they are finite.
    """
    seeds = [_seed_verdict(rows, baseline, nonfinite) for _, rows in minibatch_rows(steps).groupby("seed")]
    words = [seed.verdict for seed in seeds]
    verdict = max(ORDER, key=lambda word: (words.count(word), -ORDER.index(word)))
    memorized = ["memorized"] if any(seed.memorized for seed in seeds) else []
    result = TrainingVerdict(
        verdict=verdict,
        words=sorted({*words, *memorized}),
        seeds=len(seeds),
        counts={word: words.count(word) for word in ORDER if word in words},
        diverged=words.count("diverged"),
        steps=int(steps.step.max()),
        chance_loss=baseline.loss,
        metric=baseline.score.name,
        chance_score=baseline.score.chance_level,
        clip_share=clipped_fraction(steps) if clip else None,
        loss_first=_finite_mean([seed.loss_first for seed in seeds]),
        loss_last=_finite_mean([seed.loss_last for seed in seeds]),
        train_score=_finite_mean([seed.train_score for seed in seeds]),
        test_score=_finite_mean([seed.test_score for seed in seeds]),
    )
    reasons = [seed.reason for seed in seeds if seed.verdict == verdict and seed.reason]
    reason = next(iter(reasons), "")
    return replace(result, sentence=sentences.of_training(result, reason, baseline.score, total_steps))


def clipped_fraction(steps: pd.DataFrame) -> float | None:
    """Fraction of the taken steps in which the clip changed an entry of the gradient; None where none was taken."""
    rows = rows_with(
        rows_with(minibatch_rows(steps), "clipped"), "learning_rate"
    )  # the last row takes no step
    return float((to_float64(rows.clipped) > 0).mean()) if len(rows) else None


def switch_steps(steps: pd.DataFrame) -> NDArray[np.int64]:
    """The steps at which the next optimizer took over, in any seed; shape (switches,)."""
    rows = rows_with(minibatch_rows(steps), "phase").sort_values("step")
    later = rows[(rows.phase.astype("int64").groupby(rows.seed).diff() > 0).to_numpy()]
    return np.unique(later.step.to_numpy())


def _seed_verdict(rows: pd.DataFrame, baseline: Baseline, nonfinite: list[dict[str, Any]]) -> SeedVerdict:
    rows = rows.sort_values("step")
    score = baseline.score
    evaluated = rows_with(rows, "train_loss")
    losses, train = to_float64(evaluated.train_loss), score.array(evaluated, "train")
    test = score.array(rows_with(rows, f"test_{score.column}"), "test")
    test_score = float(test[-1]) if test.size else None
    seed = int(rows.seed.iloc[0])
    evaluations = _Evaluations(evaluated.step.to_numpy(), losses, train)
    verdict, reason = _verdict(
        rows, evaluations, baseline, [entry for entry in nonfinite if entry["seed"] == seed]
    )
    memorized = verdict == "learned" and score.at_chance(test_score)
    return SeedVerdict(
        verdict=verdict,
        reason="memorized: the score on the test set stays at chance level" if memorized else reason,
        memorized=memorized,
        loss_first=float(losses[0]) if losses.size else None,
        loss_last=float(losses[-1]) if losses.size else None,
        train_score=float(train[-1]) if train.size and not np.isnan(train[-1]) else None,
        test_score=test_score,
    )


def _verdict(
    rows: pd.DataFrame, evaluations: _Evaluations, baseline: Baseline, nonfinite: list[dict[str, Any]]
) -> tuple[str, str]:
    """The rule of `training_verdict`, from top to bottom, and the reason where the word alone does not say it."""
    losses = evaluations.losses
    if reason := _nonfinite_reason(rows, evaluations, nonfinite):
        return "diverged", reason
    if rows.step.max() == 0 or not losses.size:
        return "untrained", ""
    learned = baseline.score.is_learned(evaluations.scores, losses, baseline.loss)
    if learned[-1]:
        return "learned", ""
    if losses[-1] > BLOWN_UP * max(losses[0], baseline.loss):
        return "diverged", "the loss is finite, but far above both its first value and the chance loss"
    lowest = int(np.argmin(losses))
    if learned.any() and losses[-1] > BLOWN_UP * losses[lowest]:
        reached = f"loss {short_number(losses[lowest])} at step {evaluations.steps[lowest]}"
        return "diverged", f"it had learned ({reached}), and the loss rose again"
    half = _half_way_loss(evaluations)
    if losses[-1] < baseline.loss and half - losses[-1] > FALLING * baseline.loss:
        return "learning", f"still falling (loss {short_number(half)} at half of the steps)"
    return "stalled", ""


def _nonfinite_reason(rows: pd.DataFrame, evaluations: _Evaluations, nonfinite: list[dict[str, Any]]) -> str:
    """When a loss or gradient became non-finite, "" where all are finite."""
    if nonfinite:
        first = nonfinite[0]
        return f"not finite at step {first['step']}, first {place_text(first | {'name': ''})}"
    measured = rows_with(rows, "loss")
    broken = np.flatnonzero(~np.isfinite(to_float64(measured.loss)))
    if broken.size:
        return f"the loss is not finite from step {measured.step.iloc[broken[0]]} on"
    if not np.isfinite(evaluations.losses).all():
        return f"the loss is not finite from step {evaluations.steps[-1]} on"
    return ""


def _half_way_loss(evaluations: _Evaluations) -> float:
    """The loss at the first evaluation at or after half of the steps, but not the last one."""
    steps, losses = evaluations.steps, evaluations.losses
    middle = int(np.searchsorted(steps, steps.max() / 2))
    return float(losses[max(0, min(middle, losses.size - 2))])


def _finite_mean(values: list[float | None]) -> float | None:
    """The mean over seeds of what was measured and is finite; None where there is nothing."""
    finite = [value for value in values if value is not None and np.isfinite(value)]
    return float(np.mean(finite)) if finite else None
