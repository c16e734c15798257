"""A recipe: every choice and every number of a run, typed, bounded, and named by its digest."""

import hashlib
import json
import re
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal

from gradlab.recipe.bounds import (
    Bound,
    Count,
    Depth,
    Flag,
    Many,
    NonNegative,
    Positive,
    Share,
    Size,
    Text,
    Widths,
    bound,
)

Part = dict[str, Any]  # {"name": ..., and the parameters of that option}


@dataclass(frozen=True)
class Every:
    """How often something is measured: every `every` steps."""

    every: int


@dataclass(frozen=True)
class Stop:
    """When training ends before its last step; 0 switches a rule off."""

    patience: int
    loss: float
    tolerance: float = 0.0
    on: tuple[str, ...] = ()


@dataclass(frozen=True)
class LossScale:
    """What multiplies the loss before back-propagation: nothing, `value`, or a scale that begins there and adapts."""

    kind: str
    value: float
    growth_interval: int


# the keys of a recipe that have keys of their own
NESTED = {"log": Every, "eval": Every, "stop": Stop, "loss_scale": LossScale}


@dataclass(frozen=True)
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
    probes: dict[str, Part]
    snapshots: dict[str, Part]
    depth: int
    width: int | tuple[int, ...]  # of all layers, or of the input block and each hidden block of an mlp
    steps: int
    batch_size: int
    accumulate: int
    lr: float
    lr_factors: dict[str, float]
    freeze: tuple[str, ...]
    dropout: float
    dropout_kind: str
    seed: int
    seeds: int
    dtype: str
    loss_scale: LossScale
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
STOP_WORDS = ("vanishing", "exploding", "diverged")  # the verdicts that may end a run
# groups of which a recipe has several options: group -> field
LISTED = {"probe": "probes", "snapshot": "snapshots"}
BOUNDS: dict[str, Any] = {  # the annotation that declares what each root key may be
    "depth": Depth,
    "width": Widths,
    "steps": Count,
    "batch_size": Count,
    "accumulate": Size,
    "lr": Positive,
    "lr_factors": Annotated[dict[str, float], Many(Bound(float, 0), named=True)],
    "freeze": Annotated[list[str], Many(Bound(str))],
    "dropout": Share,
    "dropout_kind": Literal["plain", "alpha"],
    "seed": Count,
    "seeds": Size,
    "log.every": Size,
    "eval.every": Size,
    "stop.patience": Count,
    "stop.loss": NonNegative,
    "stop.tolerance": NonNegative,
    "stop.on": Annotated[list[str], Many(Bound(str, among=STOP_WORDS))],
    "dtype": Literal["float32", "float64", "bfloat16", "float16"],
    "loss_scale.kind": Literal["none", "static", "dynamic"],
    "loss_scale.value": Positive,
    "loss_scale.growth_interval": Size,
    "device": Literal["auto", "cpu", "gpu", "tpu"],
    "on_nonfinite": Literal["stop", "continue", "raise"],
    "remat": Flag,
    "force": Flag,
    "quiet": Flag,
    "study": Text,
    "outputs": Text,
}
LIMITS = {key: bound(annotation) for key, annotation in BOUNDS.items()}
_NO_LOSS_SCALE = {"kind": "none", "value": 32768.0, "growth_interval": 2000}
# keys that came later: at these values they are not part of the digest
LATER_DEFAULTS = {
    "snapshots": {"recurrent_spectrum": {"name": "recurrent_spectrum"}},
    "on_nonfinite": "stop",
    "probes.rank": {"name": "rank", "every": 50},
    "probes.update_ratio": {"name": "update_ratio"},
    "freeze": [],
    "stop.tolerance": 0.0,
    "stop.on": [],
    "clip.patience": 0,
    "clip.thresholds": {},
    "clip.warmup": 0.0,
    "clip.warmup_from": 10.0,
    "dropout_kind": "plain",
    "initializer.low": "auto",
    "initializer.high": "auto",
    "loss_scale": _NO_LOSS_SCALE,
    **{f"loss_scale.{key}": value for key, value in _NO_LOSS_SCALE.items()},
}
NOT_IN_DIGEST = frozenset("study outputs device quiet force".split())  # they change no stored number
# what a part means: one that computes other numbers than before gets the next number, and its recipes another digest
MEANINGS = {("schedule", "linear"): 2, ("schedule", "polynomial"): 2, ("schedule", "cosine"): 2}
STRUCTURAL_FLOATS = ("model.width_mult",)  # floats that decide shapes: structure, not data
# options that the name of a run's folder leaves out
UNNAMED_DEFAULTS = {"optimizer": "sgd", "schedule": "constant", "data": "digits"}


def is_import_path(name: str) -> bool:
    """Whether an option's name is that of a user-defined `package.module:function`."""
    return ":" in name


def widest(recipe: Recipe) -> int:
    """The units of the widest layer."""
    return recipe.width if isinstance(recipe.width, int) else max(recipe.width)


