"""A recipe, checked, and all that follows from it before anything is compiled or written."""

from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from gradlab.data.task import Form, Task
from gradlab.engine import checks, compiled
from gradlab.engine.layout import Layout, layout
from gradlab.engine.seed_programs import Data, Numbers, numbers_for
from gradlab.engine.tasks import load_task, with_batch_size
from gradlab.recipe import signals
from gradlab.recipe.errors import RecipeError, UserError, described, hint
from gradlab.recipe.recipe import Recipe, folder_name, is_import_path, named, numbers, structure

ONE_BLOCK = (
    "the network is one block: its parameters are measured, and no signal between layers; blocks are found where one "
    "array passes from layer to layer and each has its own parameters, or marked with gradlab.block(name) (docs/own.md)"
)


@dataclass(frozen=True, eq=False)
class PreparedRun:
    """A checked recipe with its data and its layout, each made when it is first used and not again."""

    recipe: Recipe
    load: Callable[[Recipe], Task]

    @property
    def folder(self) -> Path:
        """Where the run is stored."""
        return run_folder(self.recipe)

    @cached_property
    def task(self) -> Task:
        """The recipe's data.

        Accessing it raises RecipeError where there is no such data, or it does not fit the recipe.
        """
        return self.load(self.recipe)

    @cached_property
    def layout(self) -> Layout:
        """What stands where in the measured rows.

        Accessing it raises RecipeError for what only building the network finds wrong: that it does not fit the data,
        that a user-defined function does not fit, that a pattern of `lr_factors` or `freeze` matches no parameter.
        """
        row_layout: Layout = compiled.kept_layout(self._key_of_layout, self._made_layout)
        _check_patterns(self.recipe, row_layout)
        return row_layout

    @property
    def _key_of_layout(self) -> Any:
        """All that a layout follows from."""
        arrays = (self.task.train_x, self.task.train_y, self.task.test_x, self.task.test_y)
        shapes = tuple((array.shape, str(array.dtype)) for array in arrays)
        return structure(self.recipe), self.task.form, shapes, str(self.recipe.snapshots)

    def _made_layout(self) -> Layout:
        try:
            row_layout = layout(self.recipe, self.task)
            # only a trace finds a layer with a single position, which instance normalization refuses
            if self._user_defined or self.recipe.normalization["name"] == "instance":
                self._trace()
            refusing = [key for key, taken in row_layout.snapshots.items() if taken.refuses]
            if refusing:
                compiled.trace_snapshots(*self._arguments(), refusing)
        except RecipeError:
            raise
        except BaseException as error:  # whatever a user-defined function may raise
            if signals.is_request(error) or not self._user_defined:
                raise
            raise UserError(f"{', '.join(self._user_defined)} does not fit: {described(error)}") from error
        return row_layout

    @property
    def remarks(self) -> list[str]:
        """What a reader of the result should know: parts that do not fit the run's length, a network of one block."""
        one_block = is_import_path(self.recipe.model["name"]) and len(self.layout.names) == 1
        return [*checks.remarks(self.recipe), *([ONE_BLOCK] if one_block else [])]

    @property
    def flops_per_step(self) -> int | None:
        """The floating-point operations of a measured step of all seeds (`flops`), counted in a trace."""
        return compiled.step_flops(*self._arguments())

    @property
    def _user_defined(self) -> list[str]:
        return [f"{group}={name}" for group, name in named(self.recipe) if is_import_path(name)]

    def _trace(self) -> None:
        """Trace the programs for data of these shapes: raises whatever the parts raise."""
        compiled.trace(*self._arguments())

    def _arguments(self) -> tuple[Recipe, Numbers, Data, Form]:
        """What a trace of the programs takes: data by their shapes."""
        recipe, task = with_batch_size(self.recipe, self.task), self.task
        dtype = jnp.int32 if task.vocabulary else jnp.dtype(recipe.dtype)
        like: Any = jax.ShapeDtypeStruct
        shapes = Data(
            train_x=like(task.train_x.shape, dtype),
            train_y=like(task.train_y.shape, task.train_y.dtype),
            test_x=like(task.test_x.shape, dtype),
            test_y=like(task.test_y.shape, task.test_y.dtype),
        )
        return recipe, numbers_for(numbers(recipe), recipe.dtype), shapes, task.form


def run_folder(recipe: Recipe) -> Path:
    """Where a run is stored."""
    return Path(recipe.outputs) / recipe.study / folder_name(recipe)


def prepare(recipe: Recipe, load: Callable[[Recipe], Task] = load_task) -> PreparedRun:
    """The recipe, checked; `load` makes its data (see `task_loader`).

    Raises:
        RecipeError: naming the key, the value and what is possible.
    """
    return PreparedRun(checks.check(recipe), load)


def _thresholds(recipe: Recipe) -> dict[str, dict[str, float]]:
    """The clip's thresholds by pattern, by the key that holds them; of a chain those of each clip."""
    clips = {f"clip.clips.{name}": part for name, part in recipe.clip.get("clips", {}).items()}
    parts = {"clip": recipe.clip, **clips}
    return {f"{key}.thresholds": part["thresholds"] for key, part in parts.items() if "thresholds" in part}


def _check_patterns(recipe: Recipe, layout: Layout) -> None:
    """Refuse a pattern that matches no parameter, and to train nothing."""
    names = layout.names
    paths = [f"{names[layer]}/{parameter}" for layer, parameter, _ in layout.entries]
    all_patterns = {"lr_factors": recipe.lr_factors, "freeze": recipe.freeze, **_thresholds(recipe)}
    for key, patterns in all_patterns.items():
        for pattern in patterns:
            if not any(fnmatchcase(path, pattern) for path in paths):
                raise RecipeError(f"{key}: '{pattern}' matches no parameter{hint(pattern, paths[:12])}")
    trained = [path for path in paths if not any(fnmatchcase(path, pattern) for pattern in recipe.freeze)]
    if recipe.freeze and not trained and recipe.steps:
        raise RecipeError(
            f"freeze={','.join(recipe.freeze)} leaves no parameter to train; give steps=0 to measure only"
        )
