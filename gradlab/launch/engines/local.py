"""`engine=local`: worker processes on this machine, by joblib's loky."""

import math
import re
import shutil
import signal
import tempfile
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from dataclasses import dataclass
from pathlib import Path

from joblib.externals import loky

from gradlab.launch import worker as worker_process
from gradlab.launch.batch import Batch, run_batch
from gradlab.launch.devices import gpus, share
from gradlab.launch.engines.contract import Carrier, Engine, Job, Workers, engine
from gradlab.launch.run import Outcome, Result
from gradlab.recipe.errors import described
from gradlab.recipe.memory import physical_memory
from gradlab.recipe.recipe import Recipe

WORKER_BYTES = 2**30  # that a worker is expected to take: 0.4 GiB, and a network


@engine
def local(workers: Workers) -> Engine:
    """One process for each core, with one thread each; on a machine with GPUs one for each."""
    return Engine(lambda recipes: LocalWorkers(recipes, workers))


def worker_count(recipes: Sequence[Recipe], workers: int | str) -> int:
    """How many processes train these recipes; `auto`: one for each GPU that they use, else for each core."""
    most = int(workers) if workers != "auto" else len(gpus(recipes)) or _cores()
    return max(1, min(most, len(recipes)))


def _cores() -> int:
    """The cores that this process may use, as many as have memory for a worker."""
    return max(1, min(int(loky.cpu_count()), physical_memory() // WORKER_BYTES))


@dataclass
class Worker:
    """A process, and the file that it prints to."""

    executor: loky.ProcessPoolExecutor
    output: Path
    future: "Future[list[Result]] | None" = None  # of its last batch

    def is_spent(self) -> bool:
        """Whether the process has died over its last batch, or a run has failed in it: who knows what it has left."""
        if self.future is None or not self.future.done():
            return False
        if self.future.exception() is not None:
            return True
        return any(
            isinstance(result, Outcome) and result.state == "failed" for result in self.future.result()
        )


class LocalWorkers(Carrier):
    """A process for each slot, started when it is first needed and anew when it is gone.

    Each has an executor of its own, so that one that dies takes no other along.
    """

    shares = False

    def __init__(self, recipes: Sequence[Recipe], workers: int | str) -> None:
        self.slots = worker_count(recipes, workers)
        self._devices = gpus(recipes)
        # on a CPU a free worker takes the next run, so that all end at the same time; a GPU takes many side by side
        self.batch_size = math.ceil(len(recipes) / self.slots) if self._devices else 1
        self._folder = Path(tempfile.mkdtemp(prefix="gradlab-"))
        self._workers: dict[int, Worker] = {}
        self._executors: list[loky.ProcessPoolExecutor] = []  # those of workers that are gone, too

    def carry(self, batches: Sequence[Batch]) -> list[Job]:
        """Give each batch to the process of its slot."""
        return [self._give(batch) for batch in batches]

    def _give(self, batch: Batch) -> "LocalJob":
        before = self._workers.get(batch.slot)
        worker = before if before and not before.is_spent() else self._start(batch.slot)
        worker.future = worker.executor.submit(_work, batch.recipes, batch.time_limit)
        return LocalJob(worker.future, worker.output)

    def _start(self, slot: int) -> "Worker":
        if slot in self._workers:
            self._workers[slot].executor.shutdown(wait=False, kill_workers=True)
        output = self._folder / f"{len(self._executors)}.txt"
        executor = loky.ProcessPoolExecutor(
            max_workers=1,
            env=share(self._devices, slot, self.slots),
            initializer=_begin,
            initargs=(str(output),),
        )
        self._executors.append(executor)
        self._workers[slot] = Worker(executor, output)
        return self._workers[slot]

    def wait(self, jobs: Sequence[Job], seconds: float) -> None:
        """Wait until one of the jobs has ended, at most so long."""
        wait([job.future for job in jobs if isinstance(job, LocalJob)], seconds, FIRST_COMPLETED)

    def close(self) -> None:
        """End all processes."""
        for executor in self._executors:
            executor.shutdown(wait=True, kill_workers=True)
        shutil.rmtree(self._folder, ignore_errors=True)


def _begin(output: str) -> None:
    """The start of a worker of loky's."""
    # loky replaces a process that has grown by 300 MiB, as one with a few compiled programs has
    loky.process_executor._USE_PSUTIL = False
    worker_process.begin(output)


def _work(recipes: Sequence[Recipe], time_limit: float) -> list[Result]:
    """What such a worker does with a batch."""
    with worker_process.working():
        return run_batch(recipes, time_limit)


class LocalJob(Job):
    """A batch in a worker process."""

    def __init__(self, future: Future[list[Result]], output: Path) -> None:
        self.future = future
        self.output = output
        self._asked = False

    def ended(self) -> bool:
        """Whether the batch is done, or its process is gone."""
        return self.future.done()

    def results(self) -> list[Result]:
        """What became of the batch's first cells."""
        return [] if self.future.exception() else self.future.result()

    def death(self) -> str:
        """How the process ended, "" where it lives."""
        error = self.future.exception()
        if error is None:
            return ""
        if not isinstance(error, BrokenExecutor):
            return described(error)
        codes = re.findall(r"\{(.*)\}", str(error))
        return ": ".join(
            filter(None, [_ending(codes[0] if codes else ""), worker_process.last_words(self.output)])
        )

    def stop(self, kill: bool = False) -> None:
        """Interrupt the run that it trains, or kill its process."""
        if kill:
            worker_process.send(self.output, signal.SIGKILL)
        elif not self._asked:
            self._asked = worker_process.send(self.output, signal.SIGTERM)


def _ending(code: str) -> str:
    """From loky's `SIGKILL(-9)` or `EXIT(3)` to words."""
    name = code.partition("(")[0]
    number = code.partition("(")[2].rstrip(")")
    if name == "SIGKILL":
        return "its process was killed (SIGKILL), as the system does when memory runs out"
    return f"its process ended with {f'exit code {number}' if name == 'EXIT' else name or 'no word'}"
