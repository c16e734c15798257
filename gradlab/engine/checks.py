"""A recipe checked on the host, before anything is built: every value, and every part against the others."""

import math
from dataclasses import fields, replace
from typing import Any

import numpy as np

from gradlab.engine.compatibility import checked_combination
from gradlab.engine.families import FAMILIES
from gradlab.measurements.probe import probe
from gradlab.measurements.snapshot import snapshot
from gradlab.parts import schedules
from gradlab.parts.family import Family
from gradlab.parts.losses import surfaces
from gradlab.parts.optimizers import phases
from gradlab.recipe.bounds import LARGEST
from gradlab.recipe.errors import RecipeError
from gradlab.recipe.recipe import (
    LIMITS,
    LISTED,
    NESTED,
    LossScale,
    Recipe,
    Stop,
    is_import_path,
    numbers,
    plain,
)


def check(recipe: Recipe) -> Recipe:
    """The recipe with every value of its type and within its bounds, and numbers that follow from others filled in.

    Raises:
        RecipeError: naming the key, the value and what is possible.
    """
    values = plain(recipe)
    top_level: dict[str, Any] = {key: limit.check(key, _value(values, key)) for key, limit in LIMITS.items()}
    if recipe.seed + recipe.seeds > LARGEST:
        raise RecipeError(f"seed={recipe.seed} leaves no room for seeds={recipe.seeds}; give a smaller one")
    parts = {name: family.check(getattr(recipe, name)) for name, family in FAMILIES.items()}
    listed = {LISTED[family.name]: _checked_list(recipe, family) for family in (probe, snapshot)}
    nested: dict[str, Any] = {
        key: kind(**{field.name: top_level.pop(f"{key}.{field.name}") for field in fields(kind)})
        for key, kind in NESTED.items()
    }
    nested["stop"] = replace(nested["stop"], on=tuple(nested["stop"].on))
    _check_loss_scale(nested["loss_scale"])
    if isinstance(top_level["width"], list):
        top_level["width"] = tuple(top_level["width"])
    top_level["freeze"] = tuple(top_level["freeze"])
    _check_batch(recipe)
    _check_surface(parts["model"], parts["loss"])
    _check_stop(nested["stop"], listed["probes"])
    checked: dict[str, Any] = {**top_level, **parts, **nested, **listed}
    return checked_combination(_in_precision(replace(recipe, **checked)))


def _in_precision(recipe: Recipe) -> Recipe:
    """The recipe, if no number of it becomes 0 or infinite in the precision in which it enters the program."""
    low, high = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)
    for key, value in () if recipe.dtype == "float64" else numbers(recipe).items():
        if value and math.isfinite(value) and not low <= abs(value) <= high:
            raise RecipeError(
                f"{key}={value} is {'infinite' if abs(value) > high else '0'} in float32, whose numbers go from "
                f"{low:.2g} to {high:.2g}; give another one, or dtype=float64"
            )
    return recipe


def _value(values: dict[str, Any], key: str) -> Any:
    """The value of a root key, `depth` or `log.every`, in nested values."""
    head, _, tail = key.partition(".")
    return values[head][tail] if tail else values[head]


def _checked_list(recipe: Recipe, family: Family) -> dict[str, Any]:
    """The recipe's probes or snapshots by their keys, checked."""
    field = LISTED[family.name]
    parts = sorted(getattr(recipe, field).items())
    return {key: family.check(part, f"{field}.{key}") for key, part in parts}


def _check_batch(recipe: Recipe) -> None:
    """Refuse batch sizes that contradict `accumulate` or the optimizer."""
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


def _check_loss_scale(scale: LossScale) -> None:
    """Refuse a scale that is no power of two: only those multiply and divide exactly."""
    mantissa, exponent = math.frexp(scale.value)
    if mantissa != 0.5 or not 1 <= exponent <= 128:
        raise RecipeError(
            f"loss_scale.value={scale.value:g} must be a power of two from 1 to 2**127, which scales exactly: "
            f"give {2.0 ** min(max(exponent - 1, 0), 127):g}"
        )


def _check_surface(model: dict[str, Any], loss: dict[str, Any]) -> None:
    """A surface needs model=point, and a point needs a surface that has its coordinates."""
    name, fewest = loss["name"], surfaces.COORDINATES.get(loss["name"], 0)
    if model["name"] != "point":
        if fewest and not is_import_path(model["name"]):
            raise RecipeError(f"loss={name} is a surface for model=point, not for model={model['name']}")
        return
    if not fewest and not is_import_path(name):
        raise RecipeError(
            f"model=point needs a surface: loss={', '.join(surfaces.COORDINATES)}; got loss={name}"
        )
    if len(model["start"]) < max(1, fewest):
        raise RecipeError(
            f"loss={name} needs {max(1, fewest)} or more coordinates; got model.start={model['start']}"
        )


def _check_stop(stop: Stop, probes: dict[str, Any]) -> None:
    """Refuse a verdict on a signal that is not measured."""
    signal = sorted({"exploding", "vanishing"} & {*stop.on})
    if signal and not any(part["name"] == "backward" for part in probes.values()):
        raise RecipeError(
            f"stop.on={','.join(signal)} needs the backward signal, which is not measured; "
            f"add it: probe=[{','.join(['backward', *probes])}]"
        )


def remarks(recipe: Recipe) -> list[str]:
    """What is allowed and probably not meant: parts that are shorter or longer than the run."""
    remarks = schedules.remarks(recipe.schedule, recipe.steps) + phases.remarks(
        recipe.optimizer, recipe.steps
    )
    if recipe.dtype == "float16" and recipe.loss_scale.kind == "none":
        remarks.append(
            "dtype=float16 without loss scaling: gradients below 6e-8 become 0; set loss_scale.kind=dynamic"
        )
    return remarks
