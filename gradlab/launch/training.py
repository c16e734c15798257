"""A run as it is trained: what each chunk of steps brings is stored, until it is complete or has to end."""

import signal
import time
from typing import NamedTuple

from gradlab.engine.loop import ChunkResult, LoadedRun
from gradlab.engine.seed_programs import ChunkKind
from gradlab.engine.update import TrainState
from gradlab.launch.run_writer import End, RunWriter
from gradlab.launch.seed_tracker import SeedTracker
from gradlab.recipe.errors import NonFiniteError
from gradlab.recipe.recipe import Recipe

TIME_OVER = "its time limit"  # in the message of a run that it has interrupted
CHECKPOINT_SECONDS = 5.0  # between two checkpoints


class Clock(NamedTuple):
    """What may end a run before its last step: a signal that was caught, or its time."""

    caught: list[int]
    time_limit: float
    deadline: float

    @property
    def reason(self) -> str:
        """Why it has to end now, "" as long as it may go on."""
        if self.caught:
            return signal.Signals(self.caught[0]).name
        return f"{TIME_OVER} of {self.time_limit:g} s was over" if time.monotonic() > self.deadline else ""


class Training:
    """Stores a run chunk by chunk: the rows of a chunk are written before the checkpoint that covers them.

    first: the step from which it goes on; state: that of its seeds there; complete: nothing is left to train.
    """

    def __init__(self, recipe: Recipe, run: LoadedRun, writer: RunWriter, state: TrainState) -> None:
        self.recipe = recipe
        self.run = run
        self.writer = writer
        self.tracker = SeedTracker(recipe, run.layout, run.seeds, state, writer.status["data"]["chance_loss"])
        self.first = writer.resume(self.tracker)
        self.saved_at = time.perf_counter()
        self.complete = writer.next > recipe.steps or bool(self.tracker.ended().all())

    @property
    def state(self) -> TrainState:
        """The state of the seeds, with their leading axis."""
        return self.tracker.state

    def begin(self, compile_seconds: float, flops_per_step: int | None) -> None:
        """Note what the programs cost."""
        self.writer.status |= {
            "parameters": sum(size for _, _, size in self.run.layout.entries),
            "compile_seconds": round(compile_seconds, 3),
            "flops_per_step": flops_per_step,
        }
        if self.writer.is_due:  # else the status that follows the first rows tells it
            self.writer.update_status()

    def take(self, chunk: ChunkResult) -> None:
        """Store what a chunk brings.

        Raises:
            NonFiniteError: it is not finite, and the recipe has on_nonfinite=raise.
        """
        self.writer.add(self.tracker.take(chunk))
        self.writer.add_seconds(chunk.seconds)
        if chunk.kind is ChunkKind.FIXED_BATCH:
            return  # its rows are written in one file with those of the next chunk
        # the final row has the number `steps`; no such step is made
        following = chunk.steps_done + (chunk.kind is ChunkKind.FINAL)
        self.writer.reach(chunk.steps_done, following, self.tracker)
        self.complete = following > self.recipe.steps or bool(self.tracker.ended().all())
        saves = time.perf_counter() - self.saved_at > CHECKPOINT_SECONDS
        if saves or self.writer.is_due:
            self.writer.flush()
            self.writer.update_status()
        if self.tracker.nonfinite and self.recipe.on_nonfinite == "raise":
            raise NonFiniteError(self.tracker.message())
        if saves and not self.complete:
            self.writer.save_checkpoint(self.tracker)
            self.saved_at = time.perf_counter()

    def end(self, reason: str) -> End:
        """Store the end of the run; `reason`: why it has to end if it is not complete."""
        self.writer.flush()
        self.writer.save_checkpoint(self.tracker)
        if not self.complete:
            return interrupt(self.writer, reason)
        return self.writer.end(self.tracker.run_state(), self.tracker.message())


def interrupt(writer: RunWriter, reason: str) -> End:
    """Store that a run goes on another time."""
    return writer.end("interrupted", f"{reason} after step {writer.status['steps_done']}")
