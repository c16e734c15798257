"""Carries the recipes of a grid by worker processes, and sees to it that each one ends: done, or failed with a cause.

What an engine brings back is believed where it brings something; otherwise the run folders say what is done.
"""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gradlab.engine.prepare import run_folder
from gradlab.launch.batch import Batch
from gradlab.launch.engines.contract import Carrier, Job
from gradlab.launch.observer import Observer, tell
from gradlab.launch.run import Outcome, Result, note_failure
from gradlab.launch.schedule import Schedule
from gradlab.launch.worker import EXIT_SECONDS
from gradlab.measurements.columns import RESULTS
from gradlab.recipe import signals
from gradlab.recipe.recipe import Recipe, structure
from gradlab.store.lock import held
from gradlab.store.status import read_status

LOOK_SECONDS = 0.5  # between two looks at the folders of the runs on their way
MOST_ENDS = 2  # processes that a run may end before it counts as failed
MOST_INTERRUPTIONS = 5  # of a run by signals that the supervisor did not send


@dataclass
class Carried:
    """A batch on its way, with the cells of which nothing is known yet, and how their status was before."""

    batch: Batch
    job: Job
    unknown: list[int]
    before: dict[int, str]  # digests of their status.json
    looked: float  # when the last cell ended, or the batch began


def supervise(
    recipes: Mapping[int, Recipe],
    carrier: Carrier,
    observer: Observer,
    time_limit: float = 0.0,
    fail_fast: bool = False,
) -> None:
    """Carry all recipes, by their cells; the observer is told of each.

    Raises:
        Stop: a signal came; the runs on their way were given the time to store what they had.
    """
    supervisor = Supervisor(recipes, carrier, observer, time_limit)
    try:
        with signals.collected():
            while supervisor.step():
                signals.check()
                if fail_fast and observer.failed:
                    supervisor.schedule.clear()
                    supervisor.end()
    except signals.Stop:
        supervisor.end()
        raise
    finally:
        carrier.close()


