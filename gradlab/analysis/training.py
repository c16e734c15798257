"""The training's verdict: what each seed came to, compared with chance level and with its evidence."""

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gradlab.analysis import clip_limits, sentences
from gradlab.analysis.arrays import Rows
from gradlab.analysis.clip_limits import clip_columns, drops
from gradlab.analysis.results import TrainingVerdict
from gradlab.analysis.score import Score
from gradlab.analysis.selection import minibatch_rows, rows_of, rows_with, to_float64
from gradlab.analysis.wording import place_text, short_number

FALLING = 0.02  # of the chance loss: a larger fall in the second half of training is a trend and no noise
BLOWN_UP = 2.0  # times the larger of first and chance loss, or the lowest one
SWING = 0.05  # of the loss: what it changes per step where it oscillates
STILL = 1e-3  # of the loss: below it the loss is constant
FEWEST = 8  # recorded steps that show an oscillation
SPIKE, SPIKE_DEVIATIONS, SPIKE_WINDOW, SPIKE_BEFORE = 0.5, 6.0, 50, 10
OVERFITTED, OVERFITTED_LOSS = 1.1, 0.05  # times the lowest test loss, and of the chance loss
ORDER = (  # of equal counts the first one
    "diverged",
    "learned and lost it",
    "oscillating",
    "stalled",
    "learning",
    "learned",
    "untrained",
)


@dataclass(frozen=True)
class Baseline:
    """What a constant prediction reaches: its loss, and the task's score with its chance level."""

    loss: float
    score: Score


@dataclass(frozen=True)
class TrainingContext:
    """What the verdict needs to know of the run beside its rows.

    stopped: why a seed ended early, by its number.
    same_batch: whether each step has the same gradient function: the whole training set, and nothing random.
    update_norms: log10 of ‖Δθ‖ by seed and step, where it was measured.
    is_running: whether more steps are being made.
    """

    baseline: Baseline
    total_steps: int
    clip: dict[str, Any] = field(default_factory=lambda: {"name": "none"})
    nonfinite: tuple[dict[str, Any], ...] = ()
    stopped: dict[int, str] = field(default_factory=dict)
    same_batch: bool = False
    update_norms: pd.Series | None = None
    is_running: bool = False


@dataclass(frozen=True)
class SeedVerdict:
    """One seed's verdict and the numbers that it rests on; None is not measured."""

    verdict: str
    reason: str = ""
    additions: dict[str, str] = field(
        default_factory=dict
    )  # the words that are also true, with their numbers
    loss_first: float | None = None
    loss_last: float | None = None
    train_score: float | None = None
    test_score: float | None = None
    last_finite: tuple[int, float] | None = None  # of a seed that diverged: step and minibatch loss


@dataclass(frozen=True)
class _Seed:
    """One seed's record. `evaluated`: its evaluations of the whole training set, each array of shape (evaluations,);
    the others are of its recorded steps, (steps,), without those that the clip or loss scaling dropped.
    """

    context: TrainingContext
    last_step: int
    evaluated: NDArray[np.int64]
    train_losses: NDArray[np.float64]
    train_scores: NDArray[np.float64]
    test_losses: NDArray[np.float64]
    steps: NDArray[np.int64]
    losses: NDArray[np.float64]
    log10_gradient: NDArray[np.float64]
    log10_update: NDArray[np.float64]  # NaN where not measured
    all_dropped: bool
    nonfinite: dict[str, Any] | None  # what status.json says of a seed that became non-finite

    @property
    def learned(self) -> NDArray[np.bool_]:
        """Whether each evaluation counts as learned."""
        baseline = self.context.baseline
        return baseline.score.is_learned(self.train_scores, self.train_losses, baseline.loss)


