"""Main effects: what share of the differences between runs each choice explains, with intervals over seeds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

RESAMPLES = 999
NO_REPLICATES = "no interval: no combination has two seeds"
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Share:
    """A share of the variance of an outcome between runs, and its 95 % interval over seeds."""

    value: float
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class MainEffects:
    """What the choices explain of one outcome; the shares are fractions of its sum of squares."""

    outcome: str
    values: int  # finite ones: one per run and seed
    left_out: int  # those that are not finite
    shares: dict[str, Share]  # by choice, the largest first
    rest: Share  # interactions of the choices, and the spread between seeds
    inseparable: (
        float  # 1 − rest − Σ shares: what choices that vary together explain together; 0 in a balanced grid
    )
    note: str = ""  # why there is no interval, and which choice has too many values


def main_effects(outcomes: pd.DataFrame, outcome: str, choices: Sequence[str]) -> MainEffects | None:
    """The share of the variance of a column of `outcomes` that each of the `choices` explains.

    `outcomes` has one row per run and seed. Each choice is a factor with one level per value; with RSS(M) the residual
    sum of squares of the least-squares fit of the additive model of the choices M, and RSS(∅) that of the mean,

        share(c) = (RSS(all but c) − RSS(all)) ÷ RSS(∅),        rest = RSS(all) ÷ RSS(∅),

    the sums of squares of type II. In a balanced grid share(c) is the sum of squares between the values of c ÷ total,
    and the shares and the rest add up to 1. Rows without a finite outcome are left out and counted. A choice with more
    values than half the rows explains them trivially and is left out. The interval is the 2.5 % to 97.5 % quantile of
    999 bootstrap samples, drawn from the rows of each combination of the choices, with a fixed generator.

    None where the outcome does not vary, no choice is left, or the additive model has as many parameters as rows.
    """
    y = _finite_values(outcomes[outcome])
    kept = outcomes[np.isfinite(y)]
    y = y[np.isfinite(y)]
    counts = {name: kept[name].nunique(dropna=False) for name in choices}
    names = [name for name in choices if 1 < counts[name] <= len(y) / 2]
    if not names:
        return None
    codes = np.stack([pd.factorize(kept[name], use_na_sentinel=False)[0] for name in names], axis=1)
    design = _design(codes, y)
    if design.parameters >= len(y) or np.ptp(y) <= 1e-9 * np.abs(y).max():
        return None
    shares, intervals, note = _shares_with_intervals(design)
    notes = [note, *(_too_many(name, counts[name], len(y)) for name in choices if counts[name] > len(y) / 2)]
    by_name = {name: Share(shares[i], intervals[i]) for i, name in enumerate(names)}
    return MainEffects(
        outcome=outcome,
        values=len(y),
        left_out=len(outcomes) - len(y),
        shares=dict(sorted(by_name.items(), key=lambda item: -item[1].value)),
        rest=Share(shares[-1], intervals[-1]),
        inseparable=1.0 - sum(shares),
        note="; ".join(filter(None, notes)),
    )


def _finite_values(column: pd.Series) -> Array:
    return pd.to_numeric(column).to_numpy(dtype="float64", na_value=np.nan)


def _too_many(name: str, count: int, rows: int) -> str:
    return f"{name} left out: {count} values in {rows} runs"


class _Design(NamedTuple):
    """The additive models over the combinations of choices that have runs.

    bases: an orthonormal basis of each model, weighted by √runs, (combinations, parameters): of all choices without the
        first, without the second, …, and last that of all choices.
    samples: the outcomes of each combination less their overall mean.
    """

    bases: list[Array]
    samples: list[Array]

    @property
    def parameters(self) -> int:
        return int(self.bases[-1].shape[1])


def _design(codes: NDArray[np.int64], y: Array) -> _Design:
    """The models of the codes of each row's values, (rows, choices)."""
    combinations, index = np.unique(codes, axis=0, return_inverse=True)
    order = np.argsort(index.ravel(), kind="stable")
    runs = np.bincount(index.ravel())
    samples = np.split((y - y.mean())[order], np.cumsum(runs)[:-1])
    levels = [np.eye(column.max() + 1)[column] for column in combinations.T]
    models = [levels[:i] + levels[i + 1 :] for i in range(len(levels))] + [levels]
    constant = np.ones((len(combinations), 1))
    return _Design([_basis(np.hstack([constant, *model]), np.sqrt(runs)) for model in models], samples)


