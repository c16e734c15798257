"""Which threshold a clip by norm should have, from the gradient norms that a run recorded; nothing is trained again."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gradlab.analysis import advice_sentences as sentences
from gradlab.analysis.clip_limits import UNKNOWN, norm_threshold
from gradlab.analysis.results import ClipAdvice, NormRecommendation, OwnClip, Recommendation, ThresholdEffect
from gradlab.analysis.selection import is_measured, minibatch_rows, rows_with, to_float64
from gradlab.analysis.training import clipped_fraction
from gradlab.analysis.wording import percent
from gradlab.measurements import log10
from gradlab.recipe.errors import RecipeError
from gradlab.recipe.recipe import option_label
from gradlab.store.read import Run

PERCENTILES = (5, 10, 25, 50, 75, 90, 95, 99)
REPRESENTABLE = 300  # decades: float64 goes a little further
WINDOW = 50  # the recorded steps before a step whose median is its level
MIN_WINDOW = 10  # the fewest of them; the steps at the very start have the median of these
# a spike is three times its level, and that many robust standard deviations above it
SPIKE_DECADES, SPIKE_DEVIATIONS = math.log10(3), 3.5
FEWEST_SPIKES = 3  # that are a reason for a clip
# of the norms that are no spikes, in the tenth of the steps where it is largest
ADVISED_PERCENTILE, PARTS = 60, 10
LARGE = 1.0  # decades above its level: a spike whatever the noise
# a breakdown: an evaluated loss above 1.5 times the lowest one before, and higher by a tenth of the chance loss
RISE, RISE_OF_CHANCE = 1.5, 0.1
IN_A_ROW = 20  # recorded minibatch losses
BEFORE_PERCENTILE = 65  # of the norms before breakdowns


def advise(run: Run, thresholds: Sequence[float] = ()) -> ClipAdvice:
    """The norms' percentiles, what `thresholds` would have done, and a threshold with its reason.

    Without `thresholds` the percentiles stand for them.

    Raises:
        RecipeError: the run took no step whose gradient was recorded, or recorded no finite norm, or norms that are no
            float64.
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
    if np.abs(positive).max() > REPRESENTABLE:
        raise RecipeError(
            f"{run.folder} recorded norms beyond 10^±{REPRESENTABLE}; no threshold is such a number"
        )
    values = np.percentile(positive, PERCENTILES)
    percentiles = {str(q): float(10**value) for q, value in zip(PERCENTILES, values, strict=True)}
    effects = threshold_effects(defined, thresholds or list(percentiles.values()))
    result = ClipAdvice(
        run=run.name,
        state=run.status["state"],
        steps=len(frame),
        seeds=int(frame.seed.nunique()),
        every=_every(run, frame),
        zeros=len(defined) - len(positive),
        nonfinite=len(frame) - len(defined),
        least=float(10 ** positive.min()),
        largest=float(10 ** positive.max()),
        percentiles=percentiles,
        advice=_recommendation(run, defined, clipped_fraction(run.steps) or 0.0),
        thresholds=[ThresholdEffect(*row) for row in effects.itertuples(index=False)],
        own=_own_clip(run),
        warnings=[],
    )
    warnings = sentences.clip_warnings(result, thresholds)
    if run.is_foreign:
        warnings += _foreign_warnings(run)
    elif run.recipe["clip"].get("where") == "update" and "log10_unclipped" not in run.steps:
        warnings.append(
            "this run's clip acts on the update, whose norm was not recorded: these are norms of the gradient"
        )
    return replace(result, warnings=warnings)


def _every(run: Run, frame: pd.DataFrame) -> int:
    """Steps from one recorded step to the next; of a foreign run the median."""
    if not run.is_foreign:
        return int(run.recipe["log"]["every"])
    return int(np.median(np.diff(frame.step))) if len(frame) > 1 else 1


