"""A batch: cells of a grid with equal structure, which share compiled programs, and what became of each."""

import faulthandler
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import count, takewhile
from typing import NamedTuple

from gradlab.data.task import Task
from gradlab.engine.prepare import prepare
from gradlab.engine.tasks import task_loader
from gradlab.launch import machine
from gradlab.launch.run import Outcome, Result, launch, refusal
from gradlab.launch.run_writer import WRITE_SECONDS
from gradlab.launch.side_by_side import launch_side_by_side, slices
from gradlab.recipe import signals
from gradlab.recipe.errors import InUseError, RecipeError, StorageError
from gradlab.recipe.recipe import Recipe

PATIENCE = 10.0  # seconds until a run that another process writes is refused: a worker without a parent is about to end
GRACE = 10.0  # seconds, or a fifth of the limit: how long a run may take to end when its time is over


class Batch(NamedTuple):
    """The recipes of some cells of a grid, and by which slot of an engine they are carried.

    time_limit: seconds for each run; 0: none.
    """

    slot: int
    cells: tuple[int, ...]  # their indices in the grid
    recipes: tuple[Recipe, ...]
    time_limit: float = 0.0


def run_batch(recipes: Sequence[Recipe], time_limit: float = 0.0) -> list[Result]:
    """Train recipes in this process, which is a worker's: on an accelerator side by side, else one after the other.

    A signal ends the batch. Data sets and compiled programs are kept for the next one.
    """
    results: dict[int, Result] = {}
    together = slices(recipes) if _on_accelerator(recipes[0]) else [[index] for index in range(len(recipes))]
    for part in together:
        try:
            with signals.raised(), _last_resort(time_limit):
                part_results = _run_part([recipes[index] for index in part], time_limit)
                results |= zip(part, part_results, strict=True)
        except signals.Stop:
            break
        if any(isinstance(result, Outcome) and result.signalled for result in part_results):
            break
    return [results[index] for index in takewhile(results.__contains__, count())]


def _on_accelerator(recipe: Recipe) -> bool:
    """Whether a recipe is trained on a GPU or TPU, where programs side by side take hardly longer than one."""
    try:
        with machine.device(recipe) as device:
            return bool(device.platform != "cpu")
    except RecipeError:  # its run says that the device is not there
        return False


def _run_part(recipes: Sequence[Recipe], time_limit: float) -> list[Result]:
    """Train recipes side by side; where they do not fit into memory together, in two halves."""
    if len(recipes) == 1:
        return [run_cell(recipes[0], time_limit)]
    try:
        return launch_side_by_side([prepare(recipe, loader()) for recipe in recipes], time_limit)
    except RuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
    half = len(recipes) // 2
    return _run_part(recipes[:half], time_limit) + _run_part(recipes[half:], time_limit)


def run_cell(recipe: Recipe, time_limit: float = 0.0) -> Result:
    """Train one recipe, or say why it cannot start.

    Raises:
        Stop: a signal came before anything was written.
    """
    patient_until = time.monotonic() + PATIENCE
    while True:
        try:
            return launch(prepare(recipe, loader()), time_limit=time_limit, write_seconds=WRITE_SECONDS)
        except InUseError as error:
            if time.monotonic() > patient_until:
                return refusal(error)
            time.sleep(PATIENCE / 20)
        except (RecipeError, StorageError) as error:
            return refusal(error)


@cache
def loader() -> Callable[[Recipe], Task]:
    """What makes the data of recipes in this process, each data set once."""
    return task_loader()


@contextmanager
def _last_resort(time_limit: float) -> Iterator[None]:
    """End the process where a run does not end within its time, after its traceback is written to standard error.

    A thread of C does it, which also ends what holds Python's lock.
    """
    if time_limit:
        faulthandler.dump_traceback_later(time_limit + grace(time_limit), exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def grace(time_limit: float) -> float:
    """The seconds that a run has beyond its limit: to the end of the chunk of steps that it is in."""
    return max(GRACE, time_limit / 5)