def plain(recipe: Recipe) -> dict[str, Any]:
    """The recipe as nested plain values, as `recipe.yaml` holds it."""
    values = {field.name: getattr(recipe, field.name) for field in fields(recipe)}
    values |= {key: vars(values[key]) for key in NESTED}
    values |= {"freeze": list(recipe.freeze), "stop": values["stop"] | {"on": list(recipe.stop.on)}}
    return values | ({"width": list(recipe.width)} if isinstance(recipe.width, tuple) else {})


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested values by dotted key: {"clip.threshold": 1.0, ...}."""
    by_key: dict[str, Any] = {}
    for key, value in values.items():
        nested = isinstance(value, dict)
        by_key |= flat(value, f"{prefix}{key}.") if nested else {f"{prefix}{key}": value}
    return by_key


def leaves(values: dict[str, Any]) -> dict[str, Any]:
    """Nested values by dotted key, as `flat`, and entries of lists too: {"schedule.milestones.0": 100.0, ...}."""
    by_key: dict[str, Any] = {}
    for key, value in flat(values).items():
        if isinstance(value, list):
            entries = {str(index): entry for index, entry in enumerate(value)}
            by_key |= flat({key: leaves(entries)})
        else:
            by_key[key] = value
    return by_key


def _digest(values: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:8]


def changed_meanings(recipe: Recipe) -> dict[str, int]:
    """The parts of the recipe that compute other numbers than in an earlier version: {"schedule=linear": 2}."""
    chosen = {f"{group}={name}": MEANINGS.get((group, name)) for group, name in named(recipe)}
    return {part: meaning for part, meaning in chosen.items() if meaning}


def folder_name(recipe: Recipe, before: bool = False) -> str:
    """`mlp-d50-tanh-orthogonal-clip_norm-3f9a2c1b`: the choices that a reader looks for, then the digest.

    `before`: the name that it had before any part's meaning changed.
    """
    values = plain(recipe)
    words = [values["model"]["name"], f"d{recipe.depth}"]
    if not is_import_path(recipe.model["name"]):  # a network of one's own may have others
        words += [values[group]["name"] for group in ("activation", "initializer")]
    for group in ("normalization", "residual", "optimizer", "schedule", "clip", "penalty", "data"):
        name = option_label(values[group])
        if name != UNNAMED_DEFAULTS.get(group, "none"):
            words.append(f"{group}_{name}")
    kept = {key: value for key, value in without_later_defaults(values).items() if key not in NOT_IN_DIGEST}
    kept["clip"] = _in_order(kept["clip"])
    if recipe.lr_factors:
        kept["lr_factors"] = list(recipe.lr_factors.items())  # their order counts
    if (meanings := changed_meanings(recipe)) and not before:
        kept["meanings"] = meanings
    label = re.sub(r"[^A-Za-z0-9._-]+", "_", "-".join(words))[:80]
    return f"{label}-{_digest(kept)}"


def option_label(part: Part) -> str:
    """The name of a part's option; of a chain of clips the names of its clips: `tensor_norm,norm`."""
    clips = part.get("clips") if part["name"] == "chain" else None
    return ",".join(map(str, clips)) if isinstance(clips, dict) else str(part["name"])


def _in_order(clip: Part) -> Part:
    """The clip with lists in the place of mappings whose order counts: the clips of a chain, thresholds by pattern."""
    return {
        key: [(name, _in_order(entry) if isinstance(entry, dict) else entry) for name, entry in value.items()]
        if isinstance(value, dict)
        else value
        for key, value in clip.items()
    }


def without_later_defaults(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested values without the keys that came later, where they have their defaults."""
    kept = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        if name not in LATER_DEFAULTS or value != LATER_DEFAULTS[name]:
            kept[key] = without_later_defaults(value, f"{name}.") if isinstance(value, dict) else value
    return kept


def named(recipe: Recipe) -> list[tuple[str, str]]:
    """(group, name) of every part, probe and snapshot, of every clip of a chain and every optimizer of phases."""
    names = [(group, str(getattr(recipe, group)["name"])) for group in FAMILIES]
    for group, field in LISTED.items():
        names += [(group, str(part["name"])) for part in getattr(recipe, field).values()]
    clips = recipe.clip.get("clips", {})
    if isinstance(clips, dict):
        names += [("clip", str(clip.get("name", ""))) for clip in clips.values() if isinstance(clip, dict)]
    phases = recipe.optimizer.get("phases", [])
    if not isinstance(phases, list):
        return names
    return names + [
        ("optimizer", str(phase.get("optimizer", ""))) for phase in phases if isinstance(phase, dict)
    ]


def numbers(recipe: Recipe) -> dict[str, float]:
    """Every float of the recipe by dotted key: what enters the compiled program as data."""
    return {
        key: value
        for key, value in leaves(plain(recipe)).items()
        if type(value) is float and key not in STRUCTURAL_FLOATS
    }


def _is_patience(key: str) -> bool:
    return key.startswith("clip.") and key.endswith(".patience")


def structure(recipe: Recipe) -> tuple[tuple[str, Any], ...]:
    """Sorted (key, value) of all that is not a number: recipes of equal structure share one compiled program.

    Whether there is dropout is structure, its rate is a number. `steps` and `seed` are data, and whether to stop
    is decided between chunks.
    """
    not_structure = {*NOT_IN_DIGEST, "on_nonfinite", "steps", "seed", "stop.patience"}
    # a snapshot's program does not know how often it is run
    values = plain(recipe)
    values["snapshots"] = {
        key: {name: value for name, value in part.items() if name != "every"}
        for key, part in recipe.snapshots.items()
    }
    kept = {key: value for key, value in leaves(values).items() if key not in not_structure}
    kept = {key: value for key, value in kept.items() if not key.startswith("stop.on")}
    kept = {key: value for key, value in kept.items() if not _is_patience(key)}
    kept |= {key: None for key in numbers(recipe) if key in kept}
    kept["dropout"] = recipe.dropout > 0
    kept["lr_factors"] = tuple(recipe.lr_factors)  # their order counts
    clip_keys = [key for key in flat({"clip": recipe.clip}) if not _is_patience(key)]
    kept["clip.name"] = (recipe.clip["name"], *clip_keys)  # the order of clips and of patterns counts too
    return tuple(sorted(kept.items()))
