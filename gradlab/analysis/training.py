"""The training's verdict: learned, learning, stalled or diverged, against chance and with its evidence."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from gradlab.analysis.score import Score
from gradlab.analysis.selection import batch, known, values
from gradlab.analysis.wording import counted, origin, share, short

FALLING = 0.02  # of the chance loss: a fall since half-way that is a trend and no noise
BLOWN = 2.0  # times the larger of first and chance loss, or the best one: finite, and yet diverged
ORDER = ("diverged", "stalled", "learning", "learned", "untrained")  # of equal counts the first one


@dataclass(frozen=True)
class Chance:
    """What a guesser reaches: the loss, and the task's own score."""

    loss: float
    score: Score


def training(
    steps: pd.DataFrame, chance: Chance, horizon: int, lost: list[dict[str, Any]], clip: bool
) -> dict[str, Any]:
    """The verdict over all seeds of one run.

    For one seed, by the evaluations (the whole training and test part, evaluation mode):
    *untrained* if no step was taken.
    *diverged* if its loss or gradient left the finite numbers; or the last training loss is above twice the
    larger of the first and the chance loss; or it had learned at an earlier evaluation, has not now, and the
    loss is above twice its best.
    *learned* if the last training loss is below chance loss and the training part's score (accuracy, balanced
    accuracy, R²) is half-way from chance to perfect, and above chance by two sampling errors √(c(1 − c)/n);
    a language model if its loss is at most 0.8 of chance loss, and without any score if it is at most half.
    If the test part's score is then within two sampling errors of chance, it is *memorized* too.
    *learning* if not there yet, but below chance loss and fallen since half-way by 2 % of chance loss.
    *stalled* otherwise: at or above chance, or no longer moving.

    The verdict is most seeds'; losses and scores are means over all seeds in which they are finite.
    """
    found = [_seed(rows, chance, lost) for _, rows in batch(steps).groupby("seed")]
    words = [each["word"] for each in found]
    verdict = max(ORDER, key=lambda word: (words.count(word), -ORDER.index(word)))
    same = [each for each in found if each["word"] == verdict]
    acted = clip_share(steps) if clip else None
    result = {
        "verdict": verdict,
        "words": sorted({*words, *(word for each in found for word in each["also"])}),
        "seeds": len(found),
        "counts": {word: words.count(word) for word in ORDER if word in words},
        "diverged": words.count("diverged"),
        "steps": int(steps.step.max()),
        "chance_loss": chance.loss,
        "metric": chance.score.name,
        "chance_score": chance.score.chance,
        "clip_share": acted,
    }
    for key in ("loss_first", "loss_last", "train_score", "test_score"):
        result[key] = _mean([each[key] for each in found])
    return result | {"sentence": _sentence(result, same, chance, horizon)}


def clip_share(steps: pd.DataFrame) -> float | None:
    """Share of the taken steps in which the clip changed an entry of the gradient."""
    rows = known(known(batch(steps), "clipped"), "learning_rate")  # the last row has taken no step
    return float((values(rows.clipped) > 0).mean()) if len(rows) else None


def switches(steps: pd.DataFrame) -> np.ndarray:
    """The steps at which another optimizer took over, of any seed."""
    rows = known(batch(steps), "phase").sort_values("step")
    later = rows[(rows.phase.astype("int64").groupby(rows.seed).diff() > 0).to_numpy()]
    return np.unique(later.step.to_numpy())


def _seed(rows: pd.DataFrame, chance: Chance, lost: list[dict[str, Any]]) -> dict[str, Any]:
    """One seed's word and what it rests on."""
    rows = rows.sort_values("step")
    evaluated = known(rows, "train_loss")
    loss, train = values(evaluated.train_loss), chance.score.of(evaluated, "train")
    test = chance.score.of(known(rows, f"test_{chance.score.column}"), "test")
    each: dict[str, Any] = {
        "loss_first": loss[0] if loss.size else None,
        "loss_last": loss[-1] if loss.size else None,
        "train_score": train[-1] if train.size and not np.isnan(train[-1]) else None,
        "test_score": test[-1] if test.size else None,
        "also": [],
        "why": "",
    }
    seed = int(rows.seed.iloc[0])
    own = [entry for entry in lost if entry["seed"] == seed]
    each["word"], each["why"] = _word(rows, evaluated, chance, own)
    if each["word"] == "learned" and chance.score.guessed(each["test_score"]):
        each["also"], each["why"] = ["memorized"], "memorized: the test part stays at chance"
    return each


