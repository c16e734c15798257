"""The range test: which learning rates make the loss fall, from one run in which the rate rises (Smith 2017)."""

from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gradlab.analysis import advice_sentences as sentences
from gradlab.analysis.results import RangeCurve, RangeTest
from gradlab.analysis.selection import minibatch_rows, rows_with, to_float64
from gradlab.recipe.errors import RecipeError

SMOOTHING = 1 / 40  # of the steps: one standard deviation of the smoothing
MIN_FALL = 0.05  # of the first loss: less is no fall
BEGUN, LOST = (
    0.1,
    0.5,
)  # fractions of the fall: reached where the fall begins, and taken back where it is lost
# The recommended rates end at a third of the rate at which the fall is lost, since training is longer than the test.
# After a blow-up it is a tenth: one step per rate shows a blow-up only when the rate has risen further.
SAFE, SAFE_AFTER_BLOW_UP = 3.0, 10.0
ROWS = 20  # the fewest steps that make a curve


def range_test(steps: pd.DataFrame) -> RangeTest:
    """What the rates of a run with `schedule=range` did to the loss; None is what did not happen.

    The loss of row t + 1 is that after the update with row t's rate, so these two are a pair. For each seed, the
    losses are smoothed by a Gaussian over the logarithm of the rate (values above the first level by more than the
    fall are set to that much). Of the smoothed curve: `begins`, where a tenth of the fall is reached; `steepest`, where
    it falls fastest; `least`, where it is lowest; `lost`, where half of the fall is taken back or the loss is not
    finite. Over seeds: medians, but the smallest `lost`. Recommended is `begins` to a third of `lost` (a tenth where
    the loss became non-finite), or to `least` if that comes first.

    Raises:
        RecipeError: the steps are no range test: too few of them, not one row per step, a rate that does not rise,
            or no finite loss at the start.
    """
    seeds = [_seed_curve(rows) for _, rows in minibatch_rows(steps).groupby("seed")]
    fallen = [seed for seed in seeds if seed.fell]
    begins, steepest, least = (
        _median([getattr(seed, rate) for seed in fallen]) if fallen else None
        for rate in ("begins", "steepest", "least")
    )
    lost = min((seed.lost for seed in seeds if seed.lost is not None), default=None)
    diverged = sum(seed.diverged for seed in seeds)
    recommended = None
    if begins is not None and least is not None:
        recommended = _recommended(begins, least, lost, diverged > 0)
    result = RangeTest(
        seeds=seeds,
        low=min(seed.rates[0] for seed in seeds),
        high=max(seed.rates[-1] for seed in seeds),
        fell=len(fallen),
        diverged=diverged,
        first=_median([seed.first for seed in fallen or seeds]),
        best=_median([seed.best for seed in fallen or seeds]),
        begins=begins,
        steepest=steepest,
        least=least,
        lost=lost,
        recommended=recommended,
        sentences=[],
    )
    return replace(result, sentences=sentences.of_range_test(result, MIN_FALL))


def _seed_curve(rows: pd.DataFrame) -> RangeCurve:
    """One seed's smoothed curve and where it begins, falls fastest, is lowest and is lost."""
    rates, losses = pairs(rows)
    smooth = smoothed(losses)
    first, lowest = _first_level(losses), int(np.argmin(smooth))
    fall = first - smooth[lowest]
    least_change = max(MIN_FALL * abs(first), 3 * _noise(losses))
    fell = bool(fall > least_change)
    nonfinite = np.flatnonzero(~np.isfinite(losses))
    curve = RangeCurve(
        seed=int(rows.seed.iloc[0]),
        rates=rates.tolist(),
        smoothed=smooth.tolist(),
        first=float(first),
        best=float(smooth[lowest]),
        fell=fell,
        diverged=bool(nonfinite.size),
        lost=float(rates[nonfinite[0]]) if nonfinite.size else None,
    )
    if not fell:
        risen = np.flatnonzero(smooth > first + least_change)
        return replace(curve, lost=float(rates[risen[0]])) if risen.size else curve
    slope = np.gradient(smooth, np.log(rates))[: lowest + 1]
    above = np.flatnonzero(smooth[: lowest + 1] > first - BEGUN * fall)
    rises = lowest + np.flatnonzero(smooth[lowest:] > smooth[lowest] + LOST * fall)
    ends = [*rises[:1], *nonfinite[:1]]
    return replace(
        curve,
        begins=float(rates[min(above[-1] + 1, lowest)]) if above.size else float(rates[0]),
        steepest=float(rates[int(np.argmin(slope))]),
        least=float(rates[lowest]),
        lost=float(rates[min(ends)]) if ends else None,
    )


