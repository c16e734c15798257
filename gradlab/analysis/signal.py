"""The signal's verdict: does the backward signal vanish, explode or flow over depth, and what interrupts it?"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from gradlab.analysis.gain import Defect, Gain, backward_gain
from gradlab.analysis.selection import rows_with, to_float64
from gradlab.analysis.wording import gain_texts, place_text, short_number, signed_decades

VERDICT_DECADES = float(np.log10(20))  # 20 = e^3: a change beyond three e-folds is known to harm training
PARALLEL_COSINE = 0.95  # from which on the outputs of two examples are nearly the same
DEFECTS = ("non-finite", "underflow", "cut")  # the order in which one word is chosen


@dataclass(frozen=True)
class SignalContext:
    """What a verdict needs to know of the run: its unit (layer or block), theory's gain, the inputs' cosine."""

    unit: str = "layer"
    theory: float | None = None
    cosine: float = 0.0


def signal_verdict(
    layers: pd.DataFrame, context: SignalContext, nonfinite: tuple[dict[str, Any], ...] = ()
) -> dict[str, Any]:
    """The verdict on rows of one source, each seed at one step; `nonfinite` are the seeds that diverged before.

    *vanishing* if the 95 % interval of the decades lies below log10(1/20), *exploding* if it lies above
    log10(20), else *flowing* (decades without an interval are taken as they are). A seed is *cut* where an
    exact zero ends its backward signal, *underflow* where its forward signal is too small for the number format,
    *non-finite* at NaN or inf; these are counted. With more such seeds than intact ones the verdict is theirs.
    *Rank collapse* is added to a flowing signal if the outputs of two examples have become parallel at the last
    hidden layer (cosine ≥ 0.95, and at least five times nearer to 1 than that of the inputs).
    """
    diverged = {int(entry["seed"]) for entry in nonfinite}
    rows = layers[~layers.seed.isin(diverged)]
    gain = backward_gain(rows)
    last, seeds = int(layers.layer.max()) - 1, int(layers.seed.nunique())
    kind = _kind(gain)
    cosine = _last_cosine(rows, last)
    collapsed = kind == "flowing" and cosine is not None and _is_collapse(cosine, context)
    words = [*([kind] if kind else []), *(["rank collapse"] if collapsed else [])]
    words += sorted({defect.kind for defect in gain.defects} | ({"non-finite"} if nonfinite else set()))
    broken = len(diverged | {defect.seed for defect in gain.defects})
    verdict = kind if kind and 2 * broken <= seeds else next(word for word in DEFECTS if word in words)
    change = describe(gain, context) if kind or gain.gain is not None else ""
    defects = _defect_phrases(gain, layers, nonfinite, verdict)
    parts = [part for part in ([*defects, change] if verdict in DEFECTS else [change, *defects]) if part]
    if collapsed:
        parts.append(
            f"but rank collapse: at layer {last} the outputs of different examples are almost parallel "
            f"(mean cosine {cosine:.2f}), much more than the inputs"
        )
    return {
        "step": int(layers.step.max()),
        "verdict": verdict,
        "words": words,
        "sentence": f"{verdict}: " + "; ".join(parts),
        "layers": last,
        "seeds": seeds,
        "seeds_averaged": gain.seeds,
        "gain": gain.gain,
        "gain_interval": gain.interval,
        "gain_theory": context.theory,
        "decades": gain.decades,
        "decades_interval": gain.decades_interval,
        "shape": gain.shape,
        "cosine": cosine,
        "defects": [vars(defect) for defect in gain.defects],
    }


def _kind(gain: Gain) -> str:
    if gain.decades is None:
        return "undecided" if gain.layers <= 1 and gain.seeds else ""
    low, high = gain.decades_interval or (gain.decades, gain.decades)
    if high < -VERDICT_DECADES:
        return "vanishing"
    return "exploding" if low > VERDICT_DECADES else "flowing"


def describe(gain: Gain, context: SignalContext) -> str:
    """−0.7 decades from layer 50 back to layer 1, gain 0.97 per layer (0.95–0.99); theory 0.96."""
    if gain.gain is None and gain.decades is not None:
        return f"{_decades_text(gain)}; {gain.note}"
    if gain.gain is None:
        return f"{gain.note}, so there is no depth over which the signal can change"
    if gain.decades is None:
        return f"gain {short_number(gain.gain)} per {context.unit} over the layers that the signal reaches"
    mean, *ends = gain_texts(gain.interval, gain.gain, *(gain.interval or ()))
    text = f"{_decades_text(gain)}, gain {mean} per {context.unit} ({'–'.join(ends) or gain.note})"
    if gain.shape and context.unit == "block":
        text += f", {gain.shape}"
    if context.theory is not None:
        text += f"; theory {gain_texts(gain.interval, context.theory)[0]}"
    return text


def _decades_text(gain: Gain) -> str:
    """−0.7 decades from layer 50 back to layer 1; with their interval where it makes the verdict uncertain."""
    interval = ""
    if gain.decades_interval is not None and _is_uncertain(gain):
        interval = f" (95 % interval {' to '.join(map(signed_decades, gain.decades_interval))})"
    return f"{signed_decades(gain.decades or 0.0)} decades{interval} from layer {gain.layers} back to layer 1"


def _is_uncertain(gain: Gain) -> bool:
    """Whether the decades are beyond the bound but their interval is not, which the reader must see."""
    if gain.decades is None or gain.decades_interval is None:
        return False
    low, high = gain.decades_interval
    return abs(gain.decades) > VERDICT_DECADES and low < VERDICT_DECADES and high > -VERDICT_DECADES


def _defect_phrases(
    gain: Gain, layers: pd.DataFrame, nonfinite: tuple[dict[str, Any], ...], verdict: str
) -> list[str]:
    """One phrase for each way in which seeds are broken, with the first seed's layer."""
    phrases = []
    output, seeds = int(layers.layer.max()), int(layers.seed.nunique())
    if nonfinite:
        first = min(nonfinite, key=lambda entry: entry["step"])
        count = len({entry["seed"] for entry in nonfinite})
        place = f"since step {first['step']}, first {place_text(first)}"
        phrases.append(_seed_count("non-finite", count, seeds, verdict) + place)
    for kind in DEFECTS:
        defects = [defect for defect in gain.defects if defect.kind == kind]
        if defects:
            phrases.append(_seed_count(kind, len(defects), seeds, verdict) + _defect_text(defects[0], output))
    return phrases


