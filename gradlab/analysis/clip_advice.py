"""Which threshold a clip by norm should have, from the gradient norms that a run recorded; nothing is trained again."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gradlab.analysis.clip_limits import norm_threshold
from gradlab.analysis.selection import is_measured, minibatch_rows, rows_with, to_float64
from gradlab.analysis.training import clipped_fraction
from gradlab.analysis.wording import count_text, percent
from gradlab.recipe.errors import RecipeError
from gradlab.store.read import Run

PERCENTILES = (5, 10, 25, 50, 75, 90, 95, 99)
WINDOW = 50  # the recorded steps before a step whose median is its level
MIN_WINDOW = 10  # the fewest of them; the steps at the very start have the median of these
# a spike is three times its level, and that many robust standard deviations above it
SPIKE_DECADES, SPIKE_DEVIATIONS = math.log10(3), 3.5
ADVISED_PERCENTILE = 95  # of the norms of all steps that are no spikes


def advise(run: Run, thresholds: Sequence[float] = ()) -> dict[str, Any]:
    """The norms' percentiles, what `thresholds` would have done, and a threshold with its reason; ready for JSON.

    Without `thresholds` the percentiles stand for them.

    Raises:
        RecipeError: the run took no step whose gradient was recorded, or recorded no finite norm.
    """
    frame = recorded_norms(run)
    log10_norms = to_float64(frame.log10_norm)
    defined = frame[log10_norms < np.inf]  # −inf is a true zero, and no clip changes it
    if not np.isfinite(log10_norms).any():
        raise RecipeError(
            f"{run.folder} recorded no finite norm of a gradient; there is nothing to advise on"
        )
    positive = to_float64(defined.log10_norm)
    positive = positive[np.isfinite(positive)]
    values = np.percentile(positive, PERCENTILES)
    percentiles = {str(q): float(10**value) for q, value in zip(PERCENTILES, values, strict=True)}
    result = {
        "run": run.folder.resolve().name,
        "state": run.status["state"],
        "steps": len(frame),
        "seeds": int(frame.seed.nunique()),
        "every": int(run.recipe["log"]["every"]),
        "zeros": len(defined) - len(positive),
        "nonfinite": len(frame) - len(defined),
        "least": float(10 ** positive.min()),
        "largest": float(10 ** positive.max()),
        "percentiles": percentiles,
        "advice": _advice(defined, clipped_fraction(run.steps) or 0.0),
        "thresholds": threshold_effects(defined, thresholds or list(percentiles.values())).to_dict("records"),
        "own": _own_clip(run),
    }
    return result | {"warnings": _warnings(run, result, thresholds)}


def recorded_norms(run: Run) -> pd.DataFrame:
    """seed, step, log10_norm of the clip's input, level, spike: one row for every recorded step that was taken.

    Raises:
        RecipeError: the run took no step whose gradient was recorded.
    """
    column = "log10_gradient"
    if "log10_unclipped" in run.steps and is_measured(run.steps["log10_unclipped"]).any():
        column = "log10_unclipped"
    rows = rows_with(
        rows_with(minibatch_rows(run.steps), column), "learning_rate"
    )  # the last row takes no step
    if rows.empty:
        raise RecipeError(f"{run.folder} took no step whose gradient was recorded; give it steps=100 or more")
    rows = rows.sort_values(["seed", "step"], kind="stable")
    frame = pd.DataFrame(
        {"seed": rows.seed.to_numpy(), "step": rows.step.to_numpy(), "log10_norm": to_float64(rows[column])}
    )
    level = frame.groupby("seed").log10_norm.transform(_level)
    return frame.assign(level=level, spike=_spikes(to_float64(frame.log10_norm), to_float64(level)))


def _level(log10_norm: pd.Series) -> pd.Series:
    """The median of the finite norms before each step."""
    finite = log10_norm.where(np.isfinite(log10_norm))
    before = finite.rolling(WINDOW, min_periods=MIN_WINDOW).median().shift(1)
    first = finite.iloc[:MIN_WINDOW].median()
    return before.where(np.arange(len(log10_norm)) >= MIN_WINDOW, first).ffill()


def _spikes(log10_norm: NDArray[np.float64], level: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which steps are three times their level, and 3.5 robust standard deviations above it; all arrays (steps,)."""
    nothing = np.full(len(log10_norm), np.nan)
    above = np.subtract(log10_norm, level, where=np.isfinite(log10_norm), out=nothing)
    finite = above[np.isfinite(above)]
    deviation = np.subtract(*np.percentile(finite, [75, 25])) / 1.349 if finite.size else 0.0
    spikes: NDArray[np.bool_] = np.nan_to_num(above, nan=0.0) > max(
        SPIKE_DECADES, SPIKE_DEVIATIONS * deviation
    )
    return spikes


