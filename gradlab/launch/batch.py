"""A batch: cells of a grid with equal structure, which share compiled programs, and what became of each."""

import faulthandler
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import NamedTuple

from gradlab.data.task import Task
from gradlab.engine.prepare import prepare
from gradlab.engine.tasks import task_loader
from gradlab.launch.run import Outcome, launch
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


class Refused(NamedTuple):
    """A run that could not start; storage: because the file system does not take its folder."""

    message: str
    storage: bool = False


Result = Outcome | Refused


def run_batch(recipes: Sequence[Recipe], time_limit: float = 0.0) -> list[Result]:
    """Train recipes one after the other in this process, which is a worker's; a signal ends the batch.

    Data sets and compiled programs are kept for the next batch.
    """
    results: list[Result] = []
    for recipe in recipes:
        try:
            with signals.raised(), _last_resort(time_limit):
                results.append(run_cell(recipe, time_limit))
        except signals.Stop:
            break
        if isinstance(results[-1], Outcome) and results[-1].signalled:
            break
    return results


def run_cell(recipe: Recipe, time_limit: float = 0.0) -> Result:
    """Train one recipe, or say why it cannot start.

    Raises:
        Stop: a signal came before anything was written.
    """
    patient_until = time.monotonic() + PATIENCE
    while True:
        try:
            return launch(prepare(recipe, loader()), time_limit=time_limit)
        except InUseError as error:
            if time.monotonic() > patient_until:
                return Refused(str(error))
            time.sleep(PATIENCE / 20)
        except RecipeError as error:
            return Refused(str(error))
        except StorageError as error:
            return Refused(str(error), storage=True)


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
