"""How the backward signal changes from layer to layer: gain, decades, their intervals, and where they end.

d_l = log10_backward(l−1) − log10_backward(l) is what block l does to the signal on its way back. The profile
is a random walk of such differences, so the interval is a t-interval on the d_l (an ordinary fit of a line covers
17 % instead of 95 %).
"""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtrit

from gradlab.analysis.arrays import Rows
from gradlab.analysis.selection import pivot, rows_of
from gradlab.measurements.fault import Fault, first_fault
from gradlab.measurements.log10 import is_not_finite

VERDICT_DECADES = float(np.log10(20))  # 20 = e^3: a change beyond three e-folds is known to harm training
EDGE = 3  # differences left out at each end: the first and last blocks have other shapes
MIN_DIFFERENCES = 3  # that an interval needs
MIN_SEEDS = 3  # from which on the interval is over seeds
UNDERFLOW = -20.0  # a forward signal below 1e-20 that becomes zero has underflowed; from above it, units died


@dataclass(frozen=True)
class Defect:
    """Why one seed's signal has no gain over all layers: `kind` is overflow, undefined, underflow or cut.

    layer: the one that breaks the signal in its forward or backward pass (`where`); L + 1 where the loss does (`loss`).
    cause: `dead units`, `zero weights`, `weights` (which are not finite themselves), `large inputs`, or `sizes unknown`
        (the forward signal was not measured), "" if unknown.
    growth: of an overflow or an undefined number, the decades by which the signal grows over the hidden layers that it
        passes before, forward or backward; None over fewer than two.
    surely_grows: whether the 95 % interval of the growth lies above log10(20).
    """

    seed: int
    kind: str
    layer: int
    where: str
    cause: str = ""
    step: int = 0
    growth: float | None = None
    surely_grows: bool = False


@dataclass(frozen=True)
class Sizes:
    """What tells an overflow from an undefined number: log10 of the inputs' RMS, and of what is no ordinary number."""

    inputs: float = 0.0
    large: float = (
        12.0  # beyond it a square or a product of two may leave float32, with some decades to spare
    )
    known: bool = True  # False where no forward signal was measured


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
    note: str = ""  # why there is no interval


