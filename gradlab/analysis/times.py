"""How the backward signal changes from time step to time step of a recurrent network."""

from typing import Any

import numpy as np
import pandas as pd

from gradlab.analysis.gain import t_interval
from gradlab.analysis.selection import values
from gradlab.analysis.signal import FAR
from gradlab.analysis.wording import factors, signed

REACH = 2.0  # decades that a signal may lose before it no longer reaches a step


def times(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """The verdict over time of each layer, of rows of one step of training and one source.

    D_t = log10 ‖∂L/∂h_t‖ − log10 ‖∂L/∂h_T‖, the mean over seeds. *vanishing* if D_1 < log10(1/20), *exploding* if
    D_1 > log10(20), *cut* where it is an exact zero, else *flowing*; gain is 10^(−slope) of a step back, the mean
    of D's differences where they are finite; reach is how many steps back D stays above −2.
    """
    return [
        _layer(layer, rows[(rows.layer == layer).to_numpy()]) for layer in sorted(set(rows.layer.tolist()))
    ]


def _layer(layer: int, rows: pd.DataFrame) -> dict[str, Any]:
    table = rows.assign(found=values(rows.log10_backward)).pivot(index="seed", columns="time", values="found")
    profile = table.to_numpy()
    with np.errstate(invalid="ignore"):  # −inf less −inf: nothing arrives anywhere
        lost = profile - profile[:, -1:]
        steps = np.diff(lost, axis=1)
    finite = lost[np.isfinite(lost).all(axis=1)]
    steps = steps[np.isfinite(steps)]
    gain, half = t_interval(-steps) if steps.size else (np.nan, 0.0)
    decades = float(finite[:, 0].mean()) if len(finite) else None
    found = {
        "layer": layer,
        "name": str(rows.name.iloc[0]),
        "times": profile.shape[1],
        "verdict": _verdict(decades, profile),
        "decades": decades,
        "gain": float(10.0**gain) if np.isfinite(gain) else None,
        "gain_interval": [float(10.0 ** (gain - half)), float(10.0 ** (gain + half))]
        if steps.size > 1
        else None,
        "reach": _reach(lost),
    }
    return found | {"sentence": _sentence(found)}


def _verdict(decades: float | None, profile: np.ndarray) -> str:
    if decades is None:
        return "cut" if (profile == -np.inf).any() else "non-finite"
    return "vanishing" if decades < -FAR else "exploding" if decades > FAR else "flowing"


def _reach(lost: np.ndarray) -> int:
    """Steps back from the last one, in the mean over seeds, before the signal is a hundred times smaller."""
    found = []
    for each in lost[:, ::-1]:
        weak = np.flatnonzero(~(each >= -REACH))
        found.append(int(weak[0]) - 1 if weak.size else each.size - 1)
    return max(0, round(float(np.mean(found))))


def _sentence(found: dict[str, Any]) -> str:
    """vanishing: −7.2 decades from time 150 back to time 1, gain 0.89 a step; the last 41 steps are reached."""
    last = found["times"]
    if found["decades"] is None:
        return f"{found['verdict']}: the signal reaches the last {found['reach']} of {last} steps"
    gain = factors(found["gain_interval"] and tuple(found["gain_interval"]), found["gain"])[0]
    told = f"{found['verdict']}: {signed(found['decades'])} decades from time {last} back to time 1, gain {gain} a step"
    reach = (
        f"; it falls to a hundredth within {found['reach'] + 1} steps" if found["reach"] < last - 1 else ""
    )
    return told + reach
