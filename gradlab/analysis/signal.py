"""The signal's verdict: does the backward signal vanish, explode or flow over depth, and what interrupts it?"""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from gradlab.analysis import sentences
from gradlab.analysis.gain import VERDICT_DECADES, Defect, Gain, Sizes, backward_gain, first_defects
from gradlab.analysis.results import SignalVerdict
from gradlab.analysis.selection import defined_backward, rows_with, to_float64
from gradlab.analysis.words import SIGNAL

NOT_FINITE = ("overflow", "undefined")
PARALLEL_COSINE = 0.95  # from which on the outputs of two examples are nearly the same


@dataclass(frozen=True)
class SignalContext:
    """What a verdict needs to know of the run: layer or block as unit, theory's gain, the inputs' cosine and size."""

    unit: str = "layer"
    theory: float | None = None
    cosine: float = 0.0
    sizes: Sizes = field(default_factory=Sizes)


def signal_verdict(
    layers: pd.DataFrame, context: SignalContext, nonfinite: tuple[dict[str, Any], ...] = ()
) -> SignalVerdict:
    """The verdict on rows of one source, each seed at one step; `nonfinite` are the seeds that diverged before.

    *vanishing* if the 95 % interval of the decades lies below log10(1/20), *exploding* if it lies above
    log10(20), else *flowing* (decades without an interval are taken as they are). A seed is *cut* where an
    exact zero ends its backward signal, *underflow* where its forward signal is too small for the number format,
    *overflow* or *undefined* at NaN or inf; these are counted, and *exploding* is added if the signal of most of them
    surely grows by a factor of 20 before. With more such seeds than intact ones the verdict is theirs.
    *Rank collapse* is added to a flowing signal if the outputs of two examples have become parallel at the last
    hidden layer (cosine ≥ 0.95, and at least five times nearer to 1 than that of the inputs).
    """
    rows = defined_backward(layers)
    defects = first_defects(rows, context.sizes, nonfinite)
    broken = {defect.seed for defect in defects}
    lost = {defect.seed for defect in defects if defect.kind in NOT_FINITE}
    intact = rows[~rows.seed.isin(lost)]
    gain = backward_gain(intact)
    last, seeds = int(layers.layer.max()) - 1, int(layers.seed.nunique())
    kind = _kind(gain)
    cosine = _last_cosine(intact, last)
    collapsed = kind == "flowing" and cosine is not None and _is_collapse(cosine, context)
    found = {defect.kind for defect in defects} | ({kind} if kind else set())
    found |= {"exploding"} if _explodes(defects) else set()
    words = [word for word in SIGNAL if word in found] + ["rank collapse"] * collapsed
    verdict = kind if kind and 2 * len(broken) <= seeds else words[0]
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
        defects=list(defects),
    )
    names = dict(zip(rows.layer.tolist(), rows.name.astype(str).tolist(), strict=True))
    return replace(result, sentence=sentences.of_signal(result, gain, context.unit, names))


def _explodes(defects: tuple[Defect, ...]) -> bool:
    """Whether the signal of most seeds with a number that is not finite surely grows before."""
    growing = [defect.surely_grows for defect in defects if defect.kind in NOT_FINITE]
    return 2 * sum(growing) > len(growing)


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
