"""From a recipe to what a step is made of: checked on the host, then built inside the trace."""

from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from gradlab.bounds import LARGEST, bound
from gradlab.data.task import Form, Task, checked, data, labelled
from gradlab.errors import RecipeError
from gradlab.models.chain import Block
from gradlab.models.family import Model, Plan, model
from gradlab.models.fit import fitted
from gradlab.parts import phases, schedules, searches, surfaces  # noqa: F401  all parts are known from here on
from gradlab.parts.activations import activation
from gradlab.parts.clips import Clip, clip
from gradlab.parts.family import Family
from gradlab.parts.initializers import Adjust, initializer
from gradlab.parts.losses import Loss, averaged, loss
from gradlab.parts.normalizations import normalization
from gradlab.parts.optimizers import Optimizer, optimizer
from gradlab.parts.penalties import Penalty, penalty
from gradlab.parts.residuals import residual
from gradlab.parts.schedules import Schedule, schedule
from gradlab.probes.family import Probe, probe
from gradlab.recipe import BOUNDS, Every, Recipe, Stop, flat, plain

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
    values = flat(plain(recipe)) | {"lr_factors": recipe.lr_factors}
    # a mapping in the place of a number is not among the flat values
    given = {key: values.get(key, getattr(recipe, key.partition(".")[0])) for key in BOUNDS}
    roots: dict[str, Any] = {key: bound(kind).check(key, given[key]) for key, kind in BOUNDS.items()}
    if recipe.seed + recipe.seeds > LARGEST:
        raise RecipeError(f"seed={recipe.seed} leaves no room for seeds={recipe.seeds}; give a smaller one")
    parts = {name: family.check(getattr(recipe, name)) for name, family in FAMILIES.items()}
    probes = {name: probe.check(part) for name, part in sorted(recipe.probes.items())}
    every: dict[str, Any] = {key: Every(roots.pop(f"{key}.every")) for key in ("log", "eval")}
    every["stop"] = Stop(roots.pop("stop.patience"), roots.pop("stop.loss"))
    _fits(recipe)
    _surface(parts["model"], parts["loss"])
    checked: dict[str, Any] = {**roots, **parts, **every, "probes": probes}
    return fitted(replace(recipe, **checked))


def _fits(recipe: Recipe) -> None:
    """Refuse root numbers that contradict each other or a part."""
    if recipe.batch_size % recipe.accumulate:
        raise RecipeError(
            f"batch_size={recipe.batch_size} cannot be cut into accumulate={recipe.accumulate} equal parts"
        )
    if recipe.batch_size == 0 and recipe.accumulate > 1:
        raise RecipeError(
            f"accumulate={recipe.accumulate} needs a batch_size that it divides; 0 is all examples"
        )
    if recipe.optimizer["name"] == "gd" and recipe.batch_size:
        raise RecipeError(
            f"optimizer=gd takes all examples at once, got batch_size={recipe.batch_size}; leave it out, "
            "or choose optimizer=sgd"
        )


def _surface(model: dict[str, Any], loss: dict[str, Any]) -> None:
    """A surface is of a point, and a point needs one that has its coordinates."""
    name, least = loss["name"], surfaces.COORDINATES.get(loss["name"], 0)
    if model["name"] != "point":
        if least and ":" not in model["name"]:
            raise RecipeError(f"loss={name} is a surface for model=point, not for model={model['name']}")
        return
    if not least and ":" not in name:
        raise RecipeError(
            f"model=point needs a surface: loss={', '.join(surfaces.COORDINATES)}; got loss={name}"
        )
    if len(model["start"]) < max(1, least):
        raise RecipeError(
            f"loss={name} needs {max(1, least)} or more coordinates; got model.start={model['start']}"
        )


def remarks(recipe: Recipe) -> list[str]:
    """What is allowed and yet odd: parts that are shorter or longer than the run."""
    return schedules.remarks(recipe.schedule, recipe.steps) + phases.remarks(recipe.optimizer, recipe.steps)


