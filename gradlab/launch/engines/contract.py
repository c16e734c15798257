"""What an engine is, and the family that the makers of engines are registered in."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Annotated, Any, NamedTuple, Protocol

from gradlab.launch.batch import Batch
from gradlab.launch.run import Result
from gradlab.parts.family import Family
from gradlab.recipe.bounds import LARGEST, Bound
from gradlab.recipe.errors import RecipeError
from gradlab.recipe.recipe import Recipe, structure

Workers = Annotated[int, Bound(int, 1, 1024, words=("auto",))]
Jobs = Annotated[int, Bound(int, 1, LARGEST)]


class Job(Protocol):
    """A batch on its way. `ended` is asked before `results` and `death`."""

    def ended(self) -> bool:
        """Whether its process has done the batch, or is gone."""

    def results(self) -> list[Result]:
        """What came back of the batch's first cells; none where the process is gone without a word."""

    def death(self) -> str:
        """How the process ended, "" where it ended by itself."""

    def stop(self, kill: bool = False) -> None:
        """Ask it to end at the next chunk of steps, with what it has on the disk; or end it at once.

        It is asked once, however often this is called: a process that has not begun yet, as soon as it has.
        """


class Carrier(Protocol):
    """An open engine: it carries batches, and knows nothing else of a study."""

    slots: int  # batches at once
    batch_size: int  # cells of a batch, at most
    shares: bool  # whether slots share a structure from the beginning: none keeps a compiled program for its next batch

    def carry(self, batches: Sequence[Batch]) -> list[Job]:
        """Send batches on their way, at most one for each free slot."""

    def wait(self, jobs: Sequence[Job], seconds: float) -> None:
        """Wait until one of the jobs has ended, at most so long."""

    def close(self) -> None:
        """Give back what the engine holds; no job is on its way any more."""


class Engine(NamedTuple):
    """open: from the recipes of a grid to what carries them, in as many slots as they are worth; None: this process.

    Opening raises RecipeError where the engine is not there.
    """

    open: Callable[[Sequence[Recipe]], Carrier | None]


engine = Family("engine", "gradlab.launch.engines")


def batching(recipes: Sequence[Recipe], jobs: int) -> tuple[int, int]:
    """The number of recipes in a batch so that each job has a batch, and the number of batches.

    A batch has recipes of one structure only.
    """
    size = math.ceil(len(recipes) / jobs)
    return size, sum(math.ceil(count / size) for count in Counter(map(structure, recipes)).values())


def required(module: str, extra: str) -> Any:
    """The library of an engine, which an extra of the package brings.

    Raises:
        RecipeError: it is not installed.
    """
    try:
        return import_module(module)
    except ImportError:
        raise RecipeError(
            f"engine={extra} needs {module}, which is not installed: pip install 'gradlab-jax[{extra}]'"
        ) from None
