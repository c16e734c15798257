"""The signal's verdict: does the backward signal vanish, explode or flow over depth, and what interrupts it?"""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from gradlab.analysis import sentences
from gradlab.analysis.arrays import Rows
from gradlab.analysis.gain import VERDICT_DECADES, Defect, Gain, Sizes, backward_gain, first_defects
from gradlab.analysis.results import SignalVerdict
from gradlab.analysis.selection import defined_backward, rows_of
from gradlab.analysis.words import SIGNAL

NOT_FINITE = ("overflow", "undefined")
COLLAPSED, ONE_DIRECTION = 5, 2.0  # times below the inputs' effective rank, and below this one


@dataclass(frozen=True)
class SignalContext:
    """What a verdict needs to know of the run: layer or block as unit, theory's gain, the inputs' size.

    rank: the inputs' effective rank, of as many examples as a batch has; None where the inputs are tokens.
    learned: whether the network has learned: then the outputs of a class share directions on purpose.
    """

    unit: str = "layer"
    theory: float | None = None
    rank: float | None = None
    learned: bool = False
    sizes: Sizes = field(default_factory=Sizes)


def signal_verdict(
    layers: pd.DataFrame | Rows, context: SignalContext, nonfinite: tuple[dict[str, Any], ...] = ()
) -> SignalVerdict:
    """The verdict on rows of one source, each seed at one step; `nonfinite` are the seeds that diverged before.

    *vanishing* if the 95 % interval of the decades lies below log10(1/20), *exploding* if it lies above
    log10(20), else *flowing* (decades without an interval are taken as they are). A seed is *cut* where an
    exact zero ends its backward signal, *underflow* where its forward signal is too small for the number format,
    *overflow* or *undefined* at NaN or inf; these are counted, and *exploding* is added if the signal of most of them
    surely grows by a factor of 20 before. With more such seeds than intact ones the verdict is theirs.
    *Rank collapse* is added to a flowing signal of a network that has not learned if the effective rank of the centred
    outputs of the last hidden layer is below 2 and at most a fifth of the inputs' (of tokens, of the input block's).
    """
    rows = defined_backward(rows_of(layers))
    defects = first_defects(rows, context.sizes, nonfinite)
    broken = {defect.seed for defect in defects}
    lost = {defect.seed for defect in defects if defect.kind in NOT_FINITE}
    intact = rows.take(~np.isin(rows["seed"], list(lost)))
    gain = backward_gain(intact)
    last, seeds = int(rows["layer"].max()) - 1, len(np.unique(rows["seed"]))
    kind = _kind(gain)
    cosine, rank = (_mean_at(intact, column, last) for column in ("cosine", "effective_rank"))
    rank_before = _mean_at(intact, "effective_rank", 0) if context.rank is None else context.rank
    collapsed = kind == "flowing" and not context.learned and _is_collapse(rank, rank_before)
    found = {defect.kind for defect in defects} | ({kind} if kind else set())
    found |= {"exploding"} if _explodes(defects) else set()
    words = [word for word in SIGNAL if word in found] + ["rank collapse"] * collapsed
    verdict = kind if kind and 2 * len(broken) <= seeds else words[0]
    result = SignalVerdict(
        step=int(rows["step"].max()),
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
        effective_rank=rank,
        effective_rank_before=rank_before,
        defects=list(defects),
    )
    names = dict(zip(rows["layer"].tolist(), map(str, rows["name"]), strict=True))
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


def _mean_at(layers: Rows, column: str, layer: int) -> float | None:
    """The mean over seeds of a column at one layer; None where it was not measured."""
    values = layers[column][layers["layer"] == layer]
    values = values[np.isfinite(values)]
    return float(values.mean()) if values.size else None


def _is_collapse(rank: float | None, rank_before: float | None) -> bool:
    """Whether depth has taken most of the directions in which examples differ; False where that was not measured."""
    if rank is None or rank_before is None:
        return False
    return rank < ONE_DIRECTION and COLLAPSED * rank <= rank_before