def _basis(columns: Array, weights: Array) -> Array:
    left, sizes, _ = np.linalg.svd(columns * weights[:, None], full_matrices=False)
    basis: Array = left[:, sizes > 1e-9 * sizes[0]]
    return basis


def _shares_with_intervals(design: _Design) -> tuple[list[float], list[tuple[float, float] | None], str]:
    """The share of each choice and the rest, their intervals, and why there are none."""
    shares = _shares(design, design.samples)
    drawn = [i for i, sample in enumerate(design.samples) if len(sample) > 1]
    if not drawn:
        return shares.tolist(), [None] * len(shares), NO_REPLICATES

    from scipy.stats import bootstrap  # here, as importing it takes most of a second

    def of_resamples(*resampled: Array, axis: int = -1) -> Array:
        samples = list(design.samples)
        for i, sample in zip(drawn, resampled, strict=True):
            samples[i] = np.moveaxis(sample, axis, -1)
        return _shares(design, samples)

    interval = bootstrap(
        [design.samples[i] for i in drawn],
        of_resamples,
        n_resamples=RESAMPLES,
        batch=max(1, 10**7 // sum(map(len, design.samples))),
        vectorized=True,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    fixed = len(design.samples) - len(drawn)
    note = f"{fixed} of {len(design.samples)} combinations have one seed" if fixed else ""
    return shares.tolist(), list(zip(interval.low.tolist(), interval.high.tolist(), strict=True)), note


def _shares(design: _Design, samples: Sequence[Array]) -> Array:
    """The shares of the choices and the rest, (choices + 1, …), of samples of shape (…, runs of the combination)."""
    sizes = np.array([sample.shape[-1] for sample in samples])
    sums = np.stack(np.broadcast_arrays(*(sample.sum(axis=-1) for sample in samples)), axis=-1)
    squares = sum(np.square(sample).sum(axis=-1) for sample in samples)
    explained = [np.square((sums / np.sqrt(sizes)) @ basis).sum(axis=-1) for basis in design.bases]
    total = squares - sums.sum(axis=-1) ** 2 / sizes.sum()
    parts = [explained[-1] - without for without in explained[:-1]] + [squares - explained[-1]]
    with np.errstate(invalid="ignore", divide="ignore"):
        shares: Array = np.clip(np.stack(parts) / total, 0.0, 1.0)  # a share of −1e-17 is rounding
    return shares


def sentence(effects: MainEffects) -> str:
    """`gain: initializer 71 % (65–77), depth 20 % (15–26), rest 9 %`, with what is left out."""
    parts = [f"{name} {_percent(share)}" for name, share in effects.shares.items()]
    if abs(effects.inseparable) >= 0.005:
        parts.append(f"inseparable {100 * effects.inseparable:.0f} %")
    text = f"{effects.outcome}: {', '.join([*parts, f'rest {_percent(effects.rest)}'])}"
    left_out = f"{effects.left_out} of {effects.left_out + effects.values} left out: no finite value"
    notes = [left_out if effects.left_out else "", effects.note]
    return "; ".join(filter(None, [text, *notes]))


def _percent(share: Share) -> str:
    if share.interval is None:
        return f"{100 * share.value:.0f} %"
    return f"{100 * share.value:.0f} % ({100 * share.interval[0]:.0f}–{100 * share.interval[1]:.0f})"
