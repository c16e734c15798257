"""`engine=slurm`: jobs of a Slurm cluster, by submitit; all batches of a grid are one array."""

import io
import math
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack, redirect_stderr, suppress
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

from gradlab.launch import worker
from gradlab.launch.batch import Batch, run_batch
from gradlab.launch.engines.contract import Carrier, Engine, Job, Jobs, batching, engine, required
from gradlab.launch.run import Result
from gradlab.recipe.bounds import Bound, Count, Positive, Size, Text
from gradlab.recipe.errors import RecipeError, described, unwritable
from gradlab.recipe.recipe import Recipe
from gradlab.store import files, lock

QUEUE_SECONDS = 5.0  # between two questions to Slurm
WARNING_SECONDS = 60  # between Slurm's warning and the end of a job whose time is over
QUEUED = ("squeue", "--me", "--noheader", "--array", "--format=%i")
JOBS = "jobs.txt"  # the numbers of the jobs that were submitted
Minutes = Annotated[int, Bound(int, 2, 10**6)]


@engine
def slurm(partition: Text, jobs: Jobs, cpus: Size, gpus: Count, memory: Positive, minutes: Minutes) -> Engine:
    """Jobs of one batch each, so many at once; a job that is preempted or out of time is queued again and goes on.

    The folder of the outputs must be on a disk that the cluster's machines share.
    """
    submitit = required("submitit", "slurm")
    parameters = {
        "slurm_partition": partition or None,
        "slurm_array_parallelism": jobs,
        "cpus_per_task": cpus,
        "slurm_gpus_per_node": gpus or None,
        "mem_gb": memory,
        "timeout_min": minutes,
        "slurm_signal_delay_s": min(WARNING_SECONDS, 30 * minutes),
        "name": "gradlab",
        "stderr_to_stdout": True,
    }
    given = {key: value for key, value in parameters.items() if value is not None}
    return Engine(lambda recipes: SlurmJobs(submitit, recipes, jobs, given))


class SlurmJobs(Carrier):
    """Jobs of a cluster; what they print and return is in a hidden folder of the study."""

    def __init__(
        self, submitit: Any, recipes: Sequence[Recipe], jobs: int, parameters: dict[str, Any]
    ) -> None:
        if shutil.which("sbatch") is None:
            raise RecipeError(
                "engine=slurm: there is no sbatch here; run the command on a machine of the cluster, "
                "or give engine=local"
            )
        self.batch_size, self.slots = batching(recipes, jobs)
        self.shares = True
        self._lock = ExitStack()
        self._place = _shared_folder(recipes[0])
        self._lock.enter_context(lock.hold(self._place))
        _take_back(self._place)
        # nobody else may write there: what a job returns is a pickle
        self._folder = Path(tempfile.mkdtemp(dir=self._place))
        self._executor = submitit.AutoExecutor(folder=self._folder, cluster="slurm")
        self._executor.update_parameters(**parameters)
        self._queue: set[str] | None = None
        self._answers = 0
        self._asked = -math.inf

    def carry(self, batches: Sequence[Batch]) -> list[Job]:
        """Submit all batches as one array."""
        if not batches:
            return []
        try:
            # submitit prints what sbatch says, which is in its exception too
            with redirect_stderr(io.StringIO()), self._executor.batch():
                jobs = [self._executor.submit(Requeued(), batch) for batch in batches]
        except Exception as error:  # submitit raises its own for what sbatch says
            raise RecipeError(f"engine=slurm: {described(error)}") from None
        self._asked, self._queue = time.monotonic(), None  # the last answer was before these jobs
        files.append(self._place, JOBS, "".join(f"{job.job_id}\n" for job in jobs).encode())
        return [SlurmJob(job, self) for job in jobs]

    def ask(self) -> tuple[int, set[str] | None]:
        """Slurm's newest answer: its number, and the jobs that wait or run; None where Slurm does not answer.

        Accounting, which not every cluster has, is not asked.
        """
        if time.monotonic() - self._asked > QUEUE_SECONDS:
            self._asked = time.monotonic()
            answer = _slurm(*QUEUED)
            self._queue = None if answer is None else set(answer.split())
            self._answers += 1
        return self._answers, self._queue

    def wait(self, jobs: Sequence[Job], seconds: float) -> None:
        """Wait so long: a cluster tells nothing by itself."""
        time.sleep(seconds)

    def close(self) -> None:
        """Delete what the jobs have printed and returned."""
        shutil.rmtree(self._folder, ignore_errors=True)
        with suppress(OSError):
            files.remove(self._place, [JOBS])
        self._lock.close()


