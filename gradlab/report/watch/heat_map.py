"""The backward signal over layers and steps, as characters: the more of a cell is filled, the larger it is."""

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gradlab.report.watch.braille import (
    LEAST_PLOT,
    NOT_FINITE,
    PLAIN_NOT_FINITE,
    ZERO,
    ends,
    ends_line,
    power,
)

SHADES, PLAIN_SHADES = "·░▒▓█", ".:+%@"  # from the smallest to the largest
MOST_STEPS = 512  # that are kept: more than a terminal has columns

Array = NDArray[np.float64]


@dataclass
class History:
    """Profiles of some steps, evenly spaced: each `stride`-th one that was measured.

    layers: those where it was measured, (layers,); steps: (n,), rising; profiles: (n, layers), log10.
    """

    layers: list[int] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    profiles: list[Array] = field(default_factory=list)
    stride: int = 1
    measured: int = 0

    def add(self, layers: NDArray[np.int64], steps: NDArray[np.int64], profiles: Array) -> None:
        """Take the profiles of later steps, (n, layers); those of other layers than before are left out."""
        if len(steps) and not self.layers:
            self.layers = layers.tolist()
        if layers.tolist() != self.layers:
            return
        for step, profile in zip(steps.tolist(), profiles, strict=True):
            if self.measured % self.stride == 0:
                self.steps.append(step)
                self.profiles.append(profile)
            self.measured += 1
            if len(self.steps) > MOST_STEPS:
                self.steps, self.profiles = self.steps[::2], self.profiles[::2]
                self.stride *= 2


def heat_map(history: History, total: int, width: int, height: int, plain: bool = False) -> list[str]:
    """Lines of `width` characters or fewer: the last layer at the top, steps 0 to `total` from left to right.

    A column shows its last measured step, or the one before it; those after the newest step are empty. Below are the
    ends of the steps. A line stands for several layers where there are more than `height`: for the mean of their log10.
    """
    profiles = np.array(history.profiles)
    room = len(str(history.layers[-1]))
    across = max(width - room - 1, LEAST_PLOT)
    columns = _columns(history.steps, max(total, history.steps[-1], 1), across)
    bins = np.array_split(np.arange(len(history.layers)), min(height, len(history.layers)))[::-1]
    low, high = ends(profiles)
    bar, shades = ("|", PLAIN_SHADES) if plain else ("│", SHADES)
    not_finite = PLAIN_NOT_FINITE if plain else NOT_FINITE
    lines = []
    for index, inside in enumerate(bins):
        label = {len(bins) - 1: str(history.layers[0]), 0: str(history.layers[-1])}.get(index, "")
        cells = [_cell(profiles[row, inside], low, high, shades, not_finite) for row in columns]
        lines.append(f"{label:>{room}}{bar}{''.join(cells)}")
    return [*lines, " " * (room + 1) + ends_line("0", str(total), across)]


def scale(history: History, plain: bool = False) -> str:
    """What the characters stand for: `· 1e-19 ░▒▓ █ 1e+1`, and those of a zero or a NaN where there is one."""
    profiles = np.array(history.profiles)
    low, high = ends(profiles)
    shades = PLAIN_SHADES if plain else SHADES
    words = [f"{shades[0]} {power(low)} {shades[1:-1]} {shades[-1]} {power(high)}"]
    words += [f"{ZERO} exactly zero"] if (profiles == -math.inf).any() else []
    if (~np.isfinite(profiles) & (profiles != -math.inf)).any():
        words.append(f"{PLAIN_NOT_FINITE if plain else NOT_FINITE} not finite")
    return ", ".join(words)


def _columns(steps: list[int], total: int, columns: int) -> list[int]:
    """For each column up to that of the newest step the index of the profile that it shows."""
    places = np.minimum(np.array(steps) * columns // total, columns - 1)
    shown = np.searchsorted(places, np.arange(places[-1] + 1), side="right") - 1
    return [int(max(index, 0)) for index in shown]


def _cell(log10: Array, low: int, high: int, shades: str, not_finite: str) -> str:
    """The character of some layers at one step, (layers,)."""
    if (np.isnan(log10) | (log10 == math.inf)).any():
        return not_finite
    if (log10 == -math.inf).any():
        return ZERO
    level = (float(log10.mean()) - low) / (high - low) * len(shades)
    return shades[min(int(level), len(shades) - 1)]
