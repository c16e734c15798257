"""What a run's clip bounds, and which steps were dropped, known without JAX from its recipe and its rows."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from gradlab.analysis.arrays import Rows

# What these give the optimizer has an L2 norm of at most clip.threshold, or the step is dropped. All others bound
# something else: entries, the norms of groups, or a norm by a limit that the recipe does not hold.
NORM_BOUNDING = frozenset({"norm", "normalize", "skip", "per_example"})
# What these give is no longer than what they are given, so that a bound of a clip before them still holds.
SHORTENING = NORM_BOUNDING - {"normalize"} | set("value zero layer_norm tensor_norm block_rms agc".split())
UNKNOWN: Mapping[str, Any] = {"name": ""}  # the clip of a run that gradlab has not trained
# clips that change each gradient by definition, or nearly each: of many examples one is above the threshold
ALWAYS_ACT = frozenset({"normalize", "per_example"})


def links(clip: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The clips of a chain by their names; one clip by itself has no name."""
    clips = clip.get("clips") if clip["name"] == "chain" else None
    return dict(clips) if isinstance(clips, dict) else {"": clip}


def norm_threshold(clip: Mapping[str, Any]) -> float | None:
    """The largest L2 norm of the whole gradient (or update: clip.where) behind the clip, None where it has no bound.

    `clip` is the recipe's part, {"name": "norm", "threshold": 1.0, "p": 2.0, …}; with another p than 2 a clip bounds
    another norm than the recorded one, with thresholds by pattern those of groups, and a warm-up changes the bound.
    """
    lowest = None
    for link in links(clip).values():
        threshold = _threshold(link)
        if link["name"] not in SHORTENING:
            lowest = threshold
        elif threshold is not None:
            lowest = threshold if lowest is None else min(lowest, threshold)
    return lowest


def _threshold(clip: Mapping[str, Any]) -> float | None:
    bounds_norm = clip["name"] in NORM_BOUNDING and float(clip.get("p", 2.0)) == 2.0
    is_fixed = not clip.get("thresholds") and not clip.get("warmup")
    # that of a foreign run may not be known
    return float(clip["threshold"]) if bounds_norm and is_fixed and "threshold" in clip else None


def drops(clip: Mapping[str, Any]) -> bool:
    """Whether the clip may drop a whole step; then `clipped` is 1 in the row of a step that it dropped, else below."""
    return any(link["name"] == "skip" or bool(link.get("skip", False)) for link in links(clip).values())


def may_drop(recipe: Mapping[str, Any]) -> bool:
    """Whether the clip or loss scaling, which recipes of earlier versions do not have, may drop a whole step."""
    return drops(recipe["clip"]) or recipe.get("loss_scale", {}).get("kind") == "dynamic"


def patience(clip: Mapping[str, Any]) -> int:
    """After how many dropped updates in a row the run ends, 0: never; of a chain the smallest of its clips."""
    return min((int(link["patience"]) for link in links(clip).values() if link.get("patience")), default=0)


def always_acts(clip: Mapping[str, Any]) -> bool:
    """Whether it is no news that the clip acts at every step."""
    return any(link["name"] in ALWAYS_ACT for link in links(clip).values())


def clip_columns(clip: Mapping[str, Any]) -> dict[str, str]:
    """The column of each clip of a chain in the table of steps, by the clip's name."""
    return {name: f"clipped_{name}" for name in links(clip) if name}


def overflowed(steps: Rows) -> np.ndarray:
    """The steps that loss scaling dropped because their gradient was not finite, (rows,)."""
    flags: np.ndarray = steps["overflowed"] == 1 if "overflowed" in steps else np.zeros(len(steps), bool)
    return flags


def dropped(steps: Rows, clip: Mapping[str, Any]) -> np.ndarray:
    """The steps that the clip or loss scaling dropped, (rows,)."""
    by_clip = drops(clip) and "clipped" in steps
    return overflowed(steps) | (steps["clipped"] == 1) if by_clip else overflowed(steps)
