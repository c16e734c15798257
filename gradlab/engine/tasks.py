"""A recipe's data, on the host."""

from dataclasses import replace

from gradlab.data.task import Task, check_task, data, has_labels
from gradlab.recipe.errors import RecipeError
from gradlab.recipe.recipe import Recipe, is_import_path


def load_task(recipe: Recipe) -> Task:
    """The task that the recipe's data set makes.

    Raises:
        RecipeError: where it is no task, does not fit the loss, or has fewer training examples than a batch.
    """
    task = _load(recipe)
    if not isinstance(task, Task):
        raise RecipeError(
            f"data={recipe.data['name']} gives a {type(task).__name__}, not a gradlab.data.task.Task"
        )
    check_task(task, recipe.data["name"])
    if not has_labels(task.train_y) and recipe.loss["name"] == "cross_entropy":
        raise RecipeError(
            f"data={recipe.data['name']} is a regression task and loss=cross_entropy needs class labels; "
            "choose loss=mse, l1 or huber"
        )
    if recipe.batch_size > len(task.train_y):
        raise RecipeError(
            f"batch_size={recipe.batch_size} is larger than the training set of {recipe.data['name']}, "
            f"{len(task.train_y)} examples; give at most that"
        )
    return task


def _load(recipe: Recipe) -> Task:
    try:
        task: Task = data.make(recipe.data)
        return task
    except RecipeError:
        raise
    except Exception as error:  # a user-defined data set may raise anything
        if not is_import_path(recipe.data["name"]):
            raise
        reason = " ".join(str(error).split())[:200]
        raise RecipeError(f"data={recipe.data['name']} raises {type(error).__name__}: {reason}") from error


def with_batch_size(recipe: Recipe, task: Task) -> Recipe:
    """The recipe with batch_size=0 replaced by the number of training examples, which it stands for."""
    return recipe if recipe.batch_size else replace(recipe, batch_size=len(task.train_y))
