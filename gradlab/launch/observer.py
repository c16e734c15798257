"""What is reported of the runs of a grid while they are carried out, and to whom."""

from contextlib import AbstractContextManager
from typing import Protocol

from gradlab.launch.run import Outcome, Refused, Report, Result


class Observer(Protocol):
    """Receives the events of each cell of a grid; a cell is its index."""

    @property
    def failed(self) -> bool:
        """Whether any cell has failed."""

    def training(self, cell: int) -> AbstractContextManager[Report]:
        """A cell is trained in this process; what is yielded is told its progress."""

    def begun(self, cell: int) -> None:
        """A cell is on its way in another process."""

    def progressed(self, cell: int, steps_done: int) -> None:
        """How far a cell is that is trained in another process."""

    def put_back(self, cell: int, cause: str) -> None:
        """A cell whose process has ended before it; it is tried again."""

    def stopping(self, batches: int) -> None:
        """So many batches are asked to end, and store what they have."""

    def ended(self, cell: int, outcome: Outcome) -> None:
        """How a cell has ended."""

    def refused(self, cell: int, message: str, storage: bool) -> None:
        """Why a cell could not start; `storage`: because the file system does not take its folder."""

    def look(self) -> None:
        """A moment has passed."""


def tell(observer: Observer, cell: int, result: Result) -> None:
    """Tell what became of a cell."""
    if isinstance(result, Refused):
        observer.refused(cell, result.message, result.storage)
    else:
        observer.ended(cell, result)