def _foreign_warnings(run: Run) -> list[str]:
    """What the advice does not rest on in a run whose log is all that is known of it."""
    warnings = ["whether the loss rose again is not judged: the chance loss of the task is not known"]
    if not is_measured(run.steps["log10_gradient"]).any():
        warnings.append(
            "the norm of all parameters was not recorded: these are norms over the recorded layers, at most as large"
        )
    return warnings


def recorded_norms(run: Run) -> pd.DataFrame:
    """seed, step, log10_norm of the clip's input, level, spike: one row for every recorded step that was taken.

    Raises:
        RecipeError: the run took no step whose gradient was recorded.
    """
    if run.is_foreign:
        return _with_levels(_foreign_norms(run))
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
    return _with_levels(frame)


def _foreign_norms(run: Run) -> pd.DataFrame:
    """seed, step, log10_norm of all parameters, or, where a log does not have it, over the layers of each step.

    Raises:
        RecipeError: it has neither.
    """
    rows = rows_with(minibatch_rows(run.steps), "log10_gradient")
    if len(rows):
        norms = to_float64(rows.log10_gradient)
        return pd.DataFrame({"seed": rows.seed.to_numpy(), "step": rows.step.to_numpy(), "log10_norm": norms})
    layers = rows_with(minibatch_rows(run.layers), "log10_gradient")
    if layers.empty:
        raise RecipeError(
            f"{run.folder} recorded no norm of a gradient, neither of all parameters nor of a layer"
        )
    logs = pd.Series(to_float64(layers.log10_gradient))
    joined = logs.groupby([layers.seed.to_numpy(), layers.step.to_numpy()]).agg(
        lambda norms: float(log10.hypot(norms.to_numpy()))
    )
    seeds, steps = (joined.index.get_level_values(level).to_numpy() for level in (0, 1))
    return pd.DataFrame({"seed": seeds, "step": steps, "log10_norm": joined.to_numpy()})


def _with_levels(frame: pd.DataFrame) -> pd.DataFrame:
    level = frame.groupby("seed").log10_norm.transform(_level)
    return frame.assign(level=level, spike=_spikes(to_float64(frame.log10_norm), to_float64(level)))


def _level(log10_norm: pd.Series) -> pd.Series:
    """The median of the finite norms before each step."""
    finite = log10_norm.where(np.isfinite(log10_norm))
    before = finite.rolling(WINDOW, min_periods=MIN_WINDOW).median().shift(1)
    first = finite.iloc[:MIN_WINDOW].median()
    return before.where(np.arange(len(log10_norm)) >= MIN_WINDOW, first).ffill()


