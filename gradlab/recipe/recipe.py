"""A recipe: every choice and every number of a run, typed, bounded, and named by its digest."""

import hashlib
import json
import re
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal

from gradlab.recipe.bounds import Bound, Count, Flag, Many, NonNegative, Positive, Share, Size, Text

Part = dict[str, Any]  # {"name": ..., and the part's own parameters}


@dataclass
class Every:
    """How often something looks: every so many steps."""

    every: int


@dataclass
class Stop:
    """When training ends before its last step: 0 is never."""

    patience: int
    loss: float


@dataclass
class Recipe:
    """What `conf/` and the command line compose; `conf/config.yaml` holds every default."""

    model: Part
    activation: Part
    initializer: Part
    normalization: Part
    residual: Part
    optimizer: Part
    schedule: Part
    clip: Part
    penalty: Part
    loss: Part
    data: Part
    probes: dict[str, Any]
    depth: int
    width: int
    steps: int
    batch_size: int
    accumulate: int
    lr: float
    lr_factors: dict[str, float]
    dropout: float
    seed: int
    seeds: int
    dtype: str
    remat: bool
    log: Every
    eval: Every
    stop: Stop
    on_nonfinite: str
    device: str
    study: str
    outputs: str
    force: bool
    quiet: bool


FAMILIES = (
    "model activation initializer normalization residual optimizer schedule clip penalty loss data".split()
)
BOUNDS: dict[str, Any] = {  # what each root key may be
    "depth": Size,
    "width": Size,
    "steps": Count,
    "batch_size": Count,
    "accumulate": Size,
    "lr": Positive,
    "lr_factors": Annotated[dict, Many(Bound(float, 0), named=True)],
    "dropout": Share,
    "seed": Count,
    "seeds": Size,
    "log.every": Size,
    "eval.every": Size,
    "stop.patience": Count,
    "stop.loss": NonNegative,
    "dtype": Literal["float32", "float64", "bfloat16"],
    "device": Literal["auto", "cpu", "gpu", "tpu"],
    "on_nonfinite": Literal["stop", "continue", "raise"],
    "remat": Flag,
    "force": Flag,
    "quiet": Flag,
    "study": Text,
    "outputs": Text,
}
NOT_IN_DIGEST = frozenset("study outputs device quiet force on_nonfinite".split())  # no part of the digest
STRUCTURAL_FLOATS = ("model.width_mult",)  # floats that decide shapes: structure, not data
UNNAMED_DEFAULTS = {
    "optimizer": "sgd",
    "schedule": "constant",
    "data": "digits",
}  # what a folder's name does not say


def plain(recipe: Recipe) -> dict[str, Any]:
    """The recipe as nested plain values, as `recipe.yaml` holds it."""
    values = {field.name: getattr(recipe, field.name) for field in fields(recipe)}
    return {key: vars(value) if isinstance(value, Every | Stop) else value for key, value in values.items()}


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested values by dotted key: {"clip.threshold": 1.0, ...}."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        inner = isinstance(value, dict)
        found |= flat(value, f"{prefix}{key}.") if inner else {f"{prefix}{key}": value}
    return found


def leaves(values: dict[str, Any]) -> dict[str, Any]:
    """`flat`, and through lists too: {"schedule.milestones.0": 100.0, ...}."""
    found: dict[str, Any] = {}
    for key, value in flat(values).items():
        inner = dict(enumerate(value)) if isinstance(value, list) else None
        found |= {key: value} if inner is None else flat({key: leaves({str(k): v for k, v in inner.items()})})
    return found


def _digest(values: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:8]


def folder_name(recipe: Recipe) -> str:
    """`mlp-d50-tanh-orthogonal-clip_norm-3f9a2c1b`: what a reader wants first, then the digest of all."""
    values = plain(recipe)
    words = [values["model"]["name"], f"d{recipe.depth}"]
    words += [values[group]["name"] for group in ("activation", "initializer")]
    for group in ("normalization", "residual", "optimizer", "schedule", "clip", "penalty", "data"):
        name = values[group]["name"]
        if name != UNNAMED_DEFAULTS.get(group, "none"):
            words.append(f"{group}_{name}")
    kept = {key: value for key, value in values.items() if key not in NOT_IN_DIGEST}
    if recipe.lr_factors:
        kept["lr_factors"] = list(recipe.lr_factors.items())  # their order counts
    label = re.sub(r"[^A-Za-z0-9._-]+", "_", "-".join(words))[:80]
    return f"{label}-{_digest(kept)}"


def named(recipe: Recipe) -> list[tuple[str, str]]:
    """Every part's group and name, those of the optimizers in phases too."""
    found = [(group, str(getattr(recipe, group)["name"])) for group in FAMILIES]
    phases = recipe.optimizer.get("phases", [])
    inner = (
        [one.get("optimizer", "") for one in phases if isinstance(one, dict)]
        if isinstance(phases, list)
        else []
    )
    return found + [("optimizer", str(name)) for name in inner]


def numbers(recipe: Recipe) -> dict[str, float]:
    """Every float of the recipe by dotted key: the part that enters the compiled program as data."""
    found = leaves(plain(recipe)).items()
    return {key: value for key, value in found if type(value) is float and key not in STRUCTURAL_FLOATS}


def structure(recipe: Recipe) -> tuple[tuple[str, Any], ...]:
    """All that is not a number: recipes of equal structure share one compiled program.

    Dropout is there or not there; how much of it is a number. `steps` and `seed` are data, and when to stop
    is asked between chunks.
    """
    loose = {*NOT_IN_DIGEST, "steps", "seed", "stop.patience"}
    kept = {key: value for key, value in leaves(plain(recipe)).items() if key not in loose}
    kept |= {key: None for key in numbers(recipe) if key in kept}
    kept["dropout"] = recipe.dropout > 0
    kept["lr_factors"] = tuple(recipe.lr_factors)  # their order counts
    return tuple(sorted(kept.items()))
