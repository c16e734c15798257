"""How the backward signal changes from layer to layer: gain, decades, their intervals, and where they end.

d_l = log10_backward(l−1) − log10_backward(l) is what block l does to the signal on its way back. The profile
is a random walk of such differences, so the interval is a t-interval on the d_l (an ordinary fit of a line covers
17 % instead of 95 %).
"""

import math
import re
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from gradlab.analysis.selection import is_measured, pivot, rows_with, to_float64
from gradlab.measure.fault import first_fault

VERDICT_DECADES = float(np.log10(20))  # 20 = e^3: a change beyond three e-folds is known to harm training
EDGE = 3  # differences left out at each end: the first and last blocks have other shapes
MIN_DIFFERENCES = 3  # that an interval needs
MIN_SEEDS = 3  # from which on the interval is over seeds
UNDERFLOW = -20.0  # a forward signal below 1e-20 that becomes zero has underflowed; from above it, units died


@dataclass(frozen=True)
class Defect:
    """Why one seed's signal has no gain over all layers: `kind` is cut, underflow or non-finite.

    layer: the one that breaks the signal in its forward or backward pass (`where`); L + 1 where the loss does (`loss`).
    cause: `dead units` or `zero weights` where that layer's own measures say so, else "".
    """

    seed: int
    kind: str
    layer: int
    where: str
    cause: str = ""


@dataclass(frozen=True)
class Gain:
    """The backward signal's change over the hidden layers 1…L, at one step."""

    layers: int  # L
    seeds: int  # that the averages are over
    gain: float | None = None  # factor per layer on the way back, 10^mean(d)
    interval: tuple[float, float] | None = None  # 95 %
    decades: float | None = None  # log10_backward(1) − log10_backward(L)
    decades_interval: tuple[float, float] | None = None
    shape: str = ""  # where most of the change is, "" where it is even or unknown
    defects: tuple[Defect, ...] = ()
    note: str = ""  # why there is no interval


def backward_gain(layers: pd.DataFrame) -> Gain:
    """Gain and decades of the rows of one step and one source, with 95 % intervals.

    gain = 10^mean(d_l) over l = 2…L, three at each end left out, with a t-interval on the d_l; with three
    seeds or more a t-interval over the seeds' means. Only those d_l count whose two blocks are of the same kind
    (`stage 3` and `stage 4`); decades D = Σ d_l over all l, with D ± t·s·√(L−1) for one seed (s: the deviation
    of the n inner d_l, n − 1 degrees of freedom), or a t-interval over seeds. An exact zero ends the average: then
    the gain is that of the layers above it. Units: factors per layer; powers of ten.
    """
    _, depths, backward = pivot(rows_with(layers, "log10_backward"), "log10_backward")
    defects = first_defects(layers)
    last = int(layers.layer.max()) - 1 if len(layers) else 0
    hidden = backward[:, (depths >= 1) & (depths <= last)]
    finite = hidden[np.isfinite(hidden).all(axis=1)]
    if last < 2 or not len(finite):
        return Gain(last, len(finite), gain=_gain_above_zero(hidden), defects=defects, note=_no_decades(last))
    differences = finite[:, :-1] - finite[:, 1:]
    comparable = differences[:, _same_kind(layers, last)]
    if not comparable.shape[1]:
        return Gain(
            layers=last,
            seeds=len(finite),
            decades=float(differences.sum(axis=1).mean()),
            defects=defects,
            note="no two neighbouring layers are of the same kind, so there is no gain per layer",
        )
    inner = _inner(comparable)
    mean, half = _mean_with_interval(inner)
    decades, decades_half = _decades(differences, inner, half)
    too_few = len(finite) < MIN_SEEDS and inner.shape == comparable.shape
    return Gain(
        layers=last,
        seeds=len(finite),
        gain=_power(mean),
        interval=None if too_few else (_power(mean - half), _power(mean + half)),
        decades=decades,
        decades_interval=None if too_few else (decades - decades_half, decades + decades_half),
        shape=_shape(inner),
        defects=defects,
        note="too few layers for an interval" if too_few else "",
    )


def _no_decades(last: int) -> str:
    if last < 1:
        return "no hidden layer"
    return "one hidden layer" if last == 1 else "no seed's signal reaches every layer"


def _decades(differences: np.ndarray, inner: np.ndarray, half: float) -> tuple[float, float]:
    """Decades and their interval's half-width, from all d_l (seeds, L − 1) and the inner ones, of half-width `half`."""
    if len(differences) >= MIN_SEEDS:
        return _mean_with_interval(differences.sum(axis=1, keepdims=True))
    # of fewer seeds, the spread of the random walk itself stands for what other seeds would give
    half_width = half * np.sqrt(inner.size * differences.shape[1] / len(differences))
    return float(differences.sum(axis=1).mean()), float(half_width)


