"""What the analyses find, as frozen dataclasses, and their one form as JSON. None stands for what was not measured.

Fields are the keys of the JSON that `diagnose --json`, `suggest-clip --json` and `lr-find --json` print.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from gradlab.analysis.gain import Defect
from gradlab.analysis.words import WORDS
from gradlab.store.json_safe import json_safe

Sentences = list[tuple[str, str]]  # (label, sentence)


@dataclass(frozen=True)
class SignalVerdict:
    """The backward signal over depth at one step."""

    step: int
    verdict: str
    words: list[str]  # all that is true of it; the verdict is one of them
    sentence: str
    layers: int  # the number of hidden layers
    seeds: int
    seeds_averaged: int  # the intact ones, over which gain and decades are means
    gain: float | None  # per layer
    gain_interval: tuple[float, float] | None  # 95 %
    gain_theory: float | None
    decades: float | None  # from the last hidden layer back to the first
    decades_interval: tuple[float, float] | None  # 95 %
    shape: str  # over which third of the depth most of the change is; "" where it is even or unknown
    cosine: float | None  # mean over pairs of examples, at the last hidden layer
    effective_rank: float | None  # of the centred outputs there
    effective_rank_before: float | None  # of the inputs
    defects: list[Defect]


@dataclass(frozen=True)
class TimeVerdict:
    """The backward signal of one recurrent layer over its time steps, at one training step."""

    layer: int
    name: str
    times: int
    verdict: str
    decades: float | None  # from the last time step back to the first
    gain: float | None  # per time step back
    gain_interval: tuple[float, float] | None  # 95 %
    reach: int  # over how many time steps back the signal stays above a hundredth
    sentence: str = ""


@dataclass(frozen=True)
class TrainingVerdict:
    """The training of all seeds; losses and scores are means over the seeds in which they are finite."""

    verdict: str
    words: list[str]
    seeds: int
    counts: dict[str, int]  # how many seeds have each verdict
    additions: dict[str, int]  # and of how many each other word is true
    diverged: int
    steps: int
    chance_loss: float | None
    metric: str
    chance_score: float | None
    clip_share: float | None  # the fraction of steps on which the clip acted
    stopped: str | None  # why training ended before its last step, by the rules of `stop` and of a clip
    updates: int  # recorded steps of all seeds
    dropped: int | None  # of these, the ones that the clip dropped; None where it drops none
    last_finite: tuple[int, float] | None  # step and minibatch loss of the seed that diverged first
    loss_first: float | None
    loss_last: float | None
    train_score: float | None
    test_score: float | None
    sentence: str = ""
    clip_shares: dict[str, float] | None = None  # clip_share of each clip of a chain
    overflows: int | None = None  # updates that loss scaling dropped; None where it drops none


@dataclass(frozen=True)
class Finding:
    """A word that holds of the run, and what it rests on; the rule of each word is in `words.py`."""

    word: str
    about: str  # signal, training or cause
    at: str  # start or end of the training
    seeds: int  # in how many it holds, or over which its numbers are means
    layers: list[int]  # [] where it is not a matter of layers
    steps: list[int]  # the step, or the first and the last
    numbers: Mapping[str, float | None]
    interval: tuple[float, float] | None = None  # 95 %, of the decades


@dataclass(frozen=True)
class Diagnosis:
    """All verdicts of one run."""

    run: str
    state: str
    data: str | None
    signal_start: SignalVerdict | None  # None only in a foreign run, whose log may not have it
    signal_end: SignalVerdict | None
    training: TrainingVerdict
    times_start: list[TimeVerdict]
    times_end: list[TimeVerdict]
    theory: str
    findings: list[Finding]  # every word that holds, the causes last


@dataclass(frozen=True, kw_only=True)
class WeightVerdict:
    """The weight gradients over depth at one step, of a log without the backward signal."""

    step: int
    verdict: str
    words: list[str]
    sentence: str
    layers: int  # that have a weight gradient
    decades: float | None  # from the last but one layer back to the second
    decades_interval: tuple[float, float] | None  # 95 %


@dataclass(frozen=True, kw_only=True)
class ForeignDiagnosis(Diagnosis):
    """What can be said of a run that gradlab has not trained."""

    not_recorded: str  # which signal its log does not have, "" if it has the backward signal
    weights_start: WeightVerdict | None  # where there is no backward signal, but weight gradients
    weights_end: WeightVerdict | None
    notes: list[str]  # what is not known


@dataclass(frozen=True)
class ThresholdEffect:
    """What a clip by norm with this threshold would have done to the recorded steps."""

    threshold: float
    clipped: float  # the fraction of the steps on which it acts
    scale: float  # the mean of min(1, threshold / ‖g‖)


@dataclass(frozen=True)
class OwnClip:
    """The clip that the run trained with; its threshold is None where it does not bound the norm of all parameters."""

    clip: str
    threshold: float | None
    clipped: float  # the fraction of the steps on which it acted


@dataclass(frozen=True)
class Recommendation:
    """A clip and the reason; `none` and `zscore` have no threshold."""

    clip: str
    threshold: float | None
    spikes: int  # the number of steps that are spikes
    most: float  # the largest norm relative to the median of those before it
    reason: str


@dataclass(frozen=True)
class NormRecommendation(Recommendation):
    """A clip by norm, and what its threshold would have done."""

    clipped: float  # the fraction of the steps on which it acts
    scale: float
    cut: int  # the spikes among these steps


@dataclass(frozen=True)
class ClipAdvice:
    """The recorded norms of one run, what thresholds would have done to them, and a recommendation."""

    run: str
    state: str
    steps: int  # recorded
    seeds: int
    every: int  # steps from one recorded step to the next
    zeros: int
    nonfinite: int
    least: float
    largest: float
    percentiles: dict[str, float]
    advice: Recommendation
    thresholds: list[ThresholdEffect]
    own: OwnClip | None
    warnings: list[str]


@dataclass(frozen=True)
class RangeCurve:
    """One seed of a learning-rate range test; `rates` and `smoothed` have an entry per step."""

    seed: int
    rates: list[float]
    smoothed: list[float]
    first: float  # the loss before any rate is large enough to change it
    best: float  # the lowest smoothed loss
    fell: bool
    diverged: bool  # whether a loss is not finite
    begins: float | None = None  # the rates at which the loss begins to fall,
    steepest: float | None = None  # falls fastest,
    least: float | None = None  # is lowest,
    lost: float | None = None  # and has taken back half of its fall, or is not finite


@dataclass(frozen=True)
class RangeTest:
    """A learning-rate range test over its seeds, and the rates that it recommends."""

    seeds: list[RangeCurve]
    low: float
    high: float
    fell: int  # the number of seeds in which the loss falls
    diverged: int
    first: float  # like `best` and the rates a median over the seeds in which it falls, or over all
    best: float
    begins: float | None
    steepest: float | None
    least: float | None
    lost: float | None
    recommended: tuple[float, float] | None
    sentences: Sentences


@dataclass(frozen=True)
class Stability:
    """The largest eigenvalue of the Hessian before training, and 2/λ_max; None where it is not positive and finite."""

    sharpness: float | None
    rate: float | None
    sentence: str


def to_json(result: Any) -> dict[str, Any]:
    """A result as JSON has it: null for what is not finite; a diagnosis with the rules of the words that it uses."""
    fields = asdict(result)
    if isinstance(result, Diagnosis):
        used = dict.fromkeys(finding.word for finding in result.findings)
        fields["rules"] = {word: asdict(WORDS[word]) for word in used}
    return dict(json_safe(fields))
