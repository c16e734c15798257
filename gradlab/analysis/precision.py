"""What a narrower number format would do to a run's gradients, weights and activations, from their stored histograms.

Nothing is run again. A number is rounded to the nearest of the format, ties to even. An entry counts as flushed below
half the smallest subnormal number (exactly half is a tie, which goes to zero too, and is counted as subnormal), and
otherwise as subnormal below the smallest normal number. Float32's octaves have these limits at their ends, so that
these counts are exact; a limit inside an octave gives a lower and an upper bound.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradlab.analysis.histograms import Floats, Histograms, exponent_index, histograms
from gradlab.analysis.results import Finding
from gradlab.measurements.magnitudes import INFINITE, LOWEST, MEASURES, SMALL
from gradlab.recipe.errors import RecipeError
from gradlab.store.read import Run

MOST = 0.5  # of a layer's nonzero gradient entries, in the median over the steps: worth a remark
FLUSHED = 0.01  # of a layer's nonzero gradient entries: the most that a loss scale may leave flushed
SMALLEST = {"float64": -1074}  # log2 of the smallest number of a run's gradients, by its dtype; else:
SMALLEST_FLOAT32 = -149


class Format(NamedTuple):
    """A floating-point format by powers of two: what is below 2^flushed becomes zero, what is below 2^normal subnormal.

    top: the octave from 2^top, in which overflow begins: with 65520 in float16, 2^128 − 2^119 in bfloat16, above 464 in
    float8_e4m3 (which has no infinity: it gives NaN), with 61440 in float8_e5m2.
    """

    flushed: int
    normal: int
    top: int


FORMATS = {
    "float16": Format(-25, -14, 15),
    "bfloat16": Format(-134, -126, 127),
    "float8_e4m3": Format(-10, -6, 8),
    "float8_e5m2": Format(-17, -14, 15),
}


class Bounds(NamedTuple):
    """A lower and an upper bound of a share, equal where it is known exactly."""

    low: float
    high: float


Shares = tuple[Floats, Floats]  # lower and upper bounds, (histograms,) each


@dataclass(frozen=True)
class LayerLoss:
    """What a format does to a quantity of one layer, as fractions of the finite entries that are not zero.

    Each is that of the step and seed where it is worst. None where all entries are zero or not finite at each step.
    """

    layer: int
    name: str
    quantity: str  # gradient, weight or activation
    format: str
    flushed: Bounds | None
    subnormal: Bounds | None
    overflow: Bounds | None


@dataclass(frozen=True)
class LossScales:
    """The powers of two 2^low … 2^high by which the loss may be multiplied, or why there are none.

    At each of them, at every measured step, at most `FLUSHED` of each layer's nonzero gradient entries are flushed, and
    none can overflow. Without one low > high: the layers `flushing` need more than 2^high, at which `largest` begins to
    overflow. steps_with_own: at how many of the measured steps a scale of that step alone would do.
    """

    format: str
    low: int
    high: int
    flushing: list[int]
    largest: int
    steps: int
    steps_with_own: int

    @property
    def exists(self) -> bool:
        """Whether one scale does for all layers and steps."""
        return self.low <= self.high


@dataclass(frozen=True)
class Precision:
    """The report of a run; not_finite: how many histograms of gradients hold infinities or NaN, which are left out."""

    run: str
    dtype: str
    steps: int
    seeds: int
    not_finite: int
    layers: list[LayerLoss]
    scales: list[LossScales]


def precision(run: Run) -> Precision:
    """What each format would do to the run.

    Raises:
        RecipeError: the run has no histograms.
    """
    by_quantity = {quantity: histograms(run, quantity) for quantity in MEASURES}
    gradients = by_quantity["gradient"]
    if not len(gradients.step):
        raise RecipeError(f"{run.folder} has no histograms; run it with probe=[standard,histogram]")
    names = dict(zip(run.layers.layer.tolist(), run.layers.name.astype(str).tolist(), strict=True))
    smallest = SMALLEST.get(run.recipe.get("dtype", ""), SMALLEST_FLOAT32)
    finite = gradients.where(gradients.is_finite & (gradients.nonzero > 0))
    return Precision(
        run=run.name,
        dtype=run.recipe.get("dtype", ""),
        steps=len(np.unique(gradients.step)),
        seeds=len(np.unique(gradients.seed)),
        not_finite=int((~gradients.is_finite).sum()),
        layers=[
            _layer_loss(quantity, name, of.where(of.layer == layer), names[layer])
            for quantity, of in by_quantity.items()
            for layer in np.unique(of.layer).tolist()
            for name in FORMATS
        ],
        scales=[loss_scales(name, finite, smallest) for name in FORMATS] if len(finite.step) else [],
    )


def _layer_loss(quantity: str, format_name: str, of: Histograms, name: str) -> LayerLoss:
    shares = format_shares(FORMATS[format_name], of.where(of.nonzero > 0))
    flushed, subnormal, overflow = (_worst(share) for share in shares)
    return LayerLoss(int(of.layer[0]), name, quantity, format_name, flushed, subnormal, overflow)


def _worst(share: Shares) -> Bounds | None:
    low, high = share
    if not len(high):
        return None
    return Bounds(float(low.max()), float(high.max()))


def format_shares(form: Format, of: Histograms) -> tuple[Shares, Shares, Shares]:
    """Flushed, subnormal and overflowing fractions of the entries that are finite and not zero, (histograms,) each."""
    totals = of.nonzero
    count: Callable[[int, int], Floats] = lambda low, high: of.counts[:, low:high].sum(axis=1) / totals
    flush, normal = exponent_index(form.flushed), exponent_index(form.normal)
    flushed = count(SMALL, flush)
    # all that is below 2^−126 is one bin, which a limit of bfloat16 lies in
    most_flushed = count(SMALL, SMALL + 1) if form.flushed < LOWEST else flushed
    below_normal = count(SMALL, normal)
    top, beyond = exponent_index(form.top), exponent_index(form.top + 1)
    return (
        (flushed, most_flushed),
        (below_normal - most_flushed, below_normal - flushed),
        (count(beyond, INFINITE), count(top, INFINITE)),
    )


def loss_scales(format_name: str, of: Histograms, smallest: int = SMALLEST_FLOAT32) -> LossScales:
    """The loss scales that a format may have, of the gradients' histograms: finite ones with nonzero entries.

    An entry that only may be flushed counts as flushed, and one that only may overflow as overflowing. smallest: log2
    of the smallest number that the gradients' dtype has.
    """
    form = FORMATS[format_name]
    needed, allowed = _least(form, of, smallest), _most(form, of)
    low, high = int(needed.max()), int(allowed.min())
    flushing = sorted(set(of.layer[needed > high].tolist())) if low > high else []
    moments, moment = np.unique(of.step, return_inverse=True)
    own = [needed[moment == i].max() <= allowed[moment == i].min() for i in range(len(moments))]
    return LossScales(
        format=format_name,
        low=low,
        high=high,
        flushing=flushing,
        largest=int(of.layer[allowed.argmin()]),
        steps=len(moments),
        steps_with_own=int(sum(own)),
    )


def _least(form: Format, of: Histograms, smallest: int) -> NDArray[np.int64]:
    """log2 of the smallest scale of each histogram at which at most FLUSHED is flushed, (histograms,)."""
    below = np.cumsum(of.counts[:, SMALL:INFINITE], axis=1)  # entries up to each bin, from that below 2^−126
    flushed_bins = (below <= FLUSHED * of.nonzero[:, None]).sum(axis=1)  # so many bins may be flushed
    # the bin of 2^−126 is number 1; where not even the bin before it may be flushed, its smallest number counts
    limit = np.where(flushed_bins == 0, smallest, LOWEST + flushed_bins - 1)
    return np.asarray(form.flushed - limit)


def _most(form: Format, of: Histograms) -> NDArray[np.int64]:
    """log2 of the largest scale of each histogram at which nothing can overflow, (histograms,)."""
    filled = of.counts[:, SMALL:INFINITE] > 0
    highest = (
        LOWEST - 1 + filled.shape[1] - 1 - np.argmax(filled[:, ::-1], axis=1)
    )  # the octave of the largest
    return np.asarray(form.top - 1 - highest)


def flushed_by_float16(run: Run) -> list[Finding]:
    """The layers of whose gradient float16 would flush most, of a run in another format; none without histograms."""
    if run.is_foreign or run.recipe["dtype"] == "float16" or run.vectors.empty:
        return []
    gradients = histograms(run, "gradient")
    gradients = gradients.where(gradients.is_finite & (gradients.nonzero > 0))
    shares = format_shares(FORMATS["float16"], gradients)[0][0]
    layers = np.unique(gradients.layer).tolist()
    medians = {layer: float(np.median(shares[gradients.layer == layer])) for layer in layers}
    flushed = {layer: share for layer, share in medians.items() if share >= MOST}
    if not flushed:
        return []
    seeds, steps = len(np.unique(gradients.seed)), np.unique(gradients.step)
    numbers: dict[str, float | None] = {"flushed": max(flushed.values())}
    ends = [int(steps[0]), int(steps[-1])]
    return [Finding("float16 would flush the gradient", "cause", "end", seeds, list(flushed), ends, numbers)]


def scale_sentences(report: Precision) -> list[str]:
    """Which loss scales save the gradients, or which layers stop them, for each format; last, what that means."""
    if not report.scales:
        return ["no measured step has gradients that are finite and not all zero"]
    steps = report.scales[0].steps
    condition = (
        f"at most {100 * FLUSHED:g} % of a layer's nonzero weight gradients flushed, and none overflowing"
    )
    meaning = f"({condition}, at each of {steps} measured steps)"
    lines = [*(_scale_text(scales) for scales in report.scales), meaning]
    if report.not_finite:
        lines.append(f"left out: {report.not_finite} gradients of a layer that hold infinities or NaN")
    if report.dtype == "float16":
        lines.append(
            "the run computed in float16: what that flushed is among its zeros, which are not counted"
        )
    return lines


def _scale_text(scales: LossScales) -> str:
    if scales.exists:
        unneeded = " (1 will do)" if scales.low <= 0 <= scales.high else ""
        return f"{scales.format}: 2^{scales.low} to 2^{scales.high}{unneeded}"
    own = f"a scale of each step's own would do at {scales.steps_with_own} of {scales.steps}"
    return (
        f"{scales.format}: none, as {_layers_text(scales.flushing)} would need up to 2^{scales.low} and layer "
        f"{scales.largest} overflows beyond 2^{scales.high}; {own}"
    )


def _layers_text(layers: list[int]) -> str:
    """`layer 3`, `layers 0–12`, `9 layers from 0 to 20`."""
    first, last = layers[0], layers[-1]
    if first == last:
        return f"layer {first}"
    whole = len(layers) == last - first + 1
    return f"layers {first}–{last}" if whole else f"{len(layers)} layers from {first} to {last}"
