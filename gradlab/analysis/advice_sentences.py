"""What a clip advice and a learning-rate range test say in sentences; the numbers are those of the result."""

from collections.abc import Sequence

from gradlab.analysis.clip_limits import ALWAYS_ACT
from gradlab.analysis.results import ClipAdvice, RangeTest, Sentences
from gradlab.analysis.wording import count_text, percent, short_number

# ---- clip thresholds


def of_clip_advice(result: ClipAdvice) -> Sentences:
    """The recommendation, the recorded norms, the run's own clip, and what a reader must know."""
    advice, run_clip = result.advice, result.own
    threshold = "" if advice.threshold is None else f" clip.threshold={advice.threshold:g}"
    lines = [
        ("advice", f"clip={advice.clip}{threshold}: {advice.reason}"),
        ("norms", _norms(result)),
    ]
    if run_clip:
        threshold = "" if run_clip.threshold is None else f" {run_clip.threshold:g}"
        lines.append(
            ("own clip", f"{run_clip.clip}{threshold} acted on {percent(run_clip.clipped)} of the steps")
        )
    return [*lines, *(("note", warning) for warning in result.warnings)]


def _norms(result: ClipAdvice) -> str:
    """900 recorded steps, every 10th, of 3 seeds: 0.1 to 3.2, median 0.5, 2 zeros."""
    every = "" if result.every == 1 else f", every {result.every}th"
    seeds = f", of {result.seeds} seeds" if result.seeds > 1 else ""
    zeros = f", {count_text(result.zeros, 'zero')}" if result.zeros else ""
    values = f"{result.least:.3g} to {result.largest:.3g}, median {result.percentiles['50']:.3g}"
    return f"{count_text(result.steps, 'recorded step')}{every}{seeds}: {values}{zeros}"


def no_spikes(spikes: int, largest_ratio: float, window: int, clipped: float, judged: bool) -> str:
    """Why no clip is recommended; `clipped` is the fraction of the steps on which the run's own clip acted.

    judged: whether it is known that no seed broke down.
    """
    few = "no step is a spike"
    if spikes:
        few = f"only {count_text(spikes, 'step')} {'is a spike' if spikes == 1 else 'are spikes'}"
    largest = f"the largest norm is {largest_ratio:.2g} times the median of the {window} before it"
    reason = f"{few}{', and no seed broke down' if judged else ''}: {largest}"
    return reason + ("; but this run's own clip acted, which may be the reason" if clipped else "")


def spikes(spikes: int, steps: int, largest_ratio: float, window: int) -> str:
    """10 of 300 steps are spikes, up to 21 times the median of the 50 norms before."""
    verb = "is a spike" if spikes == 1 else "are spikes"
    return (
        f"{spikes} of {count_text(steps, 'step')} {verb}, up to {largest_ratio:.2g} times the median of the {window} "
        "norms before"
    )


def breakdown(broken: int, seeds: int, threshold: float | None, percentile: int) -> str:
    """The training of 3 of 5 seeds broke down; 2.8 is the 60th percentile of their norms before."""
    seeds_text = f"{broken} of {count_text(seeds, 'seed')}"
    text = f"the training of {seeds_text} broke down (its loss rose again or became non-finite)"
    if threshold is None:
        return text
    return f"{text}; {threshold:g} is the {percentile}th percentile of their norms before"


def clip_warnings(result: ClipAdvice, thresholds: Sequence[float]) -> list[str]:
    """What a reader of the advice must know, one sentence each; `thresholds` are those that were asked for."""
    warnings = []
    if result.nonfinite:
        count = f"{result.nonfinite} of {count_text(result.steps, 'norm')}"
        warnings.append(f"{count} not finite and left out: no clip by norm can repair those")
    if result.every > 1:
        warnings.append(f"only every {result.every}th step was recorded: spikes between them are not seen")
    return [*warnings, *_own_clip_warnings(result), *_threshold_warnings(result, thresholds)]


def _own_clip_warnings(result: ClipAdvice) -> list[str]:
    run_clip = result.own
    if not run_clip:
        return []
    warnings = []
    if run_clip.clipped == 0:
        warnings.append(f"this run's own clip, {run_clip.clip}, never acted: it trained as with clip=none")
    if run_clip.clipped == 1 and not ALWAYS_ACT & {*run_clip.clip.split(",")}:
        warnings.append(
            f"this run's own clip, {run_clip.clip}, acted at every step: the size of a step depends on the "
            "learning rate and the threshold, not on the size of the gradient"
        )
    if run_clip.clipped > 0 and result.advice.clip != "none":
        warnings.append(
            "this run's own clip acted while these norms were recorded: with a higher threshold they may be larger"
        )
    return warnings


def _threshold_warnings(result: ClipAdvice, thresholds: Sequence[float]) -> list[str]:
    warnings = []
    for threshold in thresholds:
        if threshold >= result.largest:
            warnings.append(f"{threshold:g} would never act: the largest norm is {result.largest:.3g}")
        elif threshold < result.least:
            warnings.append(f"{threshold:g} would act at every step: the smallest norm is {result.least:.3g}")
    return warnings


# ---- the learning-rate range test


def of_range_test(result: RangeTest, least_fall: float) -> Sentences:
    """What the loss did, where it diverges, and which rates are recommended.

    `least_fall` is the fraction of its first level by which a loss that falls must fall.
    """
    if result.recommended is None:
        return _never_falls(result, least_fall)
    loss = (
        f"{short_number(result.first)} at first; begins to fall at lr {_rate(result.begins)}, falls fastest "
        f"at {_rate(result.steepest)}, lowest ({short_number(result.best)}) at {_rate(result.least)}"
    )
    seeds = len(result.seeds)
    if result.fell < seeds:
        loss += f"; it falls in only {result.fell} of {count_text(seeds, 'seed')}"
    low, high = result.recommended
    end = "to where it is lowest"
    if high != result.least:
        end = f"to {'a tenth' if result.diverged else 'a third'} of the rate at which it diverges"
    interval = f"lr from {_rate(low)} to {_rate(high)}: from where the loss begins to fall {end}"
    return [("loss", loss), ("diverges", _divergence(result)), ("recommended", interval)]


def _never_falls(result: RangeTest, least_fall: float) -> Sentences:
    loss = (
        f"at no lr from {_rate(result.low)} to {_rate(result.high)} does the loss fall by {least_fall:.0%} of "
        f"its first level, {short_number(result.first)}"
    )
    if result.lost is not None:
        loss += f"; it rises from lr {_rate(result.lost)} on"
    advice = "none: no learning rate helps here; look at the signal first (`gradlab diagnose`)"
    return [("loss", loss), ("recommended", advice)]


def _divergence(result: RangeTest) -> str:
    """Where half of the fall is taken back or the loss is not finite."""
    if result.lost is None:
        return f"not up to lr {_rate(result.high)}; a larger --high may show where"
    sentence = f"from lr {_rate(result.lost)} on"
    if result.diverged:
        seeds = count_text(len(result.seeds), "seed")
        sentence += f"; the loss becomes non-finite in {result.diverged} of {seeds}"
    return sentence


def _rate(rate: float | None) -> str:
    return "none" if rate is None else f"{rate:.2g}"