def _seed_count(kind: str, count: int, seeds: int, verdict: str) -> str:
    """In how many seeds; with the kind, unless the sentence begins with it."""
    text = f"in {count} of {seeds} seeds " if seeds > 1 else ""
    return text if kind == verdict else f"{kind} {text}"


def _defect_text(defect: Defect, output: int) -> str:
    layer = defect.layer
    if defect.kind == "non-finite":
        return f"first {place_text({'layer': layer, 'where': defect.where})}"
    if defect.kind == "underflow":
        return (
            f"the forward signal underflows at layer {layer} (it is too small for the number format), "
            "so the gradients from there on mean little"
        )
    if layer == output:
        return "the loss sends back an exact zero (its minimum is reached, or its softmax is saturated)"
    reason = "all units are dead" if defect.where == "forward" else "the backward signal is exactly zero"
    return f"{reason} at layer {layer}, so no gradient reaches the layers before it"


def _last_cosine(layers: pd.DataFrame, last: int) -> float | None:
    """The mean over seeds of the cosine at the last hidden layer."""
    rows = rows_with(layers, "cosine")
    cosines = to_float64(rows.cosine[(rows.layer == last).to_numpy()])
    cosines = cosines[np.isfinite(cosines)]
    return float(cosines.mean()) if cosines.size else None


def _is_collapse(cosine: float, context: SignalContext) -> bool:
    """Near 1, and because of depth: the inputs are at least five times further from 1."""
    return cosine >= PARALLEL_COSINE and 5 * (1 - cosine) <= 1 - context.cosine
