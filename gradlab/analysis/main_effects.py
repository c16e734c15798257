"""Main effects: what share of the differences between runs each choice explains, with intervals over seeds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

RESAMPLES = 999
ONE_SEED = "no interval: one seed"
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

    `outcomes` has one row per run and seed, and a column `seed` if there are several. Each choice is a factor with one
    level per value. With RSS(M) the residual sum of squares of the least-squares fit of the additive model of the
    choices M, and RSS(∅) that of the mean,

        share(c) = (RSS(all but c) − RSS(all)) ÷ RSS(∅),        rest = RSS(all) ÷ RSS(∅),

    the sums of squares of type II. In a balanced grid share(c) is the sum of squares between the values of c ÷ total,
    and the shares and the rest add up to 1. Rows without a finite outcome are left out and counted. A choice with more
    values than half the rows explains them trivially and is left out. The interval is the 2.5 % to 97.5 % quantile of
    999 bootstrap samples of the seeds, with a fixed generator: all rows of a seed are drawn together, as runs of one
    seed share their random numbers.

    None where the outcome does not vary, no choice is left, or the additive model has as many parameters as rows.
    """
    y = _finite_values(outcomes[outcome])
    kept = outcomes[np.isfinite(y)]
    y = y[np.isfinite(y)]
    counts = {name: kept[name].nunique(dropna=False) for name in choices}
    names = [name for name in choices if 1 < counts[name] <= len(y) / 2]
    if not names:
        return None
    design = np.hstack([np.ones((len(y), 1)), *(_levels(kept[name]) for name in names)])
    if np.linalg.matrix_rank(design) >= len(y) or np.ptp(y) <= 1e-9 * np.abs(y).max():
        return None
    seeds = (
        pd.factorize(kept["seed"], use_na_sentinel=False)[0]
        if "seed" in kept
        else np.zeros(len(y), dtype=int)
    )
    moments = _moments(design, y - y.mean(), seeds)
    models = _models([counts[name] for name in names])
    shares = _shares(moments, models, np.ones((1, len(moments.rows))))[:, 0].tolist()
    intervals = _intervals(moments, models)
    notes = [
        "" if intervals[-1] else ONE_SEED,
        *(_too_many(name, counts[name], len(y)) for name in choices if counts[name] > len(y) / 2),
    ]
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


def _levels(column: pd.Series) -> Array:
    """A column of zeros and ones for each value; null is one of them."""
    codes, values = pd.factorize(column, use_na_sentinel=False)
    dummies: Array = np.eye(len(values))[codes]
    return dummies


class _Moments(NamedTuple):
    """What least squares needs of the rows of each seed: the sums below, of design X and outcomes y."""

    rows: Array  # (seeds,)
    xx: Array  # XᵀX, (seeds, parameters, parameters)
    xy: Array  # Xᵀy, (seeds, parameters)
    y: Array  # Σy, (seeds,)
    yy: Array  # Σy², (seeds,)


def _moments(design: Array, y: Array, seeds: NDArray[np.int64]) -> _Moments:
    parts = [(design[seeds == seed], y[seeds == seed]) for seed in range(seeds.max() + 1)]
    return _Moments(
        rows=np.array([len(own) for _, own in parts], dtype=float),
        xx=np.stack([x.T @ x for x, _ in parts]),
        xy=np.stack([x.T @ own for x, own in parts]),
        y=np.array([own.sum() for _, own in parts]),
        yy=np.array([own @ own for _, own in parts]),
    )


def _models(counts: Sequence[int]) -> list[NDArray[np.int64]]:
    """The parameters of each additive model, the mean first: of all choices without one after the other, and of all."""
    ends = 1 + np.cumsum(counts)
    every = np.arange(ends[-1])
    without = [np.r_[every[: end - count], every[end:]] for end, count in zip(ends, counts, strict=True)]
    return [*without, every]


def _shares(moments: _Moments, models: list[NDArray[np.int64]], weights: Array) -> Array:
    """The shares of the choices and the rest, (choices + 1, draws), each seed counted by `weights`, (draws, seeds)."""
    rows, xx, xy, y, yy = (np.tensordot(weights, part, axes=1) for part in moments)
    explained = []
    for model in models:
        inverse = np.linalg.pinv(xx[:, model[:, None], model], rcond=1e-9, hermitian=True)
        explained.append(np.einsum("di,dij,dj->d", xy[:, model], inverse, xy[:, model]))
    parts = np.stack([explained[-1] - without for without in explained[:-1]] + [yy - explained[-1]])
    total = yy - y**2 / rows
    varies = total > 1e-12 * moments.yy.sum()
    parts = np.where(varies, parts, 0.0) / np.where(varies, total, 1.0)
    parts[-1, ~varies] = 1.0  # of rows without a difference, the choices explain none
    shares: Array = np.clip(parts, 0.0, 1.0)  # a share of −1e-17 is rounding
    return shares


def _intervals(moments: _Moments, models: list[NDArray[np.int64]]) -> list[tuple[float, float] | None]:
    """The interval of each share and the rest, over seeds; None of one seed."""
    seeds = len(moments.rows)
    if seeds < 2:
        return [None] * len(models)
    from scipy.stats import bootstrap  # here, as importing it takes most of a second

    def of_draws(draws: NDArray[np.int64], axis: int = -1) -> Array:
        """The shares of draws of seeds, (…, seeds): few seeds have few different draws."""
        counts = (np.moveaxis(draws, axis, -1)[..., None] == np.arange(seeds)).sum(axis=-2)
        different, index = np.unique(counts.reshape(-1, seeds), axis=0, return_inverse=True)
        shares = _shares(moments, models, different.astype(float))[:, index.ravel()]
        return shares.reshape(len(models), *counts.shape[:-1])

    interval = bootstrap(
        (np.arange(seeds),),
        of_draws,
        n_resamples=RESAMPLES,
        vectorized=True,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return list(zip(interval.low.tolist(), interval.high.tolist(), strict=True))


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