class SlurmJob(Job):
    """A batch in a job."""

    def __init__(self, job: Any, jobs: SlurmJobs) -> None:
        self._job = job
        self._jobs = jobs
        self._asked = False
        self._absent: int | None = None  # the number of the first answer in which it was missing

    def ended(self) -> bool:
        """Whether its result is there, or it was missing in two of Slurm's answers."""
        number, queue = self._jobs.ask()
        if queue is None or self._job.job_id in queue:
            self._absent = None
        elif self._absent is None:
            self._absent = number
        gone = self._absent is not None and number > self._absent
        return gone or self._job.paths.result_pickle.exists()

    def results(self) -> list[Result]:
        """What became of the batch's first cells; nothing where the job returned nothing."""
        if not self._job.paths.result_pickle.exists():
            return []
        with suppress(Exception):  # whatever the job raised
            return list(self._job.result())
        return []

    def death(self) -> str:
        """How the job ended, "" where it returned."""
        if self.results():
            return ""
        words = worker.last_words(self._job.paths.stdout)
        return f"its job {self._job.job_id} ended without a result{f': {words}' if words else ''}"

    def stop(self, kill: bool = False) -> None:
        """Interrupt the run that it trains, or end the job; a job that waits is taken back."""
        if kill:
            _slurm("scancel", self._job.job_id)
        elif not self._asked:
            self._asked = True
            _slurm("scancel", "--state=PENDING", self._job.job_id)
            _slurm("scancel", "--signal=TERM", self._job.job_id)


class Requeued:
    """Runs a batch in a job; on Slurm's warning the run is interrupted and the job queued again.

    It goes on from the run's checkpoint; what is finished is not run again.
    """

    def __call__(self, batch: Batch) -> list[Result]:
        """What became of the batch's first cells."""
        warned: list[int] = []

        def warn(number: int, frame: FrameType | None) -> None:
            warned.append(number)
            os.kill(os.getpid(), signal.SIGTERM)

        signal.signal(signal.SIGUSR2, warn)
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        results = run_batch(batch.recipes, batch.time_limit)
        if warned:
            task = os.environ.get("SLURM_ARRAY_TASK_ID")
            name = os.environ.get("SLURM_ARRAY_JOB_ID" if task else "SLURM_JOB_ID", "")
            if _slurm("scontrol", "requeue", f"{name}_{task}" if task else name) is not None:
                time.sleep(2 * WARNING_SECONDS)  # Slurm ends the job
        return results


def _shared_folder(recipe: Recipe) -> Path:
    """The hidden folder of the recipe's study in which jobs and their supervisor meet.

    Raises:
        RecipeError: it cannot be made, or is a link.
        StorageError: the file system does not take it.
    """
    place = (Path(recipe.outputs) / recipe.study / ".slurm").absolute()
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(f"outputs={recipe.outputs}", error, recipe.outputs) from None
    if place.is_symlink():
        raise RecipeError(f"{place} is a link; remove it")
    return place


def _take_back(place: Path) -> None:
    """Interrupt the jobs of a command that was killed, which would train the same runs; waits until they are gone."""
    with suppress(OSError):
        before = set(files.read(place, JOBS).decode().split())
        while left := before & set((_slurm(*QUEUED) or "").split()):
            _slurm("scancel", "--signal=TERM", *left)
            _slurm("scancel", "--state=PENDING", *left)
            time.sleep(QUEUE_SECONDS)
        files.remove(place, [JOBS])


def _slurm(*words: str) -> str | None:
    """What a command of Slurm prints; None where it fails."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
