"""Stored histograms of magnitudes as arrays, and what can be said of the entries from their counts."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradlab.analysis.selection import minibatch_rows, to_float64
from gradlab.measurements.magnitudes import BINS, FIRST, HIGHEST, INFINITE, LOWEST, MEASURES, NAN, SMALL, ZERO
from gradlab.store.read import Run

Floats = NDArray[np.float64]
# the bounds of the magnitudes in each bin of finite numbers; float64 may have more than 2^128 in the last
LOW: Floats = np.concatenate([[0.0, 0.0], 2.0 ** np.arange(LOWEST, HIGHEST + 1)])
HIGH: Floats = np.concatenate([[0.0], 2.0 ** np.arange(LOWEST, HIGHEST + 1), [np.inf]])


class Histograms(NamedTuple):
    """The histograms of one quantity, one for each measured seed, step and layer: arrays (histograms,)."""

    seed: NDArray[np.int64]
    step: NDArray[np.int64]
    layer: NDArray[np.int64]
    counts: Floats  # (histograms, 258)

    def where(self, kept: NDArray[np.bool_]) -> "Histograms":
        """Those that are `kept`, (histograms,)."""
        return Histograms(self.seed[kept], self.step[kept], self.layer[kept], self.counts[kept])

    @property
    def finite(self) -> Floats:
        """The counts of finite numbers, zeros included, (histograms, 256)."""
        return self.counts[:, :INFINITE]

    @property
    def nonzero(self) -> Floats:
        """How many entries are finite and not zero, (histograms,)."""
        return np.asarray(self.counts[:, SMALL:INFINITE].sum(axis=1))

    @property
    def is_finite(self) -> NDArray[np.bool_]:
        """Whether no entry is infinite or NaN, (histograms,)."""
        return np.asarray(self.counts[:, INFINITE : NAN + 1].sum(axis=1) == 0)


def histograms(run: Run, quantity: str) -> Histograms:
    """Those of a `quantity` of `magnitudes.MEASURES` on the minibatches of a run, in order; none if not measured."""
    rows = minibatch_rows(run.vectors)
    rows = rows[(rows.measure == MEASURES[quantity]).to_numpy(dtype=bool)]
    keys = np.stack([rows[name].to_numpy(dtype=np.int64) for name in ("seed", "step", "layer")], axis=1)
    unique, row = np.unique(keys, axis=0, return_inverse=True)
    counts = np.zeros((len(unique), BINS))
    counts[row.reshape(-1), rows["index"].to_numpy(dtype=np.int64)] = to_float64(rows.value)
    return Histograms(unique[:, 0], unique[:, 1], unique[:, 2], counts)


def percentile(finite: Floats, percent: float) -> tuple[Floats, Floats]:
    """Bounds low <= p < high, (histograms,) each, of the percentile p of |x|; both 0 where p is exactly 0.

    finite: the counts of finite numbers, (histograms, 256). p is the smallest entry that at least `percent` % of the
    entries do not exceed; its bounds are the octave that it lies in, so that they differ by a factor of 2 (but for what
    is below 2^−126). NaN where there are no entries.
    """
    totals = finite.sum(axis=1)
    rank = np.maximum(np.ceil(percent / 100 * totals), 1)
    index = np.argmax(np.cumsum(finite, axis=1) >= rank[:, None], axis=1)
    return _defined(LOW[index], totals), _defined(HIGH[index], totals)


def largest(finite: Floats) -> tuple[Floats, Floats]:
    """Bounds low <= max |x| < high, as those of `percentile`."""
    return percentile(finite, 100.0)


def kurtosis(finite: Floats) -> tuple[Floats, Floats]:
    """Bounds of n Σ x⁴/(Σ x²)², the kurtosis about zero, (histograms,) each: 3 for normal numbers of mean 0, never < 1.

    Counts tell each x² within a factor of 4 and each x⁴ within one of 16, so that the bounds may differ by a factor of
    256: enough to tell heavy tails (10⁴) from normal ones, and no more. NaN where all entries are zero or there are
    none; the upper bound is infinite where the last bin, 2^127 and more, has entries.
    """
    totals = finite.sum(axis=1)
    squares = [finite[:, :-1] @ edges[:-1] ** 2 for edges in (LOW, HIGH)]
    fourths = [finite[:, :-1] @ edges[:-1] ** 4 for edges in (LOW, HIGH)]
    with np.errstate(divide="ignore", invalid="ignore"):
        low, high = totals * fourths[0] / squares[1] ** 2, totals * fourths[1] / squares[0] ** 2
    beyond = finite[:, -1] > 0
    low, high = np.where(beyond, 1.0, np.maximum(low, 1.0)), np.where(beyond, np.inf, high)
    nonzero = totals - finite[:, ZERO]
    return _defined(low, nonzero), _defined(high, nonzero)


def zero_share(of: Histograms) -> Floats:
    """The fraction of the entries that are exactly zero, (histograms,)."""
    return np.asarray(of.counts[:, ZERO] / of.counts.sum(axis=1))


def _defined(values: Floats, counts: Floats) -> Floats:
    return np.where(counts > 0, values, np.nan)


def exponent_index(exponent: int) -> int:
    """The bin of 2^exponent; where that is beyond float32's range, the bin of what is below or above it."""
    return int(np.clip(exponent - LOWEST + FIRST, SMALL, INFINITE))
