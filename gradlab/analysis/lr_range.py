"""The range test: which learning rates make the loss fall, from one run in which the rate rises (Smith 2017)."""

from typing import Any

import numpy as np
import pandas as pd

from gradlab.analysis.selection import batch, known, values
from gradlab.analysis.wording import counted, short
from gradlab.recipe.errors import RecipeError

WIDTH = 1 / 40  # of the steps: one standard deviation of the smoothing
FALL = 0.05  # of the first loss: less is no fall
BEGUN, LOST = 0.1, 0.5  # shares of the fall: so much of it is a beginning, so much taken back is a loss of it
# below the rate at which the fall is lost, for training is longer than the test; after a blow-up, which a few
# steps at each rate tell late, farther
SAFE, SAFER = 3.0, 10.0
ROWS = 20  # fewer steps have no curve


def lr_range(steps: pd.DataFrame) -> dict[str, Any]:
    """What the rates of a run with `schedule=range` did to the loss, ready for JSON; null is what did not happen.

    The loss of row t + 1 is what the update with row t's rate has left, so these two are a pair. For each seed, the
    losses are smoothed by a Gaussian over the logarithm of the rate (what lies above the first level by more than the
    fall counts as that much). Of the smoothed curve: `begins`, where a tenth of the fall is reached; `steepest`, where
    it falls fastest; `least`, where it is lowest; `lost`, where half of the fall is taken back or the loss is not
    finite. Over seeds: medians, but the least of `lost`. Recommended is `begins` to a third of `lost` (a tenth where
    the loss left the finite numbers), or to `least` if that comes first.
    """
    found = [_seed(seed, rows) for seed, rows in batch(steps).groupby("seed")]
    fell = [each for each in found if each["fell"]]
    result: dict[str, Any] = {
        "seeds": found,
        "low": min(each["rates"][0] for each in found),
        "high": max(each["rates"][-1] for each in found),
        "fell": len(fell),
        "diverged": sum(each["diverged"] for each in found),
    }
    for key in ("first", "best"):
        result[key] = _middle([each[key] for each in fell or found])
    for key in ("begins", "steepest", "least"):
        result[key] = _middle([each[key] for each in fell])
    ends = [each["lost"] for each in found if each["lost"] is not None]
    result["lost"] = min(ends, default=None)
    result["recommended"] = _recommended(result)
    return result | {"sentences": _sentences(result)}


def _seed(seed: Any, rows: pd.DataFrame) -> dict[str, Any]:
    rates, losses = pairs(rows)
    smooth = smoothed(losses)
    first, low = _first(losses), int(np.argmin(smooth))
    fall = first - smooth[low]
    fell = bool(fall > max(FALL * abs(first), 3 * _noise(losses)))
    broken = np.flatnonzero(~np.isfinite(losses))
    each: dict[str, Any] = {
        "seed": int(seed),
        "rates": rates.tolist(),
        "smoothed": smooth.tolist(),
        "first": float(first),
        "best": float(smooth[low]),
        "fell": fell,
        "diverged": bool(broken.size),
        "begins": None,
        "steepest": None,
        "least": None,
        "lost": float(rates[broken[0]]) if broken.size else None,
    }
    if not fell:
        risen = np.flatnonzero(smooth > first + max(FALL * abs(first), 3 * _noise(losses)))
        return each | {"lost": float(rates[risen[0]]) if risen.size else each["lost"]}
    slope = np.gradient(smooth, np.log(rates))[: low + 1]
    above = np.flatnonzero(smooth[: low + 1] > first - BEGUN * fall)
    rises = low + np.flatnonzero(smooth[low:] > smooth[low] + LOST * fall)
    ends = [*rises[:1], *broken[:1]]
    each |= {
        "begins": float(rates[min(above[-1] + 1, low)]) if above.size else float(rates[0]),
        "steepest": float(rates[int(np.argmin(slope))]),
        "least": float(rates[low]),
        "lost": float(rates[min(ends)]) if ends else None,
    }
    return each