def threshold_effects(frame: pd.DataFrame, thresholds: Sequence[float]) -> pd.DataFrame:
    """Per threshold one row: threshold, clipped (fraction of the steps it acts on), scale (mean of min(1, C/‖g‖))."""
    log10_norms = to_float64(frame.log10_norm)
    rows = []
    for threshold in thresholds:
        excess = np.maximum(log10_norms - math.log10(threshold), 0.0)
        rows.append((float(threshold), float((excess > 0).mean()), float((10.0**-excess).mean())))
    return pd.DataFrame(rows, columns=["threshold", "clipped", "scale"])


def _advice(frame: pd.DataFrame, clipped: float) -> dict[str, Any]:
    """`norm` where some steps are spikes, with the 95th percentile of the others as threshold; else `none`.

    A spike is then reduced to the size of a large step of this run, and 95 % of the other steps stay as they are.
    Where most spikes are below that percentile (because the norms decreased during training) no single threshold
    separates them from the others: `zscore`, whose threshold follows the norms.
    """
    spikes, others = frame[frame.spike], frame[~frame.spike]
    norms = to_float64(others.log10_norm)
    norms = norms[np.isfinite(norms)]
    above = to_float64(frame.log10_norm) - to_float64(frame.level)
    largest_ratio = float(10 ** above[np.isfinite(above)].max())
    advice: dict[str, Any] = {"clip": "none", "threshold": None, "spikes": len(spikes), "most": largest_ratio}
    if spikes.empty or not norms.size:
        return advice | {"reason": _no_spikes(largest_ratio, clipped)}
    threshold = round_two(float(10 ** np.percentile(norms, ADVISED_PERCENTILE)))
    cut = int((to_float64(spikes.log10_norm) > math.log10(threshold)).sum())
    facts = _spike_facts(len(spikes), len(frame), largest_ratio, threshold)
    if cut < len(spikes) / 2:
        missed = f"but {len(spikes) - cut} of the spikes are smaller: the threshold has to follow the norms"
        return advice | {"clip": "zscore", "reason": f"{facts}, {missed}"}
    effect = threshold_effects(frame, [threshold]).iloc[0]
    clipped_steps = percent(float(effect.clipped))
    return advice | {
        "clip": "norm",
        "threshold": threshold,
        "clipped": float(effect.clipped),
        "scale": float(effect.scale),
        "cut": cut,
        "reason": f"{facts}, so that it acts on {clipped_steps} of the steps, {cut} of the spikes among them",
    }


def _no_spikes(largest_ratio: float, clipped: float) -> str:
    reason = f"no step is a spike: the largest norm is {largest_ratio:.2g} times the median of the {WINDOW} before it"
    return reason + ("; but this run's own clip acted, which may be the reason" if clipped else "")


def _spike_facts(spikes: int, steps: int, largest_ratio: float, threshold: float) -> str:
    verb = "is a spike" if spikes == 1 else "are spikes"
    return (
        f"{spikes} of {count_text(steps, 'step')} {verb}, up to {largest_ratio:.2g} times the median of the {WINDOW} "
        f"norms before; {threshold:g} is the {ADVISED_PERCENTILE}th percentile of the other norms"
    )


