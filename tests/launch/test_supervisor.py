"""The supervisor over an engine without processes: whatever becomes of a batch, every cell ends once."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from gradlab.engine.prepare import run_folder
from gradlab.engine.tasks import load_task
from gradlab.launch import study, supervisor
from gradlab.launch.batch import Batch
from gradlab.launch.engines import contract
from gradlab.launch.run import Outcome, Refused, Result
from gradlab.launch.training import TIME_OVER
from gradlab.recipe import signals
from gradlab.recipe.errors import InUseError
from gradlab.store import lock
from gradlab.store.status import read_status, write_status
from tests import runs
from tests.recipes import TINY, recipe


@dataclass
class Played:
    """A job that has ended when it is first asked."""

    came_back: list[Result]
    how: str = ""
    stops: list[bool] = field(default_factory=list)
    lasts: bool = False

    def ended(self) -> bool:
        return not self.lasts

    def results(self) -> list[Result]:
        return self.came_back

    def death(self) -> str:
        return self.how

    def stop(self, kill: bool = False) -> None:
        self.stops.append(kill)
        self.lasts = False


class Engine:
    """Plays what `act(batch)` says."""

    shares = True

    def __init__(self, act: Callable[[Batch], Played], slots: int = 2, batch_size: int = 2) -> None:
        self.act, self.slots, self.batch_size = act, slots, batch_size
        self.batches: list[Batch] = []
        self.closed = 0

    def carry(self, batches):
        self.batches += batches
        return [self.act(batch) for batch in batches]

    def wait(self, jobs, seconds):
        pass

    def close(self):
        self.closed += 1


class Told:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.ends: dict[int, Outcome] = {}
        self.refusals: dict[int, str] = {}
        self.again: list[tuple[int, str]] = []
        self.steps: list[tuple[int, int]] = []

    @property
    def failed(self):
        return any(outcome.state == "failed" for outcome in self.ends.values())

    def begun(self, cell):
        pass

    def progressed(self, cell, steps_done):
        self.steps.append((cell, steps_done))

    def put_back(self, cell, cause):
        self.again.append((cell, cause))

    def stopping(self, batches):
        self.stops = batches

    def ended(self, cell, outcome):
        assert cell not in self.ends
        self.ends[cell] = outcome

    def refused(self, cell, message, storage):
        assert cell not in self.refusals
        self.refusals[cell] = message

    def look(self):
        pass


def cells(place, count=6, *words):
    return {index: recipe(*TINY, f"outputs={place}", f"seed={index}", *words) for index in range(count)}


def done(batch: Batch) -> list[Result]:
    return [Outcome(run_folder(recipe), "finished", "") for recipe in batch.recipes]


def stored(recipe, state: str, message: str = "") -> None:
    """A status of a run as a worker leaves it."""
    folder = run_folder(recipe)
    folder.mkdir(parents=True, exist_ok=True)
    write_status(folder, runs.status(state, message=message))


def test_every_cell_ends_once(tmp_path):
    told, engine = Told(), Engine(lambda batch: Played(done(batch)))
    supervisor.supervise(cells(tmp_path, 5), engine, told)
    assert sorted(told.ends) == [0, 1, 2, 3, 4]
    assert [batch.cells for batch in engine.batches] == [(0, 1), (2, 3), (4,)]
    assert engine.closed == 1


@pytest.mark.parametrize("bad", range(6))
def test_a_cell_that_ends_its_process_takes_no_other_along(tmp_path, bad):
    recipes = cells(tmp_path)

    def act(batch):
        if bad not in batch.cells:
            return Played(done(batch))
        before = batch.cells.index(bad)
        for earlier in batch.recipes[:before]:
            stored(earlier, "finished")
        stored(batch.recipes[before], "running")
        return Played([], "its process was killed")

    told, engine = Told(), Engine(act, batch_size=3)
    supervisor.supervise(recipes, engine, told)
    assert {cell: outcome.state for cell, outcome in told.ends.items()} == {
        cell: "failed" if cell == bad else "finished" for cell in range(6)
    }
    assert told.ends[bad].message == "its process was killed, twice"
    assert told.again == [(bad, "its process was killed")]
    assert engine.batches[-1].cells == (bad,)
    status = read_status(run_folder(recipes[bad]))
    assert (status["state"], status["message"]) == ("failed", "its process was killed, twice")


def test_a_process_that_dies_before_the_first_cell_begins(tmp_path):
    told = Told()
    supervisor.supervise(cells(tmp_path, 2), Engine(lambda batch: Played([], "no memory")), told)
    assert {outcome.message for outcome in told.ends.values()} == {"no memory, twice"}
    assert not list(tmp_path.iterdir())  # nothing is made of a run that never began


def test_what_an_engine_loses_is_read_from_the_folders(tmp_path):
    recipes = cells(tmp_path, 2)
    stored(recipes[1], "failed", "an old reason")

    def act(batch):
        stored(batch.recipes[0], "diverged", "at step 3")
        stored(batch.recipes[1], "failed", "a new reason")
        return Played([])

    told = Told()
    supervisor.supervise(recipes, Engine(act), told)
    assert [(outcome.state, outcome.message) for outcome in told.ends.values()] == [
        ("diverged", "at step 3"),
        ("failed", "a new reason"),
    ]


def test_an_old_failure_is_not_taken_for_a_new_one(tmp_path):
    recipes = cells(tmp_path, 1)
    stored(recipes[0], "failed", "an old reason")
    told = Told()
    supervisor.supervise(recipes, Engine(lambda batch: Played([], "gone")), told)
    assert told.ends[0].message == "gone, twice"


def test_a_run_that_a_signal_has_interrupted_goes_on(tmp_path):
    recipes, attempts = cells(tmp_path, 2, "force=true"), []

    def act(batch):
        attempts.append([recipe.force for recipe in batch.recipes])
        if len(attempts) == 1:
            return Played([Outcome(run_folder(batch.recipes[0]), "interrupted", "SIGTERM after step 4")])
        return Played(done(batch))

    told = Told()
    supervisor.supervise(recipes, Engine(act, slots=1), told)
    assert [outcome.state for outcome in told.ends.values()] == ["finished", "finished"]
    assert attempts == [[True, True], [False, True]]  # what has begun is not begun anew


def test_signals_without_end_are_a_failure(tmp_path):
    told = Told()
    act = lambda batch: Played([Outcome(run_folder(batch.recipes[0]), "interrupted", "SIGTERM after step 0")])
    supervisor.supervise(cells(tmp_path, 1), Engine(act), told)
    assert told.ends[0].message == "it was interrupted 5 times"


def test_a_run_whose_time_is_over_is_not_tried_again(tmp_path):
    told = Told()
    act = lambda batch: Played([Outcome(run_folder(batch.recipes[0]), "interrupted", f"{TIME_OVER} of 1 s")])
    supervisor.supervise(cells(tmp_path, 1), Engine(act), told)
    assert (told.ends[0].state, told.again) == ("interrupted", [])


def test_a_process_that_is_ended_for_its_time_names_the_limit(tmp_path, monkeypatch):
    clock = iter(range(0, 100_000, 30))
    monkeypatch.setattr(supervisor.time, "monotonic", lambda: next(clock))
    told = Told()
    act = lambda batch: Played([], 'its process ended with exit code 1: File "own.py", line 3 in f')
    supervisor.supervise(cells(tmp_path, 1), Engine(act), told, time_limit=20.0)
    assert told.ends[0].message == (
        "it did not end within its time limit of 20 s; its process ended with exit code 1: "
        'File "own.py", line 3 in f'
    )
    assert told.again == []


def test_an_engine_is_closed_where_another_process_writes_to_a_run(tmp_path, monkeypatch):
    monkeypatch.setattr(study, "PATIENCE", 0.0)
    recipe, engine = cells(tmp_path, 1)[0], Engine(lambda batch: Played(done(batch)))
    run_folder(recipe).mkdir(parents=True)
    with lock.hold(run_folder(recipe)), pytest.raises(InUseError, match="another process is writing there"):
        study.run_study([recipe], load_task, contract.Engine(lambda _: engine), Told(), study.Rules())
    assert (engine.batches, engine.closed) == ([], 1)


def test_refusals_are_told(tmp_path):
    told = Told()
    supervisor.supervise(
        cells(tmp_path, 2), Engine(lambda batch: Played([Refused("no"), *done(batch)[1:]])), told
    )
    assert told.refusals == {0: "no"}
    assert list(told.ends) == [1]


def test_progress_is_read_from_the_folder_of_the_run_on_its_way(tmp_path):
    recipes = cells(tmp_path, 1)
    looks = []

    def act(batch):
        stored(batch.recipes[0], "running")
        job = Played(done(batch), lasts=True)
        looks.append(job)
        return job

    class Looking(Told):
        def look(self):
            if not looks[0].lasts:
                return
            folder = run_folder(recipes[0])
            with lock.hold(folder):
                write_status(folder, runs.status("running", steps_done=7))
            if (0, 7) in self.steps:
                looks[0].lasts = False

    told = Looking()
    supervisor.supervise(recipes, Engine(act), told)
    assert (0, 7) in told.steps
    assert told.ends[0].state == "finished"


def test_after_the_first_failure_nothing_more_is_begun_where_that_is_asked(tmp_path):
    jobs = []

    def act(batch):
        folder = run_folder(batch.recipes[0])
        jobs.append(Played([Outcome(folder, "failed", "no")] if not jobs else done(batch), lasts=bool(jobs)))
        return jobs[-1]

    told = Told()
    supervisor.supervise(cells(tmp_path), Engine(act, batch_size=1), told, fail_fast=True)
    assert len(jobs) == 2  # both slots were filled
    assert jobs[1].stops == [False]


def test_a_signal_stops_what_is_on_its_way_and_waits_for_it(tmp_path, monkeypatch):
    jobs = []

    def act(batch):
        jobs.append(Played(done(batch)[:1], lasts=True))
        return jobs[-1]

    engine, told = Engine(act), Told()
    raised = iter([None, signals.Stop(15)])

    def check():
        if error := next(raised):
            raise error

    monkeypatch.setattr(supervisor.signals, "check", check)
    with pytest.raises(signals.Stop):
        supervisor.supervise(cells(tmp_path), engine, told)
    assert [job.stops for job in jobs] == [[False], [False]]
    assert sorted(told.ends) == [0, 2]  # what was done is told, nothing is tried again
    assert (len(engine.batches), told.again, engine.closed) == (2, [], 1)


def test_what_does_not_stop_is_killed(tmp_path, monkeypatch):
    clock = iter(range(0, 100_000, 7))
    monkeypatch.setattr(supervisor.time, "monotonic", lambda: next(clock))

    class Stubborn(Played):
        def stop(self, kill=False):
            self.stops.append(kill)
            self.lasts = self.lasts and not kill

    jobs = []

    def act(batch):
        jobs.append(Stubborn([], "killed", lasts=True))
        return jobs[-1]

    carried = supervisor.Supervisor(cells(tmp_path, 1), Engine(act), Told(), 0.0)
    carried._fill()
    carried.end()
    assert jobs[0].stops[0] is False
    assert True in jobs[0].stops
    assert not carried.carried


def test_recipes_are_passed_on_as_they_are(tmp_path):
    recipes, engine = cells(tmp_path, 2), Engine(lambda batch: Played(done(batch)))
    supervisor.supervise(recipes, engine, Told(), time_limit=3.0)
    assert engine.batches[0].recipes == (recipes[0], recipes[1])
    assert engine.batches[0].time_limit == 3.0
    assert replace(recipes[0], force=True) != recipes[0]
