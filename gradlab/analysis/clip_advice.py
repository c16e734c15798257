"""Which threshold a clip by norm should have, from the norms that a run recorded: nothing is trained again."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from gradlab.analysis.selection import batch, known, measured, values
from gradlab.analysis.training import clip_share
from gradlab.analysis.wording import counted, share
from gradlab.recipe.errors import RecipeError
from gradlab.store.read import Run

PERCENTILES = (5, 10, 25, 50, 75, 90, 95, 99)
BEFORE = 50  # the recorded steps before a step whose median is its level
FIRST = 10  # the fewest of them; the steps at the very start have the median of these
JUMP = math.log10(3)  # above its level by which a step may be a spike,
SPREADS = 3.5  # if it is as many robust standard deviations above
CALM = 95  # percentile of the other steps' norms that is advised


def advise(run: Run, asked: Sequence[float] = ()) -> dict[str, Any]:
    """The norms' percentiles, what thresholds would have done, and a threshold with its reason; ready for JSON."""
    frame = norms(run)
    x = values(frame.log10_norm)
    finite = frame[x < np.inf]  # −inf is a true zero, and no clip touches it
    if not np.isfinite(x).any():
        raise RecipeError(
            f"{run.folder} recorded no finite norm of a gradient; there is nothing to advise on"
        )
    told = finite[np.isfinite(values(finite.log10_norm))]
    percentiles = {str(q): float(10**v) for q, v in zip(PERCENTILES, _percentiles(told), strict=True)}
    found = {
        "run": run.folder.resolve().name,
        "state": run.status["state"],
        "steps": len(frame),
        "seeds": int(frame.seed.nunique()),
        "every": int(run.recipe["log"]["every"]),
        "zeros": len(finite) - len(told),
        "nonfinite": len(frame) - len(finite),
        "least": float(10 ** values(told.log10_norm).min()),
        "largest": float(10 ** values(told.log10_norm).max()),
        "percentiles": percentiles,
        "advice": _advice(finite, clip_share(run.steps) or 0.0),
        "thresholds": curve(finite, asked or list(percentiles.values())).to_dict("records"),
        "own": _own(run, finite),
    }
    return found | {"warnings": _warnings(run, found, asked)}


def norms(run: Run) -> pd.DataFrame:
    """seed, step, log10_norm of what the clip was given, level, spike: of every recorded step that was taken."""
    column = "log10_gradient"
    if "log10_unclipped" in run.steps and measured(run.steps["log10_unclipped"]).any():
        column = "log10_unclipped"
    rows = known(known(batch(run.steps), column), "learning_rate")  # the last row has taken no step
    if rows.empty:
        raise RecipeError(f"{run.folder} took no step whose gradient was recorded; give it steps=100 or more")
    rows = rows.sort_values(["seed", "step"], kind="stable")
    frame = pd.DataFrame(
        {"seed": rows.seed.to_numpy(), "step": rows.step.to_numpy(), "log10_norm": values(rows[column])}
    )
    level = frame.groupby("seed").log10_norm.transform(_level)
    return frame.assign(level=level, spike=_spikes(values(frame.log10_norm), values(level)))


def _level(x: pd.Series) -> pd.Series:
    """The median of the finite norms before each step."""
    there = x.where(np.isfinite(x))
    before = there.rolling(BEFORE, min_periods=FIRST).median().shift(1)
    return before.where(np.arange(len(x)) >= FIRST, there.iloc[:FIRST].median()).ffill()


def _spikes(x: np.ndarray, level: np.ndarray) -> np.ndarray:
    """Three times its level, and that far beyond the usual: 3.5 robust standard deviations."""
    above = np.subtract(x, level, where=np.isfinite(x), out=np.full(len(x), np.nan))
    usual = above[np.isfinite(above)]
    spread = np.subtract(*np.percentile(usual, [75, 25])) / 1.349 if usual.size else 0.0
    return np.nan_to_num(above, nan=0.0) > max(JUMP, SPREADS * spread)


def curve(frame: pd.DataFrame, thresholds: Sequence[float]) -> pd.DataFrame:
    """threshold, clipped (share of the steps it acts on), scale (mean of min(1, threshold/‖g‖)), one row each."""
    x = values(frame.log10_norm)
    rows = []
    for threshold in thresholds:
        over = np.maximum(x - math.log10(threshold), 0.0)
        rows.append((float(threshold), float((over > 0).mean()), float((10.0**-over).mean())))
    return pd.DataFrame(rows, columns=["threshold", "clipped", "scale"])


def _percentiles(frame: pd.DataFrame) -> np.ndarray:
    return np.percentile(values(frame.log10_norm), PERCENTILES)