def round_two(number: float) -> float:
    """Two digits, which is as precise as a threshold can be: 0.8471 is 0.85."""
    return float(f"{number:.2g}")


def _own_clip(run: Run) -> dict[str, Any] | None:
    """The run's own clip: on which fraction of the steps it acted, and its threshold where that bounds this norm."""
    clip = run.recipe["clip"]
    clipped = clipped_fraction(run.steps)
    if clip["name"] == "none" or clipped is None:
        return None
    return {"clip": clip["name"], "threshold": norm_threshold(clip), "clipped": clipped}


def _warnings(run: Run, result: dict[str, Any], thresholds: Sequence[float]) -> list[str]:
    """What a reader of these numbers must know, one sentence each."""
    warnings = []
    if result["nonfinite"]:
        count = f"{result['nonfinite']} of {count_text(result['steps'], 'norm')}"
        warnings.append(f"{count} not finite and left out: no clip by norm can repair those")
    if result["every"] > 1:
        warnings.append(f"only every {result['every']}th step was recorded: spikes between them are not seen")
    warnings += _own_clip_warnings(result) + _threshold_warnings(result, thresholds)
    if run.recipe["clip"].get("where") == "update" and "log10_unclipped" not in run.steps:
        warnings.append(
            "this run's clip acts on the update, whose norm was not recorded: these are norms of the gradient"
        )
    return warnings


def _own_clip_warnings(result: dict[str, Any]) -> list[str]:
    own = result["own"]
    if not own:
        return []
    warnings = []
    if own["clipped"] == 0:
        warnings.append(f"this run's own clip, {own['clip']}, never acted: it trained as with clip=none")
    if own["clipped"] == 1 and own["clip"] != "normalize":
        warnings.append(
            f"this run's own clip, {own['clip']}, acted at every step: the size of a step depends on the "
            "learning rate and the threshold, not on the size of the gradient"
        )
    if own["clipped"] > 0 and result["advice"]["clip"] != "none":
        warnings.append(
            "this run's own clip acted while these norms were recorded: with a higher threshold they may be larger"
        )
    return warnings


def _threshold_warnings(result: dict[str, Any], thresholds: Sequence[float]) -> list[str]:
    warnings = []
    for threshold in thresholds:
        if threshold >= result["largest"]:
            warnings.append(f"{threshold:g} would never act: the largest norm is {result['largest']:.3g}")
        elif threshold < result["least"]:
            warnings.append(
                f"{threshold:g} would act at every step: the smallest norm is {result['least']:.3g}"
            )
    return warnings


def sentences(result: dict[str, Any]) -> list[tuple[str, str]]:
    """(label, sentence) of what `advise` returns, the advice first."""
    advice, own = result["advice"], result["own"]
    threshold = "" if advice["threshold"] is None else f" clip.threshold={advice['threshold']:g}"
    lines = [
        ("advice", f"clip={advice['clip']}{threshold}: {advice['reason']}"),
        ("norms", _norms_text(result)),
    ]
    if own:
        threshold = "" if own["threshold"] is None else f" {own['threshold']:g}"
        lines.append(
            ("own clip", f"{own['clip']}{threshold} acted on {percent(own['clipped'])} of the steps")
        )
    return [*lines, *(("note", warning) for warning in result["warnings"])]


def _norms_text(result: dict[str, Any]) -> str:
    """900 recorded steps, every 10th, of 3 seeds: 0.1 to 3.2, median 0.5, 2 zeros."""
    every = "" if result["every"] == 1 else f", every {result['every']}th"
    seeds = f", of {result['seeds']} seeds" if result["seeds"] > 1 else ""
    zeros = f", {count_text(result['zeros'], 'zero')}" if result["zeros"] else ""
    values = f"{result['least']:.3g} to {result['largest']:.3g}, median {result['percentiles']['50']:.3g}"
    return f"{count_text(result['steps'], 'recorded step')}{every}{seeds}: {values}{zeros}"
