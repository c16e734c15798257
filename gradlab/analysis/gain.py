"""How the backward signal changes from layer to layer: gain, decades, their intervals, and where they end.

d_l = log10_backward(l−1) − log10_backward(l) is what block l does to the signal on its way back. The profile
is a random walk of such steps, so the interval is a t-interval on the d_l (an ordinary fit of a line covers
17 % instead of 95 %).
"""

import math
import re
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from gradlab.analysis.selection import grid, known, measured, values

EDGE = 3  # differences left out at each end: the first and last blocks meet other shapes
FEWEST = 3  # differences that an interval needs
SEEDS = 3  # seeds from which on the interval is over seeds
LOW = -20.0  # a forward signal below 1e-20 that turns zero has underflowed; from above it, units died


@dataclass(frozen=True)
class Defect:
    """Why one seed's signal has no gain over all layers: `kind` is cut, underflow or non-finite."""

    seed: int
    kind: str
    layer: int
    where: str  # forward or backward


@dataclass(frozen=True)
class Gain:
    """The backward signal's change over the hidden layers 1…L, at one step."""

    layers: int  # L
    seeds: int  # that the averages are over
    gain: float | None = None  # factor a layer going back, 10^mean(d)
    interval: tuple[float, float] | None = None  # 95 %
    decades: float | None = None  # log10_backward(1) − log10_backward(L)
    decades_interval: tuple[float, float] | None = None
    shape: str = ""  # where most of the change is, "" where it is even or unknown
    defects: tuple[Defect, ...] = ()
    note: str = ""  # why there is no interval


def backward_gain(layers: pd.DataFrame) -> Gain:
    """Gain and decades of the rows of one step and one source, with 95 % intervals.

    gain = 10^mean(d_l) over l = 2…L, three at each end left out, with a t-interval on the d_l; with three
    seeds or more a t-interval over the seeds' means. Of the d_l only those count whose two blocks are alike
    (`stage 3` and `stage 4`); decades D = Σ d_l over all l, with D ± t·s·√(L−1) for one seed (s: the deviation
    of the n inner d_l, n − 1 degrees), or a t-interval over seeds. An exact zero ends the average: then the gain
    is that of the layers above it. Units: factors a layer; powers of ten.
    """
    _, depths, backward = grid(known(layers, "log10_backward"), "log10_backward")
    defects = first_defects(layers)
    last = int(layers.layer.max()) - 1 if len(layers) else 0
    hidden = backward[:, (depths >= 1) & (depths <= last)]
    whole = hidden[np.isfinite(hidden).all(axis=1)]
    if last < 2 or not len(whole):
        note = "one hidden layer" if last == 1 else "no seed's signal reaches every layer"
        note = "a network without hidden layers" if last < 1 else note
        return Gain(last, len(whole), gain=_above_cut(hidden), defects=defects, note=note)
    steps = whole[:, :-1] - whole[:, 1:]
    alike = steps[:, _alike(layers, last)]
    if not alike.shape[1]:
        decades = float(steps.sum(axis=1).mean())
        return Gain(last, len(whole), decades=decades, defects=defects, note="no two layers are alike")
    inner = _inner(alike)
    mean, half = _mean(inner)
    decades, width = _mean(steps.sum(axis=1, keepdims=True))
    if len(whole) < SEEDS:  # the walk's own spread stands for what other seeds would give
        decades = float(steps.sum(axis=1).mean())
        width = half * np.sqrt(inner.size * steps.shape[1] / len(whole))
    alone = len(whole) < SEEDS and inner.shape == alike.shape
    return Gain(
        layers=last,
        seeds=len(whole),
        gain=_power(mean),
        interval=None if alone else (_power(mean - half), _power(mean + half)),
        decades=decades,
        decades_interval=None if alone else (decades - width, decades + width),
        shape=_shape(inner),
        defects=defects,
        note="too few layers for an interval" if alone else "",
    )


def _alike(layers: pd.DataFrame, last: int) -> np.ndarray:
    """Which of the differences of l = 2…L are between two blocks of one stack, by their names."""
    names = layers.drop_duplicates("layer").sort_values("layer").name.astype(str).tolist()[1 : last + 1]
    stacks = [re.sub(r" \d+$", "", name) for name in names]
    return np.array([one == two for one, two in pairwise(stacks)], bool)


