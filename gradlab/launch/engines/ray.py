"""`engine=ray`: tasks of a Ray cluster, or of one that is started on this machine."""

from collections.abc import Sequence
from typing import Any

from gradlab.launch.batch import Batch, run_batch
from gradlab.launch.engines.contract import Carrier, Engine, Job, Jobs, batching, engine, required
from gradlab.launch.run import Result
from gradlab.recipe.bounds import Count, Size, Text
from gradlab.recipe.errors import RecipeError, described
from gradlab.recipe.recipe import Recipe


@engine
def ray(address: Text, jobs: Jobs, cpus: Size, gpus: Count) -> Engine:
    """Tasks of one batch each, so many at once.

    The folder of the outputs must be on a disk that the cluster's machines share.
    """
    library = required("ray", "ray")

    def open_engine(recipes: Sequence[Recipe]) -> Carrier:
        try:
            library.init(address, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        except Exception as error:
            raise RecipeError(f"engine=ray: engine.address={address}: {described(error)}") from None
        return RayTasks(library, recipes, jobs, cpus, gpus)

    return Engine(open_engine)


class RayTasks(Carrier):
    """Tasks of a cluster, each a batch in a process of its own."""

    def __init__(self, library: Any, recipes: Sequence[Recipe], jobs: int, cpus: int, gpus: int) -> None:
        self._ray = library
        self.batch_size, batches = batching(recipes, jobs)
        self.shares = True
        self.slots = min(batches, jobs)
        # a process is not used again: what a batch has ended, no other finds
        options = {"num_cpus": cpus, "num_gpus": gpus, "max_retries": 0, "max_calls": 1}
        self._task = library.remote(**options)(run_batch)

    def carry(self, batches: Sequence[Batch]) -> list[Job]:
        """Send each batch as a task."""
        return [RayJob(self._ray, self._task.remote(batch.recipes, batch.time_limit)) for batch in batches]

    def wait(self, jobs: Sequence[Job], seconds: float) -> None:
        """Wait until one of the jobs has ended, at most so long."""
        self._ray.wait([job.reference for job in jobs if isinstance(job, RayJob)], timeout=seconds)

    def close(self) -> None:
        """Leave the cluster; one that was started here ends."""
        self._ray.shutdown()


class RayJob(Job):
    """A batch in a task."""

    def __init__(self, library: Any, reference: Any) -> None:
        self._ray = library
        self.reference = reference
        self._asked = False

    def ended(self) -> bool:
        """Whether the batch is done, or its process is gone."""
        done, _ = self._ray.wait([self.reference], timeout=0)
        return bool(done)

    def results(self) -> list[Result]:
        """What became of the batch's first cells."""
        results, _ = self._outcome()
        return results

    def death(self) -> str:
        """How the task ended, "" where it returned."""
        _, error = self._outcome()
        return "" if error is None else f"its task ended: {described(error)}"

    def stop(self, kill: bool = False) -> None:
        """Interrupt the run that it trains, or end its process."""
        if kill or not self._asked:
            self._asked = True
            self._ray.cancel(self.reference, force=kill)

    def _outcome(self) -> tuple[list[Result], Exception | None]:
        try:
            return self._ray.get(self.reference), None
        except Exception as error:  # of Ray, or what the task raised
            return [], error
