"""Each word that holds of a run, with the numbers, layers and steps that it rests on; causes beside the verdicts.

`words.py` has the rule of each word.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from gradlab.analysis.arrays import Rows
from gradlab.analysis.clip_limits import always_acts
from gradlab.analysis.gain import VERDICT_DECADES
from gradlab.analysis.results import Finding, SignalVerdict, TrainingVerdict
from gradlab.analysis.selection import not_finite
from gradlab.analysis.words import CAUSES

# of the table of layers, those that a cause rests on
CAUSE_COLUMNS = ("log10_forward", "saturated", "dead", "log10_update", "log10_weight", "update_lost")
HALF = 0.5  # of the activations, units or entries
SMALL, LARGE = -6.0, -1.0  # log10 of ‖ΔW‖/‖W‖; usual is −3
ROUNDING = 8  # times eps·‖W‖: a smaller update may be lost
EPS = {
    "float32": 2.0**-23,
    "bfloat16": 2.0**-23,
    "float64": 2.0**-52,
}  # of the parameters, by the recipe's dtype
# the training's verdicts that a size of the updates may explain
TOLD_WITH = {
    "updates lost to rounding": ("stalled", "learning"),
    "update too small": ("stalled", "learning"),
    "update too large": ("diverged", "learned and lost it", "oscillating", "stalled"),
}
# optimizers whose update does not change with the gradient's scale
SCALE_FREE = ("adam", "adamw", "rmsprop", "adagrad", "lion", "sign")


@dataclass(frozen=True)
class CauseContext:
    """What the causes need to know of the run."""

    optimizer: str
    clip: Mapping[str, Any]  # the recipe's part
    dtype: str


def of_signal(verdict: SignalVerdict, at: str) -> list[Finding]:
    """The words of the signal at one step; `at` is `start` or `end`."""
    return [_signal_finding(verdict, word, at) for word in verdict.words]


def _signal_finding(verdict: SignalVerdict, word: str, at: str) -> Finding:
    defects = [defect for defect in verdict.defects if defect.kind == word]
    if defects:
        steps = sorted({defect.step for defect in defects})
        numbers = {"growth": max((d.growth for d in defects if d.growth is not None), default=None)}
        layers = sorted({defect.layer for defect in defects})
        return Finding(word, "signal", at, len(defects), layers, steps, numbers)
    if word == "rank collapse":
        numbers = {
            "effective_rank": verdict.effective_rank,
            "effective_rank_before": verdict.effective_rank_before,
            "cosine": verdict.cosine,
        }
        return Finding(word, "signal", at, verdict.seeds, [verdict.layers], [verdict.step], numbers)
    numbers = {"decades": verdict.decades, "gain": verdict.gain, "gain_theory": verdict.gain_theory}
    if verdict.decades is None:  # of an exploding signal that ends in an overflow
        growing = [defect.growth for defect in verdict.defects if defect.surely_grows]
        numbers = {"growth": max((growth for growth in growing if growth is not None), default=None)}
    layers = list(range(1, verdict.layers + 1))
    seeds = verdict.seeds_averaged or verdict.seeds
    return Finding(word, "signal", at, seeds, layers, [verdict.step], numbers, verdict.decades_interval)


def of_training(verdict: TrainingVerdict) -> list[Finding]:
    """The words of the training, of any seed."""
    numbers = {
        "loss_first": verdict.loss_first,
        "loss_last": verdict.loss_last,
        "chance_loss": verdict.chance_loss,
        "train_score": verdict.train_score,
        "test_score": verdict.test_score,
    }
    return [
        Finding(
            word,
            "training",
            "end",
            (verdict.counts | verdict.additions)[word],
            [],
            [0, verdict.steps],
            numbers,
        )
        for word in verdict.words
    ]


def causes(
    layers: Rows,
    context: CauseContext,
    start: SignalVerdict,
    end: SignalVerdict,
    training: TrainingVerdict,
) -> list[Finding]:
    """What else is true of the run and may explain its verdicts, in the order of `words.CAUSES`.

    `layers` are the rows of layers that were measured on minibatches, with those of `CAUSE_COLUMNS` that there are.
    """
    found = [
        *_blocked(layers, start, end),
        *_clip(training, context.clip),
        *_hidden(layers, context, start),
        *_updates(layers, context, training),
    ]
    order = list(CAUSES)
    return sorted(found, key=lambda finding: order.index(finding.word))


def _blocked(layers: Rows, start: SignalVerdict, end: SignalVerdict) -> Iterator[Finding]:
    """Saturated activations and dead units of hidden layers, at the start and at the end."""
    ends = [(start, "start"), (end, "end")] if end.step > start.step else [(start, "start")]
    for verdict, at in ends:
        hidden = (layers["layer"] >= 1) & (layers["layer"] <= verdict.layers)
        rows = layers.take(hidden & (layers["step"] == verdict.step))
        # behind an overflow a slope of zero is none: relu′(NaN) is 0 in JAX
        undefined = not_finite(rows, "log10_forward")
        for word, column in (("saturated", "saturated"), ("dead units", "dead")):
            if column not in rows:
                continue
            defined = rows.take(rows.measured[column] & ~undefined)
            shares = pd.Series(defined[column]).groupby(defined["layer"]).mean()
            blocked = shares[shares >= HALF]
            if len(blocked):
                numbers = {"largest": float(blocked.max())}
                places = [int(layer) for layer in blocked.index]
                yield Finding(word, "cause", at, verdict.seeds, places, [verdict.step], numbers)


def _clip(training: TrainingVerdict, clip: Mapping[str, Any]) -> Iterator[Finding]:
    """A clip that acts at no step, or at each."""
    share, steps = training.clip_share, [0, training.steps]
    if share == 0:
        yield Finding("clip never acts", "cause", "end", training.seeds, [], steps, {"share": share})
    if share == 1 and not always_acts(clip) and training.dropped is None:
        yield Finding("clip always acts", "cause", "end", training.seeds, [], steps, {"share": share})


def _hidden(layers: Rows, context: CauseContext, start: SignalVerdict) -> Iterator[Finding]:
    """A vanished signal behind updates of equal sizes."""
    if context.optimizer not in SCALE_FREE or "vanishing" not in start.words or "log10_update" not in layers:
        return
    rows = layers.take(layers["step"] == start.step)
    first, last = (_mean_update(rows, layer) for layer in (1, start.layers))
    if np.isfinite([first, last]).all() and first - last > -VERDICT_DECADES:
        numbers = {"update_decades": first - last, "decades": start.decades}
        places = [1, start.layers]
        yield Finding(
            "adam hides a vanished gradient", "cause", "start", start.seeds, places, [start.step], numbers
        )


def _mean_update(rows: Rows, layer: int) -> float:
    values = rows["log10_update"][rows["layer"] == layer]
    return float(values.mean()) if values.size else np.nan


def _updates(layers: Rows, context: CauseContext, training: TrainingVerdict) -> Iterator[Finding]:
    """Layers whose updates are too small, too large, or lost, by the median over steps and seeds; where it matters."""
    if "log10_update" not in layers or "log10_weight" not in layers:
        return
    with np.errstate(invalid="ignore"):  # −inf less −inf
        ratio = layers["log10_update"] - layers["log10_weight"]
    finite = np.isfinite(ratio)
    rows = layers.take(finite)
    if not len(rows):
        return
    lost = rows["update_lost"] if "update_lost" in rows else np.full(len(rows), np.nan)
    medians = pd.DataFrame({"ratio": ratio[finite], "lost": lost}).groupby(rows["layer"]).median()
    steps, seeds = [int(rows["step"].min()), int(rows["step"].max())], len(np.unique(rows["seed"]))
    below = np.log10(ROUNDING * EPS.get(context.dtype, EPS["float32"]))
    lost_to_rounding = (medians.lost >= HALF) & (medians.ratio <= below)
    rules: dict[str, Any] = {
        "updates lost to rounding": lost_to_rounding,
        "update too small": (medians.ratio < SMALL) & ~lost_to_rounding,
        "update too large": medians.ratio > LARGE,
    }
    for word, holds in rules.items():
        if training.verdict in TOLD_WITH[word] and holds.any():
            there = medians[holds]
            extreme = there.ratio.max() if word == "update too large" else there.ratio.min()
            numbers = {"log10_ratio": float(extreme), "lost": float(there.lost.max())}
            places = [int(layer) for layer in there.index]
            yield Finding(word, "cause", "end", seeds, places, steps, numbers)
