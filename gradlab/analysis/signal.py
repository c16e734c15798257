"""The signal's verdict: does the backward signal vanish, explode or flow over depth, and what interrupts it?"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from gradlab.analysis import sentences
from gradlab.analysis.gain import VERDICT_DECADES, Gain, backward_gain
from gradlab.analysis.results import SignalVerdict
from gradlab.analysis.selection import rows_with, to_float64

PARALLEL_COSINE = 0.95  # from which on the outputs of two examples are nearly the same


@dataclass(frozen=True)
class SignalContext:
    """What a verdict needs to know of the run: its unit (layer or block), theory's gain, the inputs' cosine."""

    unit: str = "layer"
    theory: float | None = None
    cosine: float = 0.0


def signal_verdict(
    layers: pd.DataFrame, context: SignalContext, nonfinite: tuple[dict[str, Any], ...] = ()
) -> SignalVerdict:
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
    verdict = (
        kind if kind and 2 * broken <= seeds else next(word for word in sentences.DEFECTS if word in words)
    )
    result = SignalVerdict(
        step=int(layers.step.max()),
        verdict=verdict,
        words=words,
        sentence="",
        layers=last,
        seeds=seeds,
        seeds_averaged=gain.seeds,
        gain=gain.gain,
        gain_interval=gain.interval,
        gain_theory=context.theory,
        decades=gain.decades,
        decades_interval=gain.decades_interval,
        shape=gain.shape,
        cosine=cosine,
        defects=list(gain.defects),
    )
    return replace(result, sentence=sentences.of_signal(result, gain, context.unit, nonfinite))


def _kind(gain: Gain) -> str:
    if gain.decades is None:
        return "undecided" if gain.layers <= 1 and gain.seeds else ""
    low, high = gain.decades_interval or (gain.decades, gain.decades)
    if high < -VERDICT_DECADES:
        return "vanishing"
    return "exploding" if low > VERDICT_DECADES else "flowing"


def _last_cosine(layers: pd.DataFrame, last: int) -> float | None:
    """The mean over seeds of the cosine at the last hidden layer."""
    rows = rows_with(layers, "cosine")
    cosines = to_float64(rows.cosine[(rows.layer == last).to_numpy()])
    cosines = cosines[np.isfinite(cosines)]
    return float(cosines.mean()) if cosines.size else None


def _is_collapse(cosine: float, context: SignalContext) -> bool:
    """Near 1, and because of depth: the inputs are at least five times further from 1."""
    return cosine >= PARALLEL_COSINE and 5 * (1 - cosine) <= 1 - context.cosine