class Supervisor:
    """Gives batches to free slots, and settles what comes back; a recipe that ends its process takes no other along."""

    def __init__(
        self, recipes: Mapping[int, Recipe], carrier: Carrier, observer: Observer, time_limit: float
    ) -> None:
        self.recipes = dict(recipes)
        self.carrier = carrier
        self.observer = observer
        self.time_limit = time_limit
        structures = {cell: structure(recipe) for cell, recipe in recipes.items()}
        self.schedule = Schedule(structures, carrier.batch_size, carrier.shares)
        self.carried: dict[int, Carried] = {}  # by slot
        self.ends: Counter[int] = Counter()  # processes that each cell has ended
        self.interruptions: Counter[int] = Counter()
        self.stopping = False

    def step(self) -> bool:
        """Fill the free slots, wait a moment, settle what has ended; returns whether anything is left."""
        self._fill()
        self._await()
        for carried in self.carried.values():
            self._look(carried)
        self.observer.look()
        return bool(self.schedule or self.carried)

    def end(self) -> None:
        """Interrupt what is on its way, and wait until it is stored; what does not end is killed."""
        self.stopping = True
        if self.carried:
            self.observer.stopping(len(self.carried))
        until = time.monotonic() + EXIT_SECONDS
        while self.carried:
            for carried in self.carried.values():
                carried.job.stop()
            self._await()
            for carried in self.carried.values() if time.monotonic() > until else ():
                carried.job.stop(kill=True)
            if time.monotonic() > until + EXIT_SECONDS:
                return

    def _await(self) -> None:
        """Wait a moment, and settle what has ended."""
        self.carrier.wait([carried.job for carried in self.carried.values()], LOOK_SECONDS)
        for slot, carried in list(self.carried.items()):
            if carried.job.ended():
                del self.carried[slot]
                self._settle(carried)

    def _fill(self) -> None:
        batches = []
        for slot in range(self.carrier.slots):
            if slot in self.carried:
                continue
            if cells := self.schedule.take(slot):
                recipes = tuple(self.recipes[cell] for cell in cells)
                batches.append(Batch(slot, tuple(cells), recipes, self.time_limit))
        before = {cell: _digest(self._folder(cell)) for batch in batches for cell in batch.cells}
        for batch, job in zip(batches, self.carrier.carry(batches), strict=True):
            self.carried[batch.slot] = Carried(batch, job, list(batch.cells), before, time.monotonic())
            self.observer.begun(batch.cells[0])

    def _folder(self, cell: int) -> Path:
        return run_folder(self.recipes[cell])

    def _look(self, carried: Carried) -> None:
        """See in the run folders how far a batch is; of a single run its process tells the end."""
        while carried.unknown:
            cell = carried.unknown[0]
            status = read_status(self._folder(cell))
            outcome = self._stored_outcome(cell, carried, status) if len(carried.batch.cells) > 1 else None
            if outcome:
                self._note(cell, carried, outcome)
                if carried.unknown:
                    self.observer.begun(carried.unknown[0])
                continue
            if status.get("digest") != carried.before[cell]:
                self.observer.progressed(cell, status.get("steps_done", 0))
            return

    def _stored_outcome(self, cell: int, carried: Carried, status: dict[str, object]) -> Outcome | None:
        """What a run's folder says of its end since the batch began; None where it has not ended."""
        state = str(status.get("state", ""))
        folder = self._folder(cell)
        if state not in (*RESULTS, "failed") or status.get("digest") == carried.before[cell] or held(folder):
            return None
        return Outcome(folder, state, str(status.get("message", "")))

    def _note(self, cell: int, carried: Carried, result: Result) -> None:
        """Tell what became of a cell, and note how long it took."""
        now = time.monotonic()
        self.schedule.note(cell, now - carried.looked)
        carried.looked = now
        carried.unknown.remove(cell)
        if isinstance(result, Outcome) and result.state == "failed":
            note_failure(result.folder, result.message)  # its process may not have been able to
        tell(self.observer, cell, result)

    def _settle(self, carried: Carried) -> None:
        """What became of each cell of a batch whose process has done it, or is gone."""
        results = dict(zip(carried.batch.cells, carried.job.results(), strict=False))
        interrupted: list[int] = []
        for cell in list(carried.unknown):
            result = results.get(cell) or self._stored_outcome(cell, carried, read_status(self._folder(cell)))
            if isinstance(result, Outcome) and result.signalled:
                interrupted.append(cell)
            elif result is not None:
                self._note(cell, carried, result)
        if carried.unknown and not self.stopping:
            self._recover(carried, interrupted)

    def _recover(self, carried: Carried, interrupted: Sequence[int]) -> None:
        """Let the cells of an incomplete batch wait again; that which has ended the process is alone from now on."""
        first, *others = carried.unknown
        # it goes on from its checkpoint, and is not begun anew
        self.recipes[first] = replace(self.recipes[first], force=False)
        self.schedule.put_back(others)
        cause = carried.job.death()
        elapsed = time.monotonic() - carried.looked
        if first in interrupted or not cause:
            self.interruptions[first] += 1
            if self.interruptions[first] < MOST_INTERRUPTIONS:
                return self._again(first, "a signal", alone=False)
            cause = f"it was interrupted {MOST_INTERRUPTIONS} times"
        elif self.time_limit and elapsed > self.time_limit:
            cause = f"it did not end within its time limit of {self.time_limit:g} s; {cause}"
        else:
            self.ends[first] += 1
            if self.ends[first] < MOST_ENDS:
                return self._again(first, cause, alone=True)
            cause += ", twice"
        return self._note(first, carried, Outcome(self._folder(first), "failed", cause))

    def _again(self, cell: int, cause: str, alone: bool) -> None:
        self.schedule.put_back([cell], alone)
        self.observer.put_back(cell, cause)


def _digest(folder: Path) -> str:
    return str(read_status(folder).get("digest", ""))