def inner_gain(log10_backward: np.ndarray) -> float | None:
    """The gain of one curve (of theory, say) over the layers that `backward_gain` averages; None if there is none."""
    hidden = np.asarray(log10_backward, float)[None, 1:-1]
    steps = hidden[:, :-1] - hidden[:, 1:]
    mean = float(_inner(steps).mean()) if steps.size else math.nan
    return _power(mean) if math.isfinite(mean) else None


def first_defects(layers: pd.DataFrame) -> tuple[Defect, ...]:
    """For each seed whose signal is cut, underflows or is not finite: where that begins."""
    rows = known(layers, "log10_backward")
    seeds, depths, backward = grid(rows, "log10_backward")
    there = rows.assign(log10_forward=np.where(measured(rows.log10_forward), values(rows.log10_forward), 0.0))
    forward = grid(there, "log10_forward")[2]
    found = (_defect(int(seed), depths, forward[i], backward[i]) for i, seed in enumerate(seeds))
    return tuple(defect for defect in found if defect)


def _defect(seed: int, depths: np.ndarray, forward: np.ndarray, backward: np.ndarray) -> Defect | None:
    """Forward trouble begins at the first bad layer, backward trouble at the last."""
    if (bad := np.flatnonzero(~np.isfinite(forward) & (forward != -np.inf))).size:
        return Defect(seed, "non-finite", int(depths[bad[0]]), "forward")
    if (bad := np.flatnonzero(~np.isfinite(backward) & (backward != -np.inf))).size:
        return Defect(seed, "non-finite", int(depths[bad[-1]]), "backward")
    if (bad := np.flatnonzero(forward == -np.inf)).size and bad[0] and forward[bad[0] - 1] < LOW:
        return Defect(seed, "underflow", int(depths[bad[0]]), "forward")
    if (bad := np.flatnonzero(backward == -np.inf)).size:
        dead = np.flatnonzero(forward[:-1] == -np.inf)  # an output of zeros, as fixup's, is no dead unit
        return Defect(seed, "cut", int(depths[bad[-1]]), "forward" if dead.size else "backward")
    return None


def _above_cut(hidden: np.ndarray) -> float | None:
    """An exact zero ends the average: the gain of the layers that a signal still reaches in every seed."""
    ends = np.flatnonzero(~np.isfinite(hidden).all(axis=0))
    reached = hidden[:, ends[-1] + 1 :] if ends.size else hidden[:, :0]
    return _power(float((reached[:, :-1] - reached[:, 1:]).mean())) if reached.shape[1] > 1 else None


def t_interval(sample: np.ndarray) -> tuple[float, float]:
    """Mean and half-width of the 95 % t-interval of independent values; of fewer than two, half-width 0."""
    if sample.size < 2:
        return float(sample.mean()), 0.0
    half = stdtrit(sample.size - 1, 0.975) * sample.std(ddof=1) / np.sqrt(sample.size)
    return float(sample.mean()), float(half)


def _mean(table: np.ndarray) -> tuple[float, float]:
    """Over seeds where there are enough of them, else over all differences of all seeds."""
    return t_interval(table.mean(axis=1) if len(table) >= SEEDS else table.ravel())


def _inner(steps: np.ndarray) -> np.ndarray:
    """The differences without three at each end, or all where too few would remain."""
    return steps[:, EDGE:-EDGE] if steps.shape[1] >= 2 * EDGE + FEWEST else steps


def _shape(inner: np.ndarray) -> str:
    """Whether the change is surely larger in the third near the input or in the third near the output."""
    third = inner.shape[1] // 3
    if third < FEWEST:
        return ""
    first, last = inner[:, :third].ravel(), inner[:, -third:].ravel()
    (near, error), (far, other) = t_interval(first), t_interval(last)
    if abs(near - far) <= np.hypot(error, other):
        return ""
    return "most of it near the input" if abs(near) > abs(far) else "most of it near the output"


def _power(exponent: float) -> float:
    return float(10.0 ** np.clip(exponent, -300, 300))