def pairs(rows: pd.DataFrame) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Each rate and the loss after the update with it, of one seed; both of shape (steps,).

    Raises:
        RecipeError: too few steps, not one row per step, or a rate that does not rise.
    """
    rows = rows.sort_values("step")
    step = rows.step.to_numpy()
    if len(step) < ROWS or (np.diff(step) != 1).any():
        raise RecipeError(
            f"a range test needs at least {ROWS} steps in a row, each of them measured; this run has {len(step)} "
            "rows: is the network's very first loss finite, and log.every=1?"
        )
    rates = to_float64(rows_with(rows, "learning_rate").learning_rate)
    losses = to_float64(rows.loss)[1:]
    count = min(len(rates), len(losses))
    if (np.diff(rates[:count]) <= 0).any():
        raise RecipeError("a range test needs a learning rate that rises; run it with schedule=range")
    return rates[:count], losses[:count]


def smoothed(losses: NDArray[np.float64]) -> NDArray[np.float64]:
    """A Gaussian mean over neighbours, shape (steps,); a loss not finite or far above the first level is capped.

    Raises:
        RecipeError: no loss at the start is finite.
    """
    first, finite = _first_level(losses), losses[np.isfinite(losses)]
    cap = first + max(first - finite.min(), 3 * MIN_FALL * abs(first))
    capped = np.minimum(np.where(np.isfinite(losses), losses, cap), cap)
    index = np.arange(len(losses))
    weight = np.exp(-0.5 * ((index[:, None] - index) / _deviation(losses)) ** 2)
    means: NDArray[np.float64] = weight @ capped / weight.sum(1)
    return means


def _deviation(losses: NDArray[np.float64]) -> float:
    """The standard deviation of the smoothing, in steps."""
    return max(1.0, SMOOTHING * len(losses))


def _first_level(losses: NDArray[np.float64]) -> float:
    """The mean loss before any rate is large enough to change it."""
    first = losses[: max(3, len(losses) // 10)]
    finite = first[np.isfinite(first)]
    if not finite.size:
        raise RecipeError("the loss is not finite from the first steps on: no learning rate can be found")
    return float(finite.mean())


def _noise(losses: NDArray[np.float64]) -> float:
    """Standard error of the smoothed loss, from the differences between neighbours at the start."""
    first = losses[: max(5, len(losses) // 5)]
    jumps = np.diff(first[np.isfinite(first)])
    window = 2 * np.sqrt(np.pi) * _deviation(losses)
    return float(jumps.std() / np.sqrt(2 * window)) if jumps.size > 2 else 0.0


def _median(values: list[float]) -> float:
    """The median; of positive values the geometric one, which differs only between two values."""
    return float(np.exp(np.median(np.log(values)))) if min(values) > 0 else float(np.median(values))


def _recommended(begins: float, least: float, lost: float | None, blown_up: bool) -> tuple[float, float]:
    """From where the loss begins to fall to a safe distance from where the fall is lost."""
    safe = np.inf if lost is None else lost / (SAFE_AFTER_BLOW_UP if blown_up else SAFE)
    high = float(min(least, safe))
    return min(begins, high), high