def whole(recipe: Recipe, task: Task) -> Recipe:
    """The recipe with batch_size=0 as the number of examples that it stands for."""
    return recipe if recipe.batch_size else replace(recipe, batch_size=len(task.train_y))


def _made(recipe: Recipe) -> Task:
    """What the data's maker gives; a user's own may raise anything."""
    try:
        return data.make(recipe.data)
    except RecipeError:
        raise
    except Exception as error:
        if ":" not in recipe.data["name"]:
            raise
        reason = " ".join(str(error).split())[:200]
        raise RecipeError(f"data={recipe.data['name']} raises {type(error).__name__}: {reason}") from error


def load(recipe: Recipe) -> Task:
    """The recipe's data, on the host; refuses a batch larger than its training part."""
    task = _made(recipe)
    if not isinstance(task, Task):
        raise RecipeError(
            f"data={recipe.data['name']} gives a {type(task).__name__}, not a gradlab.data.task.Task"
        )
    checked(task, recipe.data["name"])
    if not labelled(task.train_y) and recipe.loss["name"] == "cross_entropy":
        raise RecipeError(
            f"data={recipe.data['name']} asks for numbers, and loss=cross_entropy is of labels; choose loss=mse, "
            "l1 or huber"
        )
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
    optimizer: Optimizer
    schedule: Schedule
    lr: Array | float
    lr_factors: list[tuple[str, Array | float]]
    probes: list[Probe]

    def factors(self, lead: dict[str, int], params: dict[str, Array]) -> dict[str, Array]:
        """What multiplies the rate of each parameter, an entry a layer; only where a pattern of `lr_factors` fits.

        A pattern is matched with `hidden 3/linear/kernel`; of several that fit, the last counts.
        """
        found: dict[str, Array] = {}
        for pattern, number in self.lr_factors:
            for path, value in params.items():
                block, _, parameter = path.partition("/")
                many = range(1, value.shape[0] + 1) if lead[path] else [None]
                names = [f"{block}{f' {layer}' if layer else ''}/{parameter}" for layer in many]
                fits = np.array([fnmatchcase(name, pattern) for name in names])
                if fits.any():
                    fits = fits.reshape(-1, *[1] * (value.ndim - 1)) if lead[path] else fits[0]
                    found[path] = jnp.where(fits, number, found.get(path, jnp.ones(())))
        return found


def build(recipe: Recipe, numbers: dict[str, Any], form: Form) -> Setup:
    """The parts of `recipe`, with `numbers` in the place of its floats: called inside the trace."""
    made = {name: _make(FAMILIES[name], recipe, numbers) for name in FAMILIES if name != "data"}
    plan = Plan(
        *form,
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
        _chain(recipe, made["model"], plan),
        made["initializer"].adjust,
        averaged(made["loss"]) if form.each else made["loss"],
        made["penalty"],
        made["clip"],
        made["optimizer"],
        made["schedule"],
        numbers["lr"],
        [(pattern, numbers[f"lr_factors.{pattern}"]) for pattern in recipe.lr_factors],
        [probe.make(part) for part in recipe.probes.values()],
    )


def _chain(recipe: Recipe, model: Model, plan: Plan) -> list[Block]:
    """The network's blocks; what it refuses is told with the names of both."""
    try:
        return model(plan)
    except RecipeError as error:
        raise RecipeError(f"model={recipe.model['name']}, data={recipe.data['name']}: {error}") from None


def _make(family: Family, recipe: Recipe, numbers: dict[str, Any]) -> Any:
    return family.make(_filled(getattr(recipe, family.name), family.name, numbers))


def _filled(value: Any, key: str, numbers: dict[str, Any]) -> Any:
    """A part with `numbers` in the place of its floats, through its lists and mappings."""
    if isinstance(value, dict):
        return {name: _filled(one, f"{key}.{name}", numbers) for name, one in value.items()}
    if isinstance(value, list):
        return [_filled(one, f"{key}.{index}", numbers) for index, one in enumerate(value)]
    return numbers.get(key, value)
