"""From a recipe to what a step is made of: checked on the host, then built inside the trace."""

from dataclasses import replace
from typing import Any, NamedTuple

import jax.numpy as jnp
import optax
from jax import Array

from gradlab.bounds import LARGEST, bound
from gradlab.data.task import Task, data
from gradlab.errors import RecipeError
from gradlab.models.chain import Block
from gradlab.models.family import Plan, model
from gradlab.parts.activations import activation
from gradlab.parts.clips import Clip, clip
from gradlab.parts.family import Family
from gradlab.parts.initializers import Adjust, initializer
from gradlab.parts.losses import Loss, loss
from gradlab.parts.normalizations import normalization
from gradlab.parts.optimizers import optimizer
from gradlab.parts.penalties import Penalty, penalty
from gradlab.parts.residuals import residual
from gradlab.parts.schedules import Schedule, schedule
from gradlab.probes.family import Probe, probe
from gradlab.recipe import BOUNDS, Every, Recipe, flat, plain

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        model,
        activation,
        initializer,
        normalization,
        residual,
        optimizer,
        schedule,
        clip,
        penalty,
        loss,
        data,
    )
}


def check(recipe: Recipe) -> Recipe:
    """The recipe with every value of its kind and within its bounds, or a RecipeError told to a person."""
    values = flat(plain(recipe))
    roots: dict[str, Any] = {key: bound(kind).check(key, values[key]) for key, kind in BOUNDS.items()}
    if recipe.seed + recipe.seeds > LARGEST:
        raise RecipeError(f"seed={recipe.seed} leaves no room for seeds={recipe.seeds}; give a smaller one")
    parts = {name: family.check(getattr(recipe, name)) for name, family in FAMILIES.items()}
    probes = {name: probe.check(part) for name, part in sorted(recipe.probes.items())}
    every = {key: Every(roots.pop(f"{key}.every")) for key in ("log", "eval")}
    checked: dict[str, Any] = {**roots, **parts, **every, "probes": probes}
    return replace(recipe, **checked)


def load(recipe: Recipe) -> Task:
    """The recipe's data, on the host; refuses a batch larger than its training part."""
    task: Task = data.make(recipe.data)
    if recipe.batch_size > len(task.train_y):
        raise RecipeError(
            f"batch_size={recipe.batch_size} is larger than the training part of {recipe.data['name']}, "
            f"{len(task.train_y)} examples; give at most that"
        )
    return task


class Setup(NamedTuple):
    """All that a step needs; numbers inside may be traced."""

    chain: list[Block]
    adjust: Adjust | None
    loss: Loss
    penalty: Penalty | None
    clip: Clip
    optimizer: optax.GradientTransformation
    schedule: Schedule
    lr: Array | float
    probes: list[Probe]


def build(recipe: Recipe, numbers: dict[str, Any], features: int, classes: int) -> Setup:
    """The parts of `recipe`, with `numbers` in the place of its floats: called inside the trace."""
    made = {name: _make(FAMILIES[name], recipe, numbers) for name in FAMILIES if name != "data"}
    plan = Plan(
        features,
        classes,
        recipe.depth,
        recipe.width,
        made["activation"],
        made["initializer"],
        made["normalization"],
        made["residual"],
        numbers["dropout"] if recipe.dropout > 0 else None,
        jnp.dtype(recipe.dtype),
    )
    return Setup(
        made["model"](plan),
        made["initializer"].adjust,
        made["loss"],
        made["penalty"],
        made["clip"],
        made["optimizer"],
        made["schedule"],
        numbers["lr"],
        [probe.make(part) for part in recipe.probes.values()],
    )


def _make(family: Family, recipe: Recipe, numbers: dict[str, Any]) -> Any:
    part = getattr(recipe, family.name)
    return family.make({key: numbers.get(f"{family.name}.{key}", value) for key, value in part.items()})
