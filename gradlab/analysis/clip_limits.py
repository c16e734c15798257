"""Which clips bound the norm that a run records, and which steps were dropped: reading a run needs no JAX."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from gradlab.analysis.arrays import Rows

# What these give the optimizer has an L2 norm of at most clip.threshold, or the step is dropped. All others bound
# something else: entries, the norms of groups, or a norm by a limit that the recipe does not hold.
NORM_BOUNDING = frozenset({"norm", "normalize", "skip"})


def norm_threshold(clip: Mapping[str, Any]) -> float | None:
    """clip.threshold where it bounds the L2 norm of the whole gradient (or update: clip.where), else None.

    `clip` is the recipe's part, {"name": "norm", "threshold": 1.0, "p": 2.0, …}; with another p than 2 a clip bounds
    another norm than the recorded one.
    """
    bounds_norm = clip["name"] in NORM_BOUNDING and float(clip.get("p", 2.0)) == 2.0
    return float(clip["threshold"]) if bounds_norm else None


def drops(clip: Mapping[str, Any]) -> bool:
    """Whether the clip may drop a whole step; then `clipped` is 1 in the row of a step that it dropped, else 0."""
    return clip["name"] == "skip" or bool(clip.get("skip", False))


def overflowed(steps: Rows) -> np.ndarray:
    """The steps that loss scaling dropped because their gradient was not finite, (rows,)."""
    flags: np.ndarray = steps["overflowed"] == 1 if "overflowed" in steps else np.zeros(len(steps), bool)
    return flags


def dropped(steps: Rows, clip: Mapping[str, Any]) -> np.ndarray:
    """The steps that the clip or loss scaling dropped, (rows,)."""
    by_clip = drops(clip) and "clipped" in steps
    return overflowed(steps) | (steps["clipped"] == 1) if by_clip else overflowed(steps)