def training_verdict(steps: pd.DataFrame | Rows, context: TrainingContext) -> TrainingVerdict:
    """The verdict over all seeds of one run, of its table of steps.

    Each seed has the first word of `RULES` that holds, and every addition that does; the words' rules are those of
    `words.TRAINING`. The verdict is that of most seeds; losses and scores are means over all seeds in which they are
    finite.
    """
    steps = rows_of(steps)
    rows = steps.of_minibatches()
    seeds = {
        int(number): _seed_verdict(rows.take(rows["seed"] == number).sorted_by("step"), context)
        for number in np.unique(rows["seed"])
    }
    each = seeds.values()
    words = [seed.verdict for seed in each]
    verdict = max(ORDER, key=lambda word: (words.count(word), -ORDER.index(word)))
    taken = rows.having("learning_rate", "clipped")  # the last row takes no step
    score, clipped = context.baseline.score, context.clip["name"] != "none"
    ends = [seed.last_finite for seed in each if seed.last_finite]
    stops = dict.fromkeys(context.stopped.values())
    result = TrainingVerdict(
        verdict=verdict,
        words=sorted({*words, *(word for seed in each for word in seed.additions)}),
        seeds=len(seeds),
        counts={word: words.count(word) for word in ORDER if word in words},
        additions=dict(Counter(word for seed in each for word in seed.additions)),
        diverged=words.count("diverged"),
        steps=int(steps["step"].max()),
        chance_loss=context.baseline.loss,
        metric=score.name,
        chance_score=score.chance_level,
        clip_share=clipped_fraction(steps) if clipped else None,
        clip_shares=_shares(steps, clip_columns(context.clip)),
        stopped="; ".join(stops) if context.stopped else None,
        updates=len(taken),
        dropped=int((taken["clipped"] == 1).sum()) if drops(context.clip) else None,
        overflows=_overflows(taken),
        last_finite=min(ends) if ends else None,
        loss_first=_finite_mean([seed.loss_first for seed in each]),
        loss_last=_finite_mean([seed.loss_last for seed in each]),
        train_score=_finite_mean([seed.train_score for seed in each]),
        test_score=_finite_mean([seed.test_score for seed in each]),
    )
    reason = _reason([(number, seed.reason) for number, seed in seeds.items() if seed.verdict == verdict])
    details = next(iter(each)).additions if len(each) == 1 else {}
    planned = sentences.Planned(context.total_steps, context.is_running)
    return replace(result, sentence=sentences.of_training(result, reason, details, score, planned))


def _reason(reasons: list[tuple[int, str]]) -> str:
    """The reason of all seeds with the verdict, or that of the first of them, with its number."""
    seed, reason = reasons[0]
    same = all(other == reason for _, other in reasons)
    return reason if same or not reason else f"seed {seed}: {reason}"


def _overflows(taken: Rows) -> int | None:
    """How many of the taken steps loss scaling dropped; None where it drops none."""
    if "overflowed" not in taken or not taken.measured["overflowed"].any():
        return None
    return int(clip_limits.overflowed(taken).sum())


def clipped_fraction(steps: pd.DataFrame | Rows, column: str = "clipped") -> float | None:
    """Fraction of the taken steps in which the clip changed an entry of the gradient; None where none was taken.

    `column` is that of the whole clip, or of one clip of a chain.
    """
    rows = rows_of(steps, (column, "learning_rate")).of_minibatches()
    taken = rows.having(column, "learning_rate")  # the last row takes no step
    return float((taken[column] > 0).mean()) if len(taken) else None


def _shares(steps: Rows, columns: dict[str, str]) -> dict[str, float] | None:
    """The fraction of the steps in which each clip of a chain acted, by its name; None of one clip by itself."""
    shares = {name: clipped_fraction(steps, column) for name, column in columns.items() if column in steps}
    return {name: share for name, share in shares.items() if share is not None} or None


def switch_steps(steps: pd.DataFrame) -> NDArray[np.int64]:
    """The steps at which the next optimizer took over, in any seed; shape (switches,)."""
    rows = rows_with(minibatch_rows(steps), "phase").sort_values("step")
    later = rows[(rows.phase.astype("int64").groupby(rows.seed).diff() > 0).to_numpy()]
    return np.unique(later.step.to_numpy())


def _seed_verdict(rows: Rows, context: TrainingContext) -> SeedVerdict:
    """The verdict on one seed's rows, in the order of the steps."""
    score = context.baseline.score
    seed = _record(rows, context)
    losses, scores = seed.train_losses, seed.train_scores
    test = score.array(rows.having(f"test_{score.column}"), "test")
    test_score = float(test[-1]) if test.size else None
    verdict, reason = next((word, why) for word, rule in RULES if (why := rule(seed)) is not None)
    return SeedVerdict(
        verdict=verdict,
        reason=reason,
        additions=_additions(seed, verdict, score.at_chance(test_score)),
        loss_first=float(losses[0]) if losses.size else None,
        loss_last=float(losses[-1]) if losses.size else None,
        train_score=float(scores[-1]) if scores.size and not np.isnan(scores[-1]) else None,
        test_score=test_score,
        last_finite=_last_finite(seed) if verdict == "diverged" else None,
    )