def backward_gain(layers: pd.DataFrame | Rows) -> Gain:
    """Gain and decades of the rows of one step and one source, with 95 % intervals.

    gain = 10^mean(d_l) over l = 2…L, three at each end left out, with a t-interval on the d_l; with three
    seeds or more a t-interval over the seeds' means. Only those d_l count whose two blocks are of the same kind
    (`stage 3` and `stage 4`, `layers.3` and `layers.4`); decades D = Σ d_l over all l, with D ± t·s·√(L−1) for one
    seed (s: the deviation of the n inner d_l, n − 1 degrees of freedom), or a t-interval over seeds. An exact zero
    ends the average: where
    no seed is without one, the gain is the mean over seeds of that of the layers above the zero. A seed with a NaN does
    not count. Units: factors per layer; powers of ten.
    """
    rows = rows_of(layers, ("log10_backward", "name"))
    _, depths, backward = pivot(rows.having("log10_backward"), "log10_backward")
    last = int(rows["layer"].max()) - 1 if len(rows) else 0
    hidden = backward[:, (depths >= 1) & (depths <= last)]
    finite = hidden[np.isfinite(hidden).all(axis=1)]
    if last < 2 or not len(finite):
        gains = _gains_above_zero(hidden)
        mean_gain = _power(float(np.mean(gains))) if gains else None
        return Gain(last, len(gains) or len(finite), gain=mean_gain, note=_no_decades(last))
    differences = finite[:, :-1] - finite[:, 1:]
    comparable = differences[:, _same_kind(rows, last)]
    if not comparable.shape[1]:
        return Gain(
            layers=last,
            seeds=len(finite),
            decades=float(differences.sum(axis=1).mean()),
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


def _same_kind(layers: Rows, last: int) -> np.ndarray:
    """Which of the differences of l = 2…L are between two blocks of one stack, by their names; shape (L − 1,)."""
    _, first = np.unique(layers["layer"], return_index=True)
    stacks = [_stack(str(name)) for name in layers["name"][first][1 : last + 1]]
    return np.array([lower == upper for lower, upper in pairwise(stacks)], bool)


def _stack(name: str) -> str:
    """The name without the layer's number in its stack: `hidden 3`, `layers.3`, `model.layers.3.mlp`, `dense_3`."""
    return re.sub(r"(^|\.)\d+(?=\.|$)|[ _]\d+$", r"\1", name)


def inner_gain(log10_backward: np.ndarray) -> float | None:
    """The gain of one curve (of theory, say), of shape (L + 2,), over the layers that `backward_gain` averages.

    None where no difference between hidden layers is finite.
    """
    hidden = np.asarray(log10_backward, float)[None, 1:-1]
    differences = hidden[:, :-1] - hidden[:, 1:]
    mean = float(_inner(differences).mean()) if differences.size else math.nan
    return _power(mean) if math.isfinite(mean) else None


def first_defects(
    layers: pd.DataFrame | Rows, sizes: Sizes | None = None, nonfinite: Iterable[dict[str, Any]] = ()
) -> tuple[Defect, ...]:
    """For each seed whose signal breaks: where that begins, and why; of rows with one step for each seed.

    `nonfinite` are the seeds whose loss or weight gradient is known to be not finite, as status.json has them: it
    counts where the two signals are whole.
    """
    rows = rows_of(layers).having("log10_backward")
    if not len(rows):
        return ()
    sizes = sizes or Sizes()
    seeds, _, backward = pivot(rows, "log10_backward")
    # a forward signal that was not measured has no defect
    log10_forward = np.where(rows.measured["log10_forward"], rows["log10_forward"], 0.0)
    forward = pivot(rows.assign(log10_forward=log10_forward), "log10_forward")[2]
    if not rows.measured["log10_forward"].any():
        sizes = replace(sizes, known=False)
    noted = {int(entry["seed"]): entry for entry in nonfinite}
    defects = []
    for i, seed in enumerate(map(int, seeds)):
        seed_rows = rows.take(rows["seed"] == seed)
        fault = first_fault(forward[i], backward[i])
        if (fault is None or fault.log10 == -np.inf) and seed in noted:
            fault = _noted_fault(noted[seed], len(backward[i]))
        if fault and (defect := _defect(fault, forward[i], backward[i], seed_rows, sizes)):
            defects.append(defect)
    return tuple(defects)


def _noted_fault(entry: dict[str, Any], layers: int) -> Fault:
    """Where a seed became non-finite, as status.json says it."""
    if entry["layer"] is None:
        return Fault(layers - 1, "loss", np.nan)
    return Fault(min(int(entry["layer"]), layers - 1), entry["where"], np.nan)


def _defect(
    fault: Fault, forward: np.ndarray, backward: np.ndarray, seed_rows: Rows, sizes: Sizes
) -> Defect | None:
    """What breaks one seed's signal: the profiles are (layers,), `seed_rows` the seed's rows."""
    layer, where, log10 = fault
    seed, step = int(seed_rows["seed"][0]), int(seed_rows["step"].max())
    if log10 != -np.inf:
        return _not_finite(
            Defect(seed, "overflow", layer, where, step=step), forward, backward, seed_rows, sizes
        )
    if where == "forward" and layer and forward[layer - 1] < UNDERFLOW:
        return Defect(seed, "underflow", layer, where, step=step)
    if np.isfinite(backward).all():
        return None  # the zeros of a layer that is passed by, as in a residual block
    return Defect(seed, "cut", layer, where, _cause(seed_rows.take(seed_rows["layer"] == layer)), step)


def _not_finite(
    defect: Defect, forward: np.ndarray, backward: np.ndarray, seed_rows: Rows, sizes: Sizes
) -> Defect:
    """The defect of a number that is not finite: overflow or undefined, its cause, and the growth before it."""
    layer, in_backward = defect.layer, defect.where == "backward"
    weights = _log10_weights(seed_rows)[: len(forward) if in_backward else layer + 1]
    signals = np.r_[forward, backward[layer:]] if in_backward else forward[: max(layer, 0)]
    given = np.r_[signals, weights, sizes.inputs]  # what the broken numbers were made of
    cause = "large inputs" if sizes.inputs >= sizes.large else ""
    if is_not_finite(weights).any():
        cause = "weights"
    kind = "overflow" if np.nanmax(given) >= sizes.large else "undefined"
    if kind == "undefined" and not sizes.known and not cause:
        cause = "sizes unknown"
    # from where the signal comes to where it still is finite
    travelled = backward[max(layer, 1) : -1] if in_backward else forward[1:layer][::-1]
    decades, low, _ = profile_decades(travelled)
    return replace(defect, kind=kind, cause=cause, growth=decades, surely_grows=low > VERDICT_DECADES)


def _log10_weights(seed_rows: Rows) -> NDArray[np.float64]:
    """log10 of each layer's kernels, of the rows of one seed and step; −inf where there are none, (layers,)."""
    rows = seed_rows.sorted_by("layer")
    if "log10_weight" not in rows:
        return np.full(len(rows), -np.inf)
    return np.where(rows.measured["log10_weight"], rows["log10_weight"], -np.inf)


def profile_decades(log10: np.ndarray) -> tuple[float | None, float, float]:
    """Decades D = log10[0] − log10[−1] of one profile over hidden layers, (layers,), and their 95 % interval.

    The interval is that of `backward_gain` for one seed; over too few layers its ends are D itself. A profile of fewer
    than two layers has no decades.
    """
    # a signal that has overflowed, or is zero: inf − inf
    with np.errstate(invalid="ignore"):
        differences = (log10[:-1] - log10[1:])[None]
        if not differences.size:
            return None, math.nan, math.nan
        inner = _inner(differences)
        half = 0.0 if inner.shape == differences.shape else t_interval(inner.ravel())[1]
        decades, half = _decades(differences, inner, half)
    return decades, decades - half, decades + half


def _cause(row: Rows) -> str:
    """Why a layer makes an exact zero, from its own row; "" where its measures do not tell."""
    measured = {name: row[name] for name in ("dead", "log10_weight") if name in row}
    if (measured.get("log10_weight", np.array([])) == -np.inf).any():
        return "zero weights"
    return "dead units" if (measured.get("dead", np.array([])) == 1).any() else ""


def _gains_above_zero(hidden: np.ndarray) -> list[float]:
    """Each seed's mean d_l over the layers that its signal still reaches, of those that have two; no NaN among them."""
    means = []
    for profile in hidden[~np.isnan(hidden).any(axis=1)]:
        ends = np.flatnonzero(profile == -np.inf)
        reached = profile[ends[-1] + 1 :] if ends.size else profile
        if reached.size > 1:
            means.append(float((reached[:-1] - reached[1:]).mean()))
    return means


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
