"""How the backward signal of a recurrent network changes from time step to time step."""

from dataclasses import replace

import numpy as np
import pandas as pd

from gradlab.analysis import sentences
from gradlab.analysis.gain import VERDICT_DECADES, t_interval
from gradlab.analysis.results import TimeVerdict
from gradlab.analysis.selection import to_float64

REACH = 2.0  # decades: a time step with a signal smaller by more than this is not reached


def time_verdicts(rows: pd.DataFrame) -> list[TimeVerdict]:
    """The verdict over time of each layer, of rows of one training step and one source.

    D_t = log10 ‖∂L/∂h_t‖ − log10 ‖∂L/∂h_T‖, the mean over seeds. *vanishing* if D_1 < log10(1/20), *exploding* if
    D_1 > log10(20), *cut* where it is an exact zero, else *flowing*; gain is 10^(−slope) per time step back, the mean
    of D's differences where they are finite; reach is over how many time steps back D stays above −2.
    """
    return [
        _layer_verdict(layer, rows[(rows.layer == layer).to_numpy()])
        for layer in sorted(set(rows.layer.tolist()))
    ]


def _layer_verdict(layer: int, rows: pd.DataFrame) -> TimeVerdict:
    signals = rows.assign(signal=to_float64(rows.log10_backward))
    profile = signals.pivot(index="seed", columns="time", values="signal").to_numpy()  # (seeds, times)
    with np.errstate(invalid="ignore"):  # −inf less −inf: the signal reaches no time step
        change = profile - profile[:, -1:]
        differences = np.diff(change, axis=1)
    finite = change[np.isfinite(change).all(axis=1)]
    differences = differences[np.isfinite(differences)]
    log_gain, half = t_interval(-differences) if differences.size else (np.nan, 0.0)
    decades = float(finite[:, 0].mean()) if len(finite) else None
    interval = float(10.0 ** (log_gain - half)), float(10.0 ** (log_gain + half))
    result = TimeVerdict(
        layer=layer,
        name=str(rows.name.iloc[0]),
        times=profile.shape[1],
        verdict=_verdict(decades, profile),
        decades=decades,
        gain=float(10.0**log_gain) if np.isfinite(log_gain) else None,
        gain_interval=interval if differences.size > 1 else None,
        reach=_reach(change),
    )
    return replace(result, sentence=sentences.over_time(result))


def _verdict(decades: float | None, profile: np.ndarray) -> str:
    if decades is None:
        return "cut" if (profile == -np.inf).any() else "undefined"
    if decades < -VERDICT_DECADES:
        return "vanishing"
    return "exploding" if decades > VERDICT_DECADES else "flowing"


def _reach(change: np.ndarray) -> int:
    """Time steps back from the last one, in the mean over seeds, before the signal is a hundred times smaller."""
    steps_back = []
    for seed_change in change[:, ::-1]:
        weak = np.flatnonzero(~(seed_change >= -REACH))
        steps_back.append(int(weak[0]) - 1 if weak.size else seed_change.size - 1)
    return max(0, round(float(np.mean(steps_back))))
