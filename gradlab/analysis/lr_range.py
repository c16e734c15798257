"""The range test: which learning rates make the loss fall, from one run in which the rate rises (Smith 2017)."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gradlab.analysis.selection import minibatch_rows, rows_with, to_float64
from gradlab.analysis.wording import count_text, short_number
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


def range_test(steps: pd.DataFrame) -> dict[str, Any]:
    """What the rates of a run with `schedule=range` did to the loss, ready for JSON; null is what did not happen.

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
    seeds = [_seed_curve(seed, rows) for seed, rows in minibatch_rows(steps).groupby("seed")]
    fallen = [seed for seed in seeds if seed["fell"]]
    result: dict[str, Any] = {
        "seeds": seeds,
        "low": min(seed["rates"][0] for seed in seeds),
        "high": max(seed["rates"][-1] for seed in seeds),
        "fell": len(fallen),
        "diverged": sum(seed["diverged"] for seed in seeds),
    }
    for key in ("first", "best"):
        result[key] = _median([seed[key] for seed in fallen or seeds])
    for key in ("begins", "steepest", "least"):
        result[key] = _median([seed[key] for seed in fallen])
    result["lost"] = min((seed["lost"] for seed in seeds if seed["lost"] is not None), default=None)
    result["recommended"] = _recommended(result)
    return result | {"sentences": _sentences(result)}


def _seed_curve(seed: Any, rows: pd.DataFrame) -> dict[str, Any]:
    """One seed's smoothed curve and where it begins, falls fastest, is lowest and is lost."""
    rates, losses = pairs(rows)
    smooth = smoothed(losses)
    first, lowest = _first_level(losses), int(np.argmin(smooth))
    fall = first - smooth[lowest]
    least_change = max(MIN_FALL * abs(first), 3 * _noise(losses))
    fell = bool(fall > least_change)
    nonfinite = np.flatnonzero(~np.isfinite(losses))
    curve: dict[str, Any] = {
        "seed": int(seed),
        "rates": rates.tolist(),
        "smoothed": smooth.tolist(),
        "first": float(first),
        "best": float(smooth[lowest]),
        "fell": fell,
        "diverged": bool(nonfinite.size),
        "begins": None,
        "steepest": None,
        "least": None,
        "lost": float(rates[nonfinite[0]]) if nonfinite.size else None,
    }
    if not fell:
        risen = np.flatnonzero(smooth > first + least_change)
        return curve | {"lost": float(rates[risen[0]]) if risen.size else curve["lost"]}
    slope = np.gradient(smooth, np.log(rates))[: lowest + 1]
    above = np.flatnonzero(smooth[: lowest + 1] > first - BEGUN * fall)
    rises = lowest + np.flatnonzero(smooth[lowest:] > smooth[lowest] + LOST * fall)
    ends = [*rises[:1], *nonfinite[:1]]
    return curve | {
        "begins": float(rates[min(above[-1] + 1, lowest)]) if above.size else float(rates[0]),
        "steepest": float(rates[int(np.argmin(slope))]),
        "least": float(rates[lowest]),
        "lost": float(rates[min(ends)]) if ends else None,
    }


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


def _median(values: list[float]) -> float | None:
    """The median; of positive values the geometric one, which differs only between two values."""
    if not values:
        return None
    return float(np.exp(np.median(np.log(values)))) if min(values) > 0 else float(np.median(values))


def _recommended(result: dict[str, Any]) -> list[float] | None:
    """From where the loss begins to fall to a safe distance from where the fall is lost; None where it never falls."""
    if not result["fell"]:
        return None
    factor = SAFE_AFTER_BLOW_UP if result["diverged"] else SAFE
    lost = np.inf if result["lost"] is None else result["lost"] / factor
    high = float(min(result["least"], lost))
    return [min(result["begins"], high), high]


def _sentences(result: dict[str, Any]) -> list[tuple[str, str]]:
    """(label, sentence): what the loss did, where it diverges, and which rates are recommended."""
    if not result["fell"]:
        return _never_falls(result)
    loss = (
        f"{short_number(result['first'])} at first; begins to fall at lr {_rate(result['begins'])}, falls fastest "
        f"at {_rate(result['steepest'])}, lowest ({short_number(result['best'])}) at {_rate(result['least'])}"
    )
    seeds = len(result["seeds"])
    if result["fell"] < seeds:
        loss += f"; it falls in only {result['fell']} of {count_text(seeds, 'seed')}"
    low, high = result["recommended"]
    end = "to where it is lowest"
    if high != result["least"]:
        end = f"to {'a tenth' if result['diverged'] else 'a third'} of the rate at which it diverges"
    interval = f"lr from {_rate(low)} to {_rate(high)}: from where the loss begins to fall {end}"
    return [("loss", loss), ("diverges", _divergence(result)), ("recommended", interval)]


def _never_falls(result: dict[str, Any]) -> list[tuple[str, str]]:
    loss = (
        f"at no lr from {_rate(result['low'])} to {_rate(result['high'])} does the loss fall by {MIN_FALL:.0%} of "
        f"its first level, {short_number(result['first'])}"
    )
    if result["lost"] is not None:
        loss += f"; it rises from lr {_rate(result['lost'])} on"
    advice = "none: no learning rate helps here; look at the signal first (`gradlab diagnose`)"
    return [("loss", loss), ("recommended", advice)]


def _divergence(result: dict[str, Any]) -> str:
    """Where half of the fall is taken back or the loss is not finite."""
    if result["lost"] is None:
        return f"not up to lr {_rate(result['high'])}; a larger --high may show where"
    sentence = f"from lr {_rate(result['lost'])} on"
    if result["diverged"]:
        seeds = count_text(len(result["seeds"]), "seed")
        sentence += f"; the loss becomes non-finite in {result['diverged']} of {seeds}"
    return sentence


def _rate(rate: float) -> str:
    return f"{rate:.2g}"