def _advice(frame: pd.DataFrame, acted: float) -> dict[str, Any]:
    """`norm` where steps stand out from those before them, at the 95th percentile of the others; else `none`.

    So a spike is cut down to what a long step of this run is, and nineteen of twenty others keep their length.
    Where most spikes are below that (the norms fell on the way) no one threshold tells them apart: `zscore`,
    whose threshold follows the norms.
    """
    spikes, calm = frame[frame.spike], frame[~frame.spike]
    x = values(calm.log10_norm)
    x = x[np.isfinite(x)]
    above = values(frame.log10_norm) - values(frame.level)
    most = float(10 ** above[np.isfinite(above)].max())
    found: dict[str, Any] = {"clip": "none", "threshold": None, "spikes": len(spikes), "most": most}
    if spikes.empty or not x.size:
        reason = f"no step stands out: the longest is {most:.2g} times the median of the {BEFORE} before it"
        kept = "; but this run's own clip acted, which may be what kept it calm" if acted else ""
        return found | {"reason": reason + kept}
    threshold = round_two(float(10 ** np.percentile(x, CALM)))
    cut = int((values(spikes.log10_norm) > math.log10(threshold)).sum())
    head = (
        f"{counted(len(spikes), 'step')} of {len(frame)} {'is a spike' if len(spikes) == 1 else 'are spikes'}, "
        f"up to {most:.2g} times the median of the {BEFORE} before; {threshold:g} is the {CALM}th percentile of "
        "the others"
    )
    if cut < len(spikes) / 2:
        why = f"and longer than {len(spikes) - cut} of the spikes: a threshold has to follow the norms"
        return found | {"clip": "zscore", "reason": f"{head} {why}"}
    row = curve(frame, [threshold]).iloc[0]
    why = f"so that it acts on {share(float(row.clipped))} of the steps, {cut} of the spikes among them"
    told = {"clipped": float(row.clipped), "scale": float(row.scale), "cut": cut, "reason": f"{head}, {why}"}
    return found | {"clip": "norm", "threshold": threshold, **told}


def round_two(number: float) -> float:
    """Two digits are all that a threshold deserves: 0.8471 is 0.85."""
    return float(f"{number:.2g}")


def _own(run: Run, frame: pd.DataFrame) -> dict[str, Any] | None:
    """The run's own clip: on how many steps it acted, and its threshold where that bounds this norm."""
    clip = run.recipe["clip"]
    acted = clip_share(run.steps)
    if clip["name"] == "none" or acted is None:
        return None
    bounds = clip["name"] in ("norm", "normalize", "skip") and float(clip.get("p", 2.0)) == 2.0
    threshold = float(clip["threshold"]) if bounds else None
    return {"clip": clip["name"], "threshold": threshold, "clipped": acted}


def _warnings(run: Run, found: dict[str, Any], asked: Sequence[float]) -> list[str]:
    """What a reader of these numbers must know, a sentence each."""
    told, own = [], found["own"]
    if found["nonfinite"]:
        count = counted(found["nonfinite"], "norm")
        told.append(f"{count} of {found['steps']} not finite and left out: no clip by norm mends those")
    if found["every"] > 1:
        told.append(f"only every {found['every']}th step was recorded: a spike between them is not seen")
    if own and own["clipped"] == 0:
        told.append(f"this run's own clip, {own['clip']}, never acted: it trained as with clip=none")
    if own and own["clipped"] == 1 and own["clip"] != "normalize":
        told.append(
            f"this run's own clip, {own['clip']}, acted at every step: the rate, not the gradient, sets the step"
        )
    if own and own["clipped"] > 0 and found["advice"]["clip"] != "none":
        told.append(
            "the norms are those of a run whose own clip acted: a looser one may meet longer gradients"
        )
    for threshold in asked:
        if threshold >= found["largest"]:
            told.append(f"{threshold:g} would never act: the largest norm is {found['largest']:.3g}")
        elif threshold < found["least"]:
            told.append(f"{threshold:g} would act at every step: the smallest norm is {found['least']:.3g}")
    if run.recipe["clip"].get("where") == "update" and "log10_unclipped" not in run.steps:
        told.append("this run's clip acts on the update, whose norm was not recorded: this is the gradient's")
    return told


def sentences(found: dict[str, Any]) -> list[tuple[str, str]]:
    """(label, sentence), the advice first."""
    every = "" if found["every"] == 1 else f", every {found['every']}th"
    pooled = f", {found['seeds']} seeds pooled" if found["seeds"] > 1 else ""
    named = found["advice"]["clip"]
    if found["advice"]["threshold"] is not None:
        named += f" clip.threshold={found['advice']['threshold']:g}"
    middle = found["percentiles"]["50"]
    zeros = f", {counted(found['zeros'], 'zero')}" if found["zeros"] else ""
    spread = f"{found['least']:.3g} to {found['largest']:.3g}, median {middle:.3g}{zeros}"
    told = [("advice", f"clip={named}: {found['advice']['reason']}")]
    told.append(("norms", f"{counted(found['steps'], 'recorded step')}{every}{pooled}: {spread}"))
    if found["own"]:
        own = found["own"]
        at = "" if own["threshold"] is None else f" {own['threshold']:g}"
        told.append(("own clip", f"{own['clip']}{at} acted on {share(own['clipped'])} of the steps"))
    return [*told, *(("note", warning) for warning in found["warnings"])]
