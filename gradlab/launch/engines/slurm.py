"""`engine=slurm`: jobs of a Slurm cluster, by submitit; all batches of a grid are one array."""

import math
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

from gradlab.launch import worker
from gradlab.launch.batch import Batch, Result, run_batch
from gradlab.launch.engines.contract import Carrier, Engine, Job, Jobs, engine, required
from gradlab.recipe.bounds import Bound, Count, Positive, Size, Text
from gradlab.recipe.errors import RecipeError, described
from gradlab.recipe.recipe import Recipe, structure

QUEUE_SECONDS = 5.0  # between two questions to Slurm
WARNING_SECONDS = 60  # before its time is over or it is preempted, a job is told so
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
        self.batch_size = math.ceil(len(recipes) / jobs)
        structures = list(map(structure, recipes))
        self.slots = sum(math.ceil(structures.count(one) / self.batch_size) for one in set(structures))
        study = Path(recipes[0].outputs) / recipes[0].study
        self._folder = study.absolute() / ".slurm" / f"{os.getpid()}-{time.time_ns()}"
        self._executor = submitit.AutoExecutor(folder=self._folder, cluster="slurm")
        self._executor.update_parameters(**parameters)
        self._queue: set[str] = set()
        self._asked = -math.inf

    def carry(self, batches: Sequence[Batch]) -> list[Job]:
        """Submit all batches as one array."""
        if not batches:
            return []
        try:
            with self._executor.batch():
                jobs = [self._executor.submit(Requeued(), batch) for batch in batches]
        except Exception as error:  # submitit raises its own for what sbatch says
            raise RecipeError(f"engine=slurm: {described(error)}") from None
        self._asked = time.monotonic()
        return [SlurmJob(job, self) for job in jobs]

    def queued(self, job_id: str) -> bool:
        """Whether Slurm knows the job as waiting or running; True where Slurm does not answer.

        Accounting, which not every cluster has, is not asked.
        """
        if time.monotonic() - self._asked > QUEUE_SECONDS:
            self._asked = time.monotonic()
            answer = _slurm("squeue", "--me", "--noheader", "--array", "--format=%i")
            self._queue = {"?"} if answer is None else set(answer.split())
            return job_id in self._queue or "?" in self._queue
        return not self._queue or job_id in self._queue or "?" in self._queue

    def wait(self, jobs: Sequence[Job], seconds: float) -> None:
        """Wait so long: a cluster tells nothing by itself."""
        time.sleep(seconds)

    def close(self) -> None:
        """Delete what the jobs have printed and returned."""
        shutil.rmtree(self._folder, ignore_errors=True)
        with suppress(OSError):
            self._folder.parent.rmdir()


class SlurmJob(Job):
    """A batch in a job."""

    def __init__(self, job: Any, jobs: SlurmJobs) -> None:
        self._job = job
        self._jobs = jobs

    def ended(self) -> bool:
        """Whether its result is there, or Slurm has forgotten it."""
        return self._job.paths.result_pickle.exists() or not self._jobs.queued(self._job.job_id)

    def results(self) -> list[Result]:
        """What became of the batch's first cells; nothing where the job returned nothing."""
        if not self._job.paths.result_pickle.exists():
            return []
        outcome, result = self._job._get_outcome_and_result()
        return result if outcome == "success" else []

    def death(self) -> str:
        """How the job ended, "" where it returned."""
        if self.results():
            return ""
        said = worker.last_words(self._job.paths.stdout)
        return f"its job {self._job.job_id} ended without a result{f': {said}' if said else ''}"

    def stop(self, kill: bool = False) -> None:
        """Interrupt the run that it trains, or end the job; a job that waits is taken back."""
        _slurm("scancel", "--state=PENDING", self._job.job_id)
        _slurm("scancel", *([] if kill else ["--signal=TERM", "--batch"]), self._job.job_id)
        if not kill:
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


def _slurm(*words: str) -> str | None:
    """What a command of Slurm prints; None where it fails."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