def _record(rows: Rows, context: TrainingContext) -> _Seed:
    number = int(rows["seed"][0])
    evaluated = rows.having("train_loss")
    dropped = clip_limits.dropped(rows, context.clip)
    taken = rows.measured["learning_rate"]
    used = rows.take(~dropped & rows.measured["loss"])
    nothing = np.full(len(used), np.nan)
    return _Seed(
        context=context,
        last_step=int(rows["step"].max()),
        evaluated=evaluated["step"],
        train_losses=_used_losses(evaluated, used) if dropped.any() else evaluated["train_loss"],
        train_scores=context.baseline.score.array(evaluated, "train"),
        test_losses=evaluated["test_loss"] if "test_loss" in rows else np.full(len(evaluated), np.nan),
        steps=used["step"],
        losses=used["loss"],
        log10_gradient=used["log10_gradient"] if "log10_gradient" in rows else nothing,
        log10_update=nothing if context.update_norms is None else _norms_at(used, context.update_norms),
        all_dropped=bool(taken.any() and dropped[taken].all()),
        nonfinite=next((entry for entry in context.nonfinite if entry["seed"] == number), None),
    )


def _norms_at(rows: Rows, norms: pd.Series) -> NDArray[np.float64]:
    """Each row's update norm by its seed and step, NaN where it was not measured."""
    return to_float64(norms.reindex(pd.MultiIndex.from_arrays([rows["seed"], rows["step"]])))


def _used_losses(evaluated: Rows, used: Rows) -> NDArray[np.float64]:
    """The training loss at each evaluation; of a seed whose clip drops steps, without the examples that cause them.

    Where the loss of the whole training set is not finite, or above twice the median of the last 50 recorded minibatch
    losses that were used, that median takes its place.
    """
    whole, losses, steps = evaluated["train_loss"].copy(), used["loss"], used["step"]
    for index, step in enumerate(evaluated["step"]):
        recent = losses[steps <= step][-SPIKE_WINDOW:] if (steps <= step).any() else losses[:1]
        if recent.size and not whole[index] <= BLOWN_UP * np.median(recent):
            whole[index] = np.median(recent)
    return whole


# ---- the rules: None where one does not hold, else the reason, "" where the word alone says it


def _untrained(seed: _Seed) -> str | None:
    if seed.last_step == 0 or not (seed.train_losses.size or seed.nonfinite):
        return ""
    dropped_by = "the clip" if drops(seed.context.clip) else "loss scaling"
    return f"no update was made: {dropped_by} dropped every one" if seed.all_dropped else None


def _diverged(seed: _Seed) -> str | None:
    losses, entry = seed.train_losses, seed.nonfinite
    if entry:
        return f"not finite at step {entry['step']}, first {place_text(entry | {'name': ''})}"
    if (broken := np.flatnonzero(~np.isfinite(seed.losses))).size:
        return f"the loss is not finite from step {seed.steps[broken[0]]} on"
    if (broken := np.flatnonzero(~np.isfinite(losses))).size:
        return f"the loss is not finite from step {seed.evaluated[broken[0]]} on"
    if losses[-1] > BLOWN_UP * max(losses[0], seed.context.baseline.loss):
        return "the loss is finite, but far above both its first value and the chance loss"
    return None


def _learned_and_lost_it(seed: _Seed) -> str | None:
    losses, learned = seed.train_losses, seed.learned
    lowest = int(np.argmin(losses))
    if not learned.any() or learned[-1] or losses[-1] <= BLOWN_UP * losses[lowest]:
        return None
    reached = f"loss {short_number(losses[lowest])} at step {seed.evaluated[lowest]}"
    return f"had reached {reached}, then the loss rose again"


def _oscillating(seed: _Seed) -> str | None:
    if not swings(seed) or _always_learned(seed):
        return None
    half = _last_half(seed)
    low, high = seed.losses[half].min(), seed.losses[half].max()
    if high - low <= STILL * high:
        return "the loss stays the same although the parameters move: each step leads to the other side of the minimum"
    return (
        f"over the last half of the steps the loss goes up and down between {short_number(low)} and "
        f"{short_number(high)}, the same batch at each step"
    )


def _learned(seed: _Seed) -> str | None:
    return "" if seed.learned[-1] else None


def _learning(seed: _Seed) -> str | None:
    losses, chance = seed.train_losses, seed.context.baseline.loss
    half = _half_way_loss(seed)
    if losses[-1] < chance and half - losses[-1] > FALLING * chance:
        return f"still falling (loss {short_number(half)} at half of the steps)"
    return None


def _stalled(seed: _Seed) -> str | None:
    return ""


RULES = (
    ("untrained", _untrained),
    ("diverged", _diverged),
    ("learned and lost it", _learned_and_lost_it),
    ("oscillating", _oscillating),
    ("learned", _learned),
    ("learning", _learning),
    ("stalled", _stalled),
)


