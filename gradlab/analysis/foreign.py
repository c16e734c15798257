"""What can be said of a foreign run, one that gradlab has not trained: its log is all that is known of it.

Where the log has the backward signal, its verdict is that of any run. Where it has only weight gradients, they get
words of their own, since a weight gradient can be level while the backward signal vanishes.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradlab.analysis.arrays import Rows
from gradlab.analysis.gain import VERDICT_DECADES, Sizes, profile_decades
from gradlab.analysis.results import Finding, SignalVerdict, TrainingVerdict, WeightVerdict
from gradlab.analysis.signal import SignalContext
from gradlab.analysis.training import clipped_fraction
from gradlab.analysis.verdict_run import step_rows
from gradlab.analysis.wording import count_text, place_text, short_number, signed_decades
from gradlab.analysis.words import WEIGHTS
from gradlab.measurements.log10 import is_not_finite
from gradlab.store.read import Run

GRADIENT = "gradient"  # where a run is not finite of which only the norm of all parameters tells
TENTH = 10  # the losses of the first and of the last tenth of the records are averaged
FEWEST = 4  # layers from which on the first and the last are left out
_MAY_MISLEAD = {
    "weight gradient falls": "this suggests a vanishing backward signal, and does not prove it",
    "weight gradient rises": "this suggests an exploding backward signal, and does not prove it",
    "weight gradient level": "a weight gradient can be level while the backward signal vanishes",
}


def signal_context(run: Run) -> SignalContext:
    """Nothing is known of the inputs, the task or the kind of the layers."""
    return SignalContext(sizes=Sizes(inputs=-math.inf))


def renumbered(rows: Rows) -> Rows:
    """The rows with the layers that have some counted from 0, since a log may leave out layers."""
    return rows.assign(layer=np.unique(rows["layer"], return_inverse=True)[1].astype(np.int64))


# ---- the weight gradients


def weight_verdicts(layers: Rows) -> list[WeightVerdict]:
    """The verdict on the weight gradients at the first step that has some, and at the last one if it is another."""
    rows = layers.of_minibatches().having("log10_gradient")
    steps = dict.fromkeys([rows["step"].min(), rows["step"].max()]) if len(rows) else {}
    return [weight_verdict(rows.take(rows["step"] == step).sorted_by("layer")) for step in steps]


def weight_verdict(rows: Rows) -> WeightVerdict:
    """The verdict on the weight gradients of one step, by the rules of `words.WEIGHTS`; a row for each layer."""
    inner = rows.take(slice(1, -1)) if len(rows) >= FEWEST else rows  # type: ignore[arg-type]
    log10, inner_log10 = rows["log10_gradient"], inner["log10_gradient"]
    decades, low, high = profile_decades(inner_log10) if np.isfinite(inner_log10).all() else (None, 0.0, 0.0)
    holds = {
        "weight gradient not finite": bool(is_not_finite(log10).any()),
        "weight gradient zero": bool((log10 == -np.inf).any()),
        "weight gradient falls": decades is not None and high < -VERDICT_DECADES,
        "weight gradient rises": decades is not None and low > VERDICT_DECADES,
        "weight gradient level": decades is not None and low <= VERDICT_DECADES and high >= -VERDICT_DECADES,
    }
    words = [word for word in WEIGHTS if holds[word]]
    return WeightVerdict(
        step=int(rows["step"][0]),
        verdict=words[0] if words else "undecided",
        words=words,
        sentence="; ".join(_weight_sentences(words, rows, inner, decades)),
        layers=len(rows),
        decades=decades,
        decades_interval=None if decades is None or low == high else (low, high),
    )


def _weight_sentences(words: list[str], rows: Rows, inner: Rows, decades: float | None) -> list[str]:
    log10 = rows["log10_gradient"]
    sentences = []
    for word in words:
        if word == "weight gradient not finite":
            sentences.append(f"{word}: {_places(rows, is_not_finite(log10))}")
        elif word == "weight gradient zero":
            sentences.append(f"{word}: {_places(rows, log10 == -np.inf)}")
        elif decades is not None:
            ends = f"from {_place(inner, -1)} back to {_place(inner, 0)}"
            sentences.append(f"{word}: {signed_decades(decades)} decades {ends}; {_MAY_MISLEAD[word]}")
    return sentences or ["undecided: there is one layer with a weight gradient"]


def _places(rows: Rows, where: NDArray[np.bool_]) -> str:
    """In how many layers, and which is the first."""
    index = np.flatnonzero(where)
    return f"in {len(index)} of {count_text(len(rows), 'layer')}, the first is {_place(rows, int(index[0]))}"


def _place(rows: Rows, index: int) -> str:
    return f"layer {int(rows['layer'][index])} ({rows['name'][index]})"


def weight_findings(verdict: WeightVerdict, at: str) -> list[Finding]:
    """The words of the weight gradients at one step; `at` is `start` or `end`."""
    numbers = {"decades": verdict.decades}
    layers = list(range(verdict.layers))
    return [
        Finding(word, "weights", at, 1, layers, [verdict.step], numbers, verdict.decades_interval)
        for word in verdict.words
    ]


# ---- what is not known


def not_recorded(layers: Rows) -> str:
    """That there is no verdict on the signal, and why."""
    if not len(layers):
        return "not recorded: the log has no layers, so nothing is known of the signal over depth"
    return "not recorded: the log has no gradients at the layers' outputs, so nothing says whether the signal vanishes"


def notes(run: Run, *signals: SignalVerdict | None) -> list[str]:
    """What a reader of the verdicts must know of the log."""
    origin, found = run.recipe["origin"], []
    if (
        signals[0] is not None
        and (column := origin.get("log10_backward", "log10_backward")) != "log10_backward"
    ):
        found.append(f"the backward signal is {column} of {origin['source']}, as its program defines it")
    if any(verdict is not None and "cut" in verdict.words for verdict in signals):
        found.append(
            "an exact zero of a log may be a number too small for the number format of the program that wrote it "
            "(float32: 1e-45, float16: 6e-8)"
        )
    return found


# ---- the training


def training_verdict(run: Run, nonfinite: tuple[dict[str, Any], ...]) -> TrainingVerdict:
    """Whether the run diverged; it is *not judged* otherwise, since its chance loss is not known."""
    rows = step_rows(run).of_minibatches().sorted_by("step")
    recorded = rows.having("loss")
    losses, finite = recorded["loss"], np.isfinite(recorded["loss"])
    verdict = "diverged" if nonfinite else "not judged"
    few = max(len(losses) // TENTH, 1)
    first, last = (_mean(part[np.isfinite(part)]) for part in (losses[:few], losses[-few:]))
    accuracy = rows.having("test_accuracy")["test_accuracy"]
    return TrainingVerdict(
        verdict=verdict,
        words=[verdict],
        seeds=1,
        counts={verdict: 1},
        additions={},
        diverged=len(nonfinite),
        steps=int(rows["step"].max()),
        chance_loss=None,
        metric="accuracy",
        chance_score=None,
        clip_share=clipped_fraction(run.steps),
        stopped=None,
        updates=len(rows),
        dropped=None,
        last_finite=_last_finite(recorded.take(finite)) if nonfinite else None,
        loss_first=first,
        loss_last=None if nonfinite and len(losses) and not finite[-1] else last,
        train_score=None,
        test_score=float(accuracy[-1]) if len(accuracy) else None,
        sentence=f"{verdict}: {'; '.join(_training_sentences(rows, recorded, nonfinite, (first, last)))}",
    )


def _training_sentences(
    rows: Rows,
    recorded: Rows,
    nonfinite: tuple[dict[str, Any], ...],
    means: tuple[float | None, float | None],
) -> list[str]:
    parts = [_divergence(nonfinite[0])] if nonfinite else []
    if not len(recorded):
        parts.append("no loss was recorded")
    elif nonfinite:
        if last := _last_finite(recorded.take(np.isfinite(recorded["loss"]))):
            parts.append(f"the last finite loss is {short_number(last[1])}, at step {last[0]}")
    elif None not in means:
        parts.append(f"loss {' → '.join(short_number(mean) for mean in means if mean is not None)}")
    for part, label in (
        ("test_loss", "loss on the evaluation set"),
        ("test_accuracy", "accuracy on the evaluation set"),
    ):
        if len(values := rows.having(part)):
            parts.append(f"{label} {short_number(float(values[part][-1]))} at step {int(values['step'][-1])}")
    if not nonfinite:
        parts += _skipped(recorded["loss"], "losses") + _skipped(
            rows.having("log10_gradient")["log10_gradient"], "gradient norms"
        )
        parts.append("the chance loss of the task is not known, so nothing says whether it has learned")
    return parts


def _divergence(entry: dict[str, Any]) -> str:
    place = "in the gradient norm" if entry["where"] == GRADIENT else place_text(entry)
    return f"not finite from step {entry['step']} on, first {place}"


def _skipped(values: NDArray[np.float64], noun: str) -> list[str]:
    """How many values are not finite, of a run that went on."""
    count = int(is_not_finite(values).sum())
    return [f"{count} of {len(values)} {noun} are not finite, and the training went on"] if count else []


def _last_finite(rows: Rows) -> tuple[int, float] | None:
    return (int(rows["step"][-1]), float(rows["loss"][-1])) if len(rows) else None


def _mean(values: NDArray[np.float64]) -> float | None:
    return float(values.mean()) if values.size else None