def pairs(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Each rate with the loss that the update with it has left, of one seed."""
    rows = rows.sort_values("step")
    step = rows.step.to_numpy()
    if len(step) < ROWS or (np.diff(step) != 1).any():
        raise RecipeError(
            f"a range test needs {ROWS} steps in a row, measured each; this run has {len(step)} rows: "
            "is the network's very first loss finite, and log.every=1?"
        )
    taken = known(rows, "learning_rate")
    rates = values(taken.learning_rate)
    losses = values(rows.loss)[1:]
    count = min(len(rates), len(losses))
    if (np.diff(rates[:count]) <= 0).any():
        raise RecipeError("a range test needs a learning rate that rises; run it with schedule=range")
    return rates[:count], losses[:count]


def smoothed(losses: np.ndarray) -> np.ndarray:
    """A Gaussian mean over neighbours; what is not finite or far above the first level counts as its cap."""
    first, finite = _first(losses), losses[np.isfinite(losses)]
    cap = first + max(first - finite.min(), 3 * FALL * abs(first))
    capped = np.minimum(np.where(np.isfinite(losses), losses, cap), cap)
    place = np.arange(len(losses))
    weight = np.exp(-0.5 * ((place[:, None] - place) / max(1.0, WIDTH * len(losses))) ** 2)
    return weight @ capped / weight.sum(1)


def _first(losses: np.ndarray) -> float:
    """The level before any rate is large enough to do something."""
    begin = losses[: max(3, len(losses) // 10)]
    finite = begin[np.isfinite(begin)]
    if not finite.size:
        raise RecipeError("the loss is not finite from the first steps on: no learning rate can be found")
    return float(finite.mean())


def _noise(losses: np.ndarray) -> float:
    """Standard error of the smoothed loss, from the differences of neighbours at the first level."""
    begin = losses[: max(5, len(losses) // 5)]
    jumps = np.diff(begin[np.isfinite(begin)])
    window = 2 * np.sqrt(np.pi) * max(1.0, WIDTH * len(losses))
    return float(jumps.std() / np.sqrt(2 * window)) if jumps.size > 2 else 0.0


def _middle(found: list[float]) -> float | None:
    """The median; of rates the geometric one, which is the same but between two."""
    if not found:
        return None
    return float(np.exp(np.median(np.log(found)))) if min(found) > 0 else float(np.median(found))


def _recommended(result: dict[str, Any]) -> list[float] | None:
    """From where the loss begins to fall to a safe distance from where that is lost; None where it never falls."""
    if not result["fell"]:
        return None
    lost = np.inf if result["lost"] is None else result["lost"] / (SAFER if result["diverged"] else SAFE)
    high = float(min(result["least"], lost))
    return [min(result["begins"], high), high]


def _sentences(result: dict[str, Any]) -> list[tuple[str, str]]:
    """What was seen and what to take, each with its label."""
    told = f"{_number(result['low'])} to {_number(result['high'])}"
    seeds = len(result["seeds"])
    if not result["fell"]:
        words = f"at no rate from {told} does the loss fall by {FALL:.0%} of its first level, {short(result['first'])}"
        if result["lost"] is not None:
            words += f"; it rises from {_number(result['lost'])} on"
        why = "no rate helps here: look at the signal first (`gradlab diagnose`)"
        return [("loss", words), ("recommended", f"none: {why}")]
    words = (
        f"{short(result['first'])} at first; begins to fall at {_number(result['begins'])}, fastest at "
        f"{_number(result['max_slope'])}, least ({short(result['best'])}) at {_number(result['least'])}"
    )
    if result["fell"] < seeds:
        words += f"; it falls in {result['fell']} of {counted(seeds, 'seed')} only"
    if result["lost"] is None:
        end = f"not up to {_number(result['high'])}: a larger --high would show where"
    else:
        end = f"from {_number(result['lost'])} on"
        if result["diverged"]:
            end += f"; not finite in the end in {result['diverged']} of {counted(seeds, 'seed')}"
    low, high = result["recommended"]
    part = "a tenth" if result["diverged"] else "a third"
    reason = "where it is least" if high == result["least"] else f"{part} of the rate that loses it"
    interval = f"lr from {_number(low)} to {_number(high)}: from where the loss begins to fall to {reason}"
    return [("loss", words), ("diverges", end), ("recommended", interval)]


def _number(rate: float) -> str:
    return f"{rate:.2g}"
