"""The signal's verdict: does the backward signal vanish, explode or flow over depth, and what broke it?"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from gradlab.analysis.gain import Defect, Gain, backward_gain
from gradlab.analysis.selection import known, values
from gradlab.analysis.wording import factors, origin, short, signed

FAR = float(np.log10(20))  # decades: 20 = e^3, beyond three e-folds training is known to suffer
PARALLEL = 0.95  # cosine from which on examples are no longer told apart
WORSE = ("non-finite", "underflow", "cut")  # the order in which one word is chosen


@dataclass(frozen=True)
class Place:
    """What the sentence needs to know of the run: block or layer, theory's gain, the inputs' cosine."""

    unit: str = "layer"
    theory: float | None = None
    cosine: float = 0.0


def signal(layers: pd.DataFrame, place: Place, lost: tuple[dict[str, Any], ...] = ()) -> dict[str, Any]:
    """The verdict on rows of one source, each seed at one step; `lost` are the seeds that diverged before.

    *vanishing* if the 95 % interval of the decades lies below log10(1/20), *exploding* if it lies above
    log10(20), else *flowing* (decades without an interval are taken as they are). A seed is *cut* where an
    exact zero ends its backward signal, *underflow* where its forward signal leaves the number format,
    *non-finite* at NaN or inf; these are counted. With more such seeds than whole ones the verdict is theirs.
    *Rank collapse* is said of a flowing signal whose examples have become parallel at the last hidden layer
    (cosine ≥ 0.95, and at least five times nearer to 1 than the inputs' own).
    """
    gone = {int(entry["seed"]) for entry in lost}
    there = layers[~layers.seed.isin(gone)]
    gain = backward_gain(there)
    last, seeds = int(layers.layer.max()) - 1, int(layers.seed.nunique())
    kind = _kind(gain)
    cosine = _cosine(there, last)
    collapsed = kind == "flowing" and cosine is not None and _parallel(cosine, place)
    words = [*([kind] if kind else []), *(["rank collapse"] if collapsed else [])]
    words += sorted({defect.kind for defect in gain.defects} | ({"non-finite"} if lost else set()))
    broken = len(gone | {defect.seed for defect in gain.defects})
    verdict = kind if kind and 2 * broken <= seeds else next(word for word in WORSE if word in words)
    told = _told(gain, place) if kind or gain.gain is not None else ""
    harm = _defects(gain, layers, lost, verdict)
    parts = [part for part in ([*harm, told] if verdict in WORSE else [told, *harm]) if part]
    if collapsed:
        parts.append(
            f"but rank collapse: at layer {last} the examples' signals are almost parallel "
            f"(cosine {cosine:.2f}), so depth has made them alike"
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
        "gain_theory": place.theory,
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
    return "vanishing" if high < -FAR else "exploding" if low > FAR else "flowing"


def _told(gain: Gain, place: Place) -> str:
    """−0.7 decades from layer 50 back to layer 1, gain 0.97 a layer (0.95–0.99); theory 0.96."""
    if gain.gain is None and gain.decades is not None:
        return f"{signed(gain.decades)} decades from layer {gain.layers} back to layer 1; {gain.note}"
    if gain.gain is None:
        return f"{gain.note} has no depth to gain or lose over"
    if gain.decades is None:
        return f"gain {short(gain.gain)} a {place.unit} over the layers it reaches"
    around = f" ({' to '.join(map(signed, gain.decades_interval or ()))})" if _unsure(gain) else ""
    mean, *ends = factors(gain.interval, gain.gain, *(gain.interval or ()))
    text = f"{signed(gain.decades)} decades{around} from layer {gain.layers} back to layer 1"
    text += f", gain {mean} a {place.unit} ({'–'.join(ends) or gain.note})"
    if gain.shape and place.unit == "block":
        text += f", {gain.shape}"
    return text + (f"; theory {factors(gain.interval, place.theory)[0]}" if place.theory is not None else "")


def _unsure(gain: Gain) -> bool:
    """The decades are beyond the bound and their interval is not, so the reader must see it."""
    if gain.decades is None or gain.decades_interval is None:
        return False
    low, high = gain.decades_interval
    return abs(gain.decades) > FAR and low < FAR and high > -FAR


def _defects(gain: Gain, layers: pd.DataFrame, lost: tuple[dict[str, Any], ...], verdict: str) -> list[str]:
    """One phrase for each way in which seeds were broken, with the first seed's layer."""
    told = []
    last, seeds = int(layers.layer.max()), int(layers.seed.nunique())
    if lost:
        first = min(lost, key=lambda entry: entry["step"])
        phrase = f"since step {first['step']}, first {origin(first)}"
        told.append(_of("non-finite", len({entry["seed"] for entry in lost}), seeds, verdict) + phrase)
    for kind in WORSE:
        same = [defect for defect in gain.defects if defect.kind == kind]
        if same:
            told.append(_of(kind, len(same), seeds, verdict) + _defect(same[0], last))
    return told


def _of(kind: str, part: int, seeds: int, verdict: str) -> str:
    """In how many seeds, and what, unless the sentence has begun with it."""
    count = f"in {part} of {seeds} seeds " if seeds > 1 else ""
    return count if kind == verdict else f"{kind} {count}"


def _defect(defect: Defect, last: int) -> str:
    l = defect.layer
    if defect.kind == "non-finite":
        return f"first {defect.where} at layer {l}"
    if defect.kind == "underflow":
        return f"the forward signal underflows at layer {l}, so the gradients from there on say little"
    if l == last:
        return "the loss itself sends back an exact zero (it is fitted, or its softmax is saturated)"
    why = "all units are dead" if defect.where == "forward" else "an exact zero"
    return f"{why} at layer {l}, so nothing reaches the layers before it"


def _cosine(layers: pd.DataFrame, last: int) -> float | None:
    """The mean over seeds of the cosine at the last hidden layer."""
    rows = known(layers, "cosine")
    found = values(rows.cosine[(rows.layer == last).to_numpy()])
    found = found[np.isfinite(found)]
    return float(found.mean()) if found.size else None


def _parallel(cosine: float, place: Place) -> bool:
    """Near 1, and because of depth: the inputs were at least five times further from it."""
    return cosine >= PARALLEL and 5 * (1 - cosine) <= 1 - place.cosine
