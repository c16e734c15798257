"""A recipe's data, on the host."""

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np

from gradlab.data.task import Task, check_task, data, has_labels
from gradlab.recipe import signals
from gradlab.recipe.errors import RecipeError, UserError, described
from gradlab.recipe.recipe import Recipe, is_import_path

Result = TypeVar("Result")
MOST_KEPT = 4  # data sets that a loader keeps


def load_task(recipe: Recipe) -> Task:
    """The task that the recipe's data set makes.

    Raises:
        RecipeError: where it is no task, does not fit the loss, or has fewer training examples than a batch.
    """
    return _fitting(recipe, _load(recipe.data))


def task_loader() -> Callable[[Recipe], Task]:
    """A `load_task` that keeps the most recently used data sets, so that the runs of a grid share them."""
    parts: dict[str, dict[str, Any]] = {}
    load = lru_cache(MOST_KEPT)(lambda key: _load(parts[key]))

    def load_kept(recipe: Recipe) -> Task:
        key = str(recipe.data)
        parts[key] = recipe.data
        return _fitting(recipe, load(key))

    return load_kept


def kept_for_a_task(compute: Callable[..., Result]) -> Callable[..., Result]:
    """`compute(task, *others)`, whose result of the last call is kept: the runs of a grid share their data."""
    last: list[Any] = []

    def kept(task: Task, *others: Any) -> Result:
        if not last or last[0] is not task or last[1] != others:
            last.clear()  # the memory of other data is free before that of these is taken
            last[:] = [task, others, compute(task, *others)]
        result: Result = last[2]
        return result

    return kept


def _fitting(recipe: Recipe, task: Task) -> Task:
    """The task, if the recipe can be trained on it."""
    if not has_labels(task.train_y) and recipe.loss["name"] == "cross_entropy":
        raise RecipeError(
            f"data={recipe.data['name']} is a regression task and loss=cross_entropy needs class labels; "
            "choose loss=mse, l1 or huber"
        )
    largest = float(np.finfo(np.float16).max)
    if (
        recipe.dtype == "float16"
        and not task.vocabulary
        and max(map(_size, (task.train_x, task.test_x))) > largest
    ):
        raise RecipeError(
            f"data={recipe.data['name']} has inputs beyond ±{largest:.0f}, the largest number of dtype=float16; scale "
            "them, or choose another dtype"
        )
    if recipe.batch_size > len(task.train_y):
        raise RecipeError(
            f"batch_size={recipe.batch_size} is larger than the training set of {recipe.data['name']}, "
            f"{len(task.train_y)} examples; give at most that"
        )
    return task


def _size(x: np.ndarray) -> float:
    return float(np.abs(x).max())


def _load(part: dict[str, Any]) -> Task:
    """The task of a `data` part, checked."""
    name = part["name"]
    try:
        with np.errstate(all="ignore"):  # the task is checked for what is not finite
            task = data.make(part)
    except RecipeError:
        raise
    except BaseException as error:  # a user-defined data set may raise anything
        if signals.is_request(error) or not is_import_path(name):
            raise
        raise UserError(f"data={name} raises {described(error)}") from error
    if not isinstance(task, Task):
        raise RecipeError(f"data={name} gives a {type(task).__name__}, not a gradlab.data.task.Task")
    check_task(task, name)
    return task


def with_batch_size(recipe: Recipe, task: Task) -> Recipe:
    """The recipe with batch_size=0 replaced by the number of training examples, which it stands for."""
    return recipe if recipe.batch_size else replace(recipe, batch_size=len(task.train_y))