def _same_kind(layers: pd.DataFrame, last: int) -> np.ndarray:
    """Which of the differences of l = 2…L are between two blocks of one stack, by their names; shape (L − 1,)."""
    names = layers.drop_duplicates("layer").sort_values("layer").name.astype(str).tolist()[1 : last + 1]
    stacks = [re.sub(r" \d+$", "", name) for name in names]
    return np.array([lower == upper for lower, upper in pairwise(stacks)], bool)


def inner_gain(log10_backward: np.ndarray) -> float | None:
    """The gain of one curve (of theory, say), of shape (L + 2,), over the layers that `backward_gain` averages.

    None where no difference between hidden layers is finite.
    """
    hidden = np.asarray(log10_backward, float)[None, 1:-1]
    differences = hidden[:, :-1] - hidden[:, 1:]
    mean = float(_inner(differences).mean()) if differences.size else math.nan
    return _power(mean) if math.isfinite(mean) else None


def first_defects(layers: pd.DataFrame) -> tuple[Defect, ...]:
    """For each seed whose signal is cut, underflows or is not finite: where that begins."""
    rows = rows_with(layers, "log10_backward")
    seeds, _, backward = pivot(rows, "log10_backward")
    # a forward signal that was not measured has no defect
    log10_forward = np.where(is_measured(rows.log10_forward), to_float64(rows.log10_forward), 0.0)
    forward = pivot(rows.assign(log10_forward=log10_forward), "log10_forward")[2]
    defects = (_defect(int(seed), forward[i], backward[i], rows) for i, seed in enumerate(seeds))
    return tuple(defect for defect in defects if defect)


def _defect(seed: int, forward: np.ndarray, backward: np.ndarray, rows: pd.DataFrame) -> Defect | None:
    """What breaks one seed's signal; the profiles are (layers,)."""
    fault = first_fault(forward, backward)
    if fault is None:
        return None
    layer, where, log10 = fault
    if log10 != -np.inf:
        return Defect(seed, "non-finite", layer, where)
    if where == "forward" and layer and forward[layer - 1] < UNDERFLOW:
        return Defect(seed, "underflow", layer, where)
    if np.isfinite(backward).all():
        return None  # the zeros of a layer that is passed by, as in a residual block
    return Defect(
        seed, "cut", layer, where, _cause(rows[((rows.seed == seed) & (rows.layer == layer)).to_numpy()])
    )


def _cause(row: pd.DataFrame) -> str:
    """Why a layer makes an exact zero, from its own row; "" where its measures do not tell."""
    measured = {name: to_float64(row[name]) for name in ("dead", "log10_weight") if name in row}
    if (measured.get("log10_weight", np.array([])) == -np.inf).any():
        return "zero weights"
    return "dead units" if (measured.get("dead", np.array([])) == 1).any() else ""


def _gain_above_zero(hidden: np.ndarray) -> float | None:
    """An exact zero ends the average: the gain of the layers that the signal still reaches in every seed."""
    ends = np.flatnonzero(~np.isfinite(hidden).all(axis=0))
    reached = hidden[:, ends[-1] + 1 :] if ends.size else hidden[:, :0]
    return _power(float((reached[:, :-1] - reached[:, 1:]).mean())) if reached.shape[1] > 1 else None


def t_interval(sample: np.ndarray) -> tuple[float, float]:
    """Mean and half-width of the 95 % t-interval of independent values (n,); of fewer than two, half-width 0."""
    if sample.size < 2:
        return float(sample.mean()), 0.0
    half = stdtrit(sample.size - 1, 0.975) * sample.std(ddof=1) / np.sqrt(sample.size)
    return float(sample.mean()), float(half)


def _mean_with_interval(table: np.ndarray) -> tuple[float, float]:
    """Over seeds where there are enough of them, else over all differences of all seeds."""
    return t_interval(table.mean(axis=1) if len(table) >= MIN_SEEDS else table.ravel())


def _inner(differences: np.ndarray) -> np.ndarray:
    """The differences without three at each end, or all where too few would remain."""
    enough = differences.shape[1] >= 2 * EDGE + MIN_DIFFERENCES
    return differences[:, EDGE:-EDGE] if enough else differences


def _shape(inner: np.ndarray) -> str:
    """Whether the change is surely larger in the third near the input or in the third near the output."""
    third = inner.shape[1] // 3
    if third < MIN_DIFFERENCES:
        return ""
    first, last = inner[:, :third].ravel(), inner[:, -third:].ravel()
    (near, near_half), (far, far_half) = t_interval(first), t_interval(last)
    if abs(near - far) <= np.hypot(near_half, far_half):
        return ""
    return "most of it near the input" if abs(near) > abs(far) else "most of it near the output"


def _power(exponent: float) -> float:
    return float(10.0 ** np.clip(exponent, -300, 300))