def _spikes(log10_norm: NDArray[np.float64], level: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which steps are three times their level, and 3.5 robust standard deviations above it, or ten times; (steps,)."""
    nothing = np.full(len(log10_norm), np.nan)
    above = np.subtract(log10_norm, level, where=np.isfinite(log10_norm), out=nothing)
    finite = above[np.isfinite(above)]
    deviation = np.subtract(*np.percentile(finite, [75, 25])) / 1.349 if finite.size else 0.0
    bound = min(LARGE, max(SPIKE_DECADES, SPIKE_DEVIATIONS * deviation))
    spikes: NDArray[np.bool_] = np.nan_to_num(above, nan=0.0) > bound
    return spikes


def threshold_effects(frame: pd.DataFrame, thresholds: Sequence[float]) -> pd.DataFrame:
    """Per threshold one row: threshold, clipped (fraction of the steps it acts on), scale (mean of min(1, C/‖g‖))."""
    log10_norms = to_float64(frame.log10_norm)
    rows = []
    for threshold in thresholds:
        excess = np.maximum(log10_norms - math.log10(threshold), 0.0)
        rows.append((float(threshold), float((excess > 0).mean()), float((10.0**-excess).mean())))
    return pd.DataFrame(rows, columns=["threshold", "clipped", "scale"])


def breakdowns(run: Run) -> dict[int, int]:
    """The seeds whose training broke down, each with the first step that belongs to it.

    Its loss became non-finite, or an evaluated training loss is above 1.5 times the lowest one before and higher by a
    tenth of the chance loss: it begins where the minibatch loss first rises as far above its median before. Where no
    evaluation shows one (they may be rare), the minibatch losses are asked: see `_rise`.
    """
    rows = minibatch_rows(run.steps).sort_values("step")
    least = RISE_OF_CHANCE * ((run.status.get("data") or {}).get("chance_loss") or 0.0)
    seeds = {int(own.seed.iloc[0]): own for _, own in rows.groupby("seed")}
    nonfinite = {int(entry["seed"]): int(entry["step"]) for entry in run.status.get("nonfinite", [])}
    found: dict[int, int] = {}
    for seed, own in seeds.items():
        evaluated = rows_with(own, "train_loss")
        losses = to_float64(evaluated.train_loss)
        before = np.fmin.accumulate(losses)[:-1] if losses.size else losses
        risen = np.flatnonzero(~(losses[1:] <= np.maximum(RISE * before, before + least)))
        if not risen.size and seed not in nonfinite:
            continue
        known = int(evaluated.step.iloc[risen[0] + 1]) if risen.size else nonfinite[seed]
        last_good = int(evaluated.step.iloc[risen[0]]) if risen.size else 0
        found[seed] = _begin(own, last_good, known, least)
    if found or not least:
        return found
    rises = {seed: _rise(to_float64(own.loss), own.step.to_numpy(), least) for seed, own in seeds.items()}
    return {seed: step for seed, step in rises.items() if step is not None}


def _rise(losses: NDArray[np.float64], steps: NDArray[np.int64], least: float) -> int | None:
    """The first of 20 recorded losses in a row that are all higher, by `least`, than a median before; or None.

    The median is the lowest one of 50 losses in a row, or of all so far. Noise puts a loss above it every other time,
    and 20 in a row once in a million.
    """
    lowest, run = math.inf, 0
    for at in range(IN_A_ROW, len(losses)):
        lowest = min(lowest, float(np.median(losses[max(0, at - WINDOW) : at])))
        run = 0 if losses[at] <= lowest + least else run + 1
        if run == IN_A_ROW:
            return int(steps[at - IN_A_ROW + 1])
    return None


def _begin(own: pd.DataFrame, last_good: int, known: int, least: float) -> int:
    """The first step after `last_good` whose minibatch loss has risen, at the latest `known`."""
    own = rows_with(own, "loss")
    losses, steps = to_float64(own.loss), own.step.to_numpy()
    for at in np.flatnonzero((steps > last_good) & (steps < known) & (steps > steps.min(initial=known))):
        median = np.median(losses[max(0, at - WINDOW) : at])
        if not losses[at] <= max(RISE * median, median + least):
            return int(steps[at])
    return known


def _recommendation(run: Run, frame: pd.DataFrame, clipped: float) -> Recommendation:
    """`norm` where seeds broke down or some steps are spikes; else `none`.

    Where the training of seeds broke down: with the 65th percentile of their norms before as threshold, so that most
    steps stay as they are. Where there are only spikes, three or more: with the 65th percentile of the other norms, in
    the tenth of the steps where it is largest, so that a spike becomes an ordinary step. Where most spikes are below
    that (because the norms decreased during training) no single threshold separates them from the others: `zscore`,
    whose threshold follows the norms.
    """
    if begins := breakdowns(run):
        return _against_breakdowns(frame, begins)
    spikes, others = frame[frame.spike], frame[~frame.spike]
    norms = to_float64(others.log10_norm)
    norms = norms[np.isfinite(norms)]
    above = to_float64(frame.log10_norm) - to_float64(frame.level)
    largest_ratio = float(10 ** above[np.isfinite(above)].max())
    if len(spikes) < FEWEST_SPIKES or not norms.size:
        reason = sentences.no_spikes(len(spikes), largest_ratio, WINDOW, clipped, not run.is_foreign)
        return Recommendation("none", None, len(spikes), largest_ratio, reason)
    threshold = round_two(float(10 ** _largest_percentile(others)))
    cut = int((to_float64(spikes.log10_norm) > math.log10(threshold)).sum())
    reason = (
        f"{sentences.spikes(len(spikes), len(frame), largest_ratio, WINDOW)}; {threshold:g} is the "
        f"{ADVISED_PERCENTILE}th percentile of the other norms in the tenth of the steps where these are largest"
    )
    if cut < len(spikes) / 2:
        reason += (
            f", but {len(spikes) - cut} of the spikes are smaller: the threshold has to follow the norms"
        )
        return Recommendation("zscore", None, len(spikes), largest_ratio, reason)
    effect = ThresholdEffect(*threshold_effects(frame, [threshold]).iloc[0].tolist())
    return NormRecommendation(
        clip="norm",
        threshold=threshold,
        spikes=len(spikes),
        most=largest_ratio,
        reason=f"{reason}, so that it acts on {percent(effect.clipped)} of the steps, {cut} of the spikes among them",
        clipped=effect.clipped,
        scale=effect.scale,
        cut=cut,
    )


def _largest_percentile(others: pd.DataFrame) -> float:
    """The percentile of log10 of the norms in each tenth of the steps, the largest of them."""
    steps, log10_norms = others.step.to_numpy(), to_float64(others.log10_norm)
    part = np.minimum(PARTS * (steps - steps.min()) // max(steps.max() - steps.min() + 1, 1), PARTS - 1)
    parts = [log10_norms[(part == index) & np.isfinite(log10_norms)] for index in range(PARTS)]
    return max(float(np.percentile(values, ADVISED_PERCENTILE)) for values in parts if values.size)


def _against_breakdowns(frame: pd.DataFrame, begins: dict[int, int]) -> Recommendation:
    """A clip by a percentile of the norms before the breakdowns, of the seeds that broke down."""
    begin = frame.seed.map(begins).to_numpy(dtype=float)  # NaN for the other seeds
    before = to_float64(frame.log10_norm)[(frame.step.to_numpy() < np.maximum(begin, 1))]
    before = before[np.isfinite(before)]
    above = to_float64(frame.log10_norm) - to_float64(frame.level)
    above = above[np.isfinite(above)]
    largest_ratio = float(10 ** above.max()) if above.size else 1.0
    spikes = int(frame.spike.sum())
    if not before.size:
        reason = sentences.breakdown(len(begins), int(frame.seed.nunique()), None, BEFORE_PERCENTILE)
        return Recommendation("zscore", None, spikes, largest_ratio, reason)
    threshold = round_two(float(10 ** np.percentile(before, BEFORE_PERCENTILE)))
    effect = ThresholdEffect(*threshold_effects(frame, [threshold]).iloc[0].tolist())
    return NormRecommendation(
        clip="norm",
        threshold=threshold,
        spikes=spikes,
        most=largest_ratio,
        reason=sentences.breakdown(len(begins), int(frame.seed.nunique()), threshold, BEFORE_PERCENTILE),
        clipped=effect.clipped,
        scale=effect.scale,
        cut=int((to_float64(frame.log10_norm[frame.spike]) > math.log10(threshold)).sum()),
    )


def round_two(number: float) -> float:
    """Two digits, which is as precise as a threshold can be: 0.8471 is 0.85."""
    return float(f"{number:.2g}")


def _own_clip(run: Run) -> OwnClip | None:
    """The run's own clip: on which fraction of the steps it acted, and its threshold where that bounds this norm."""
    clip = run.recipe.get("clip", UNKNOWN)
    clipped = clipped_fraction(run.steps)
    if clip["name"] in ("none", UNKNOWN["name"]) or clipped is None:
        return None
    return OwnClip(option_label(clip), norm_threshold(clip), clipped)