def _word(rows: pd.DataFrame, evaluated: pd.DataFrame, chance: Chance, lost: list) -> tuple[str, str]:
    """The rule of `training`, top to bottom."""
    losses, loss = values(known(rows, "loss").loss), values(evaluated.train_loss)
    bad = np.flatnonzero(~np.isfinite(losses))
    if lost:
        return "diverged", f"not finite at step {lost[0]['step']}, first {origin(lost[0] | {'name': ''})}"
    if bad.size or not np.isfinite(loss).all():
        step = known(rows, "loss").step.iloc[bad[0]] if bad.size else evaluated.step.iloc[-1]
        return "diverged", f"the loss is not finite from step {step}"
    if rows.step.max() == 0 or not loss.size:
        return "untrained", ""
    good = chance.score.learned(chance.score.of(evaluated, "train"), loss, chance.loss)
    if good[-1]:
        return "learned", ""
    if loss[-1] > BLOWN * max(loss[0], chance.loss):
        return "diverged", "finite, but far above chance"
    best = int(np.argmin(loss))
    if good.any() and loss[-1] > BLOWN * loss[best]:
        reached = f"loss {short(loss[best])} at step {evaluated.step.iloc[best]}"
        return "diverged", f"it had learned ({reached}) and lost it"
    middle = np.searchsorted(evaluated.step.to_numpy(), evaluated.step.max() / 2)
    half = loss[max(0, min(int(middle), loss.size - 2))]
    falling = half - loss[-1] > FALLING * chance.loss
    if loss[-1] < chance.loss and falling:
        return "learning", f"still falling, {short(half)} half-way"
    return "stalled", ""


def _mean(found: list[float | None]) -> float | None:
    """The mean over seeds of what was measured; null where nothing was or it is not finite."""
    there = [value for value in found if value is not None and np.isfinite(value)]
    return float(np.mean(there)) if there else None


def _sentence(result: dict[str, Any], same: list[dict], chance: Chance, horizon: int) -> str:
    """learned: loss 2.35 → 0.09, test accuracy 0.97 (chance 0.10); the clip acted on 45 % of the steps."""
    verdict, seeds = result["verdict"], result["seeds"]
    head = verdict
    if seeds > 1:
        counts = [f"{verdict} in {len(same)} of {seeds} seeds"]
        counts += [f"{word} in {count}" for word, count in result["counts"].items() if word != verdict]
        head = ", ".join(counts)
    parts = [_losses(result, chance)]
    the = chance.score
    if result["train_score"] is not None and "memorized" in result["words"]:
        parts[0] += f", train {the.name} {result['train_score']:.2f}"
    if result["test_score"] is not None and the.name != "loss":
        guess = f" (chance {the.chance:.2f})" if the.chance is not None else ""
        parts[0] += f", test {the.name} {result['test_score']:.2f}{guess}"
    if why := next((each["why"] for each in same if each["why"]), ""):
        parts.insert(0 if verdict == "diverged" else 1, why)
    if result["clip_share"] is not None:
        parts.append(f"the clip acted on {share(result['clip_share'])} of the steps")
    if verdict not in ("diverged", "untrained") and result["steps"] < horizon:
        parts.append(f"ended after {counted(result['steps'], 'step')} of {horizon}")
    return f"{head}: " + "; ".join(part for part in parts if part)


def _losses(result: dict[str, Any], chance: Chance) -> str:
    first, last = result["loss_first"], result["loss_last"]
    if first is None:
        return f"no finite loss was evaluated (chance {short(chance.loss)})"
    if result["verdict"] == "untrained":
        return f"no step was taken; loss {short(first)} (chance {short(chance.loss)})"
    known = result["verdict"] == "learned" or chance.score.name == "loss"  # a surface has no guesser
    guess = "" if known else f" (chance {short(chance.loss)})"
    return f"loss {short(first)} → {'not finite' if last is None else short(last)}{guess}"