def _additions(seed: _Seed, verdict: str, test_at_chance: bool) -> dict[str, str]:
    """What else is true of a seed that learned or is learning: each word with its numbers."""
    if verdict not in ("learned", "learning"):
        return {}
    found = {
        "memorized": "the score on the test set stays at chance level"
        if verdict == "learned" and test_at_chance
        else None,
        "overfits": _overfitting(seed),
        "spiked and recovered": _spike(seed),
        "oscillating": "the loss goes up and down for ever" if swings(seed) else None,
    }
    return {word: text for word, text in found.items() if text is not None}


def swings(seed: _Seed) -> bool:
    """Whether the loss goes up and down, or stays although the parameters move, over the last half of the steps."""
    half = _last_half(seed)
    losses = seed.losses[half]
    if not seed.context.same_batch or losses.size < FEWEST or not np.isfinite(losses).all():
        return False
    level, swing = losses.mean(), np.abs(np.diff(losses)).mean()
    third = losses.size // 3
    fall = abs(losses[:third].mean() - losses[-third:].mean())
    if level <= 0:
        return False
    if np.ptp(losses) <= STILL * level:
        with np.errstate(invalid="ignore", over="ignore"):
            possible = 10.0 ** (seed.log10_gradient[half] + seed.log10_update[half])
        possible = possible[np.isfinite(possible)]
        return bool(possible.size and np.median(possible) >= SWING * level)
    return bool(swing >= SWING * level and fall <= swing)


def _always_learned(seed: _Seed) -> bool:
    """Whether all of the last half of the steps is as good as learned demands."""
    since = seed.last_step / 2
    learned, score = seed.learned[seed.evaluated >= since], seed.context.baseline.score
    if score.chance_level is not None and score.column != "loss":
        return bool(learned.all())
    losses = seed.losses[_last_half(seed)]
    return bool(learned.all() and (losses <= score.learned_loss * seed.context.baseline.loss).all())


def _last_half(seed: _Seed) -> NDArray[np.bool_]:
    return np.asarray(seed.steps >= seed.last_step / 2)


def _overfitting(seed: _Seed) -> str | None:
    """How far the test loss rose again while the training loss fell; None where it did not."""
    test, train = seed.test_losses, seed.train_losses
    if not test.size or np.isnan(test).any():
        return None
    lowest = int(np.argmin(test))
    bound = OVERFITTED * test[lowest] + OVERFITTED_LOSS * seed.context.baseline.loss
    if test[-1] < bound or train[-1] >= train[lowest]:
        return None
    return (
        f"the test loss rose from {short_number(test[lowest])} at step {seed.evaluated[lowest]} to "
        f"{short_number(test[-1])} while the training loss fell"
    )


def _spike(seed: _Seed) -> str | None:
    """The first spike of the minibatch loss, if the training loss came back from it; else None."""
    losses, chance = seed.losses, seed.context.baseline.loss
    if not (losses - np.minimum.accumulate(losses) > SPIKE * chance).any():
        return None  # without the cost of the medians, which are above the lowest loss
    levels = pd.Series(losses).shift(1).rolling(SPIKE_WINDOW, min_periods=SPIKE_BEFORE).median().to_numpy()
    for at in np.flatnonzero(losses - levels > SPIKE * chance):
        before = losses[max(0, at - SPIKE_WINDOW) : at]
        deviation = 1.4826 * np.median(np.abs(before - levels[at]))
        if losses[at] - levels[at] > SPIKE_DEVIATIONS * deviation:
            if seed.train_losses[-1] > levels[at] + OVERFITTED_LOSS * chance:
                return None
            return f"the minibatch loss rose to {short_number(losses[at])} at step {seed.steps[at]}, and came back"
    return None


def _last_finite(seed: _Seed) -> tuple[int, float] | None:
    """Step and minibatch loss before the first that is not finite; None where all are, and so is the gradient."""
    broken = np.flatnonzero(~np.isfinite(seed.losses))
    if not broken.size and seed.nonfinite is None:
        return None
    end = int(broken[0]) if broken.size else seed.losses.size
    return (int(seed.steps[end - 1]), float(seed.losses[end - 1])) if end else None


def _half_way_loss(seed: _Seed) -> float:
    """The loss at the first evaluation at or after half of the steps, but not the last one."""
    steps, losses = seed.evaluated, seed.train_losses
    middle = int(np.searchsorted(steps, steps.max() / 2))
    return float(losses[max(0, min(middle, losses.size - 2))])


def _finite_mean(values: list[float | None]) -> float | None:
    """The mean over seeds of what was measured and is finite; None where there is nothing."""
    finite = [value for value in values if value is not None and np.isfinite(value)]
    return float(np.mean(finite)) if finite else None
