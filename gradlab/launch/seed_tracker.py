"""Each seed of a run: the rows that are kept, its first non-finite step, and the state from which it continues."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow as pa

from gradlab.analysis.clip_limits import drops, patience
from gradlab.engine.layout import Layout
from gradlab.engine.loop import ChunkResult
from gradlab.engine.rows import columns, measured_profile, step_values
from gradlab.engine.seed_programs import ChunkKind
from gradlab.engine.update import TrainState
from gradlab.launch.early_stopping import EarlyStopping, Evaluation
from gradlab.measurements.columns import EVALUATION
from gradlab.measurements.fault import first_nonfinite
from gradlab.measurements.log10 import is_not_finite
from gradlab.recipe.recipe import Recipe
from gradlab.store.rows import Rows, tables
from gradlab.store.write import Checkpoint

PROFILES = ("log10_forward", "log10_backward", "log10_gradient")


class SeedTracker:
    """Follows the seeds of a run from chunk to chunk.

    A seed ends when early stopping says so and, with on_nonfinite=stop, at its first non-finite step. Of a seed that
    has ended, `state` holds the state before the chunk in which it ended.
    """

    def __init__(
        self,
        recipe: Recipe,
        layout: Layout,
        seeds: np.ndarray,
        state: TrainState,
        chance_loss: float | None = None,
    ) -> None:
        self.layout = layout
        self.seeds = seeds.astype(np.int64)
        self.stops_nonfinite = recipe.on_nonfinite == "stop"
        self.clip_drops = drops(recipe.clip)
        self.early_stopping = EarlyStopping(
            recipe.stop, seeds, patience(recipe.clip), chance_loss, layout.names, recipe.log.every
        )
        self.nonfinite: list[dict[str, Any]] = []  # one entry per seed, as status.json holds it
        self.overflows: list[int] | None = None  # of each seed, recorded updates that loss scaling dropped
        if recipe.loss_scale.kind == "dynamic":
            self.overflows = [0] * len(seeds)
        self.state = state  # from which training continues

    def restore(self, checkpoint: Checkpoint, state: TrainState) -> None:
        """Sets it to what it was at a checkpoint, whose leaves are `state`."""
        self.nonfinite = checkpoint.facts["nonfinite"]
        self.overflows = checkpoint.facts.get("overflows", self.overflows)
        self.early_stopping.restore(checkpoint.facts["stopping"])
        self.state = state

    def diverged(self) -> np.ndarray:
        """Which seeds have ended because they are not finite, (seeds,)."""
        return self.stops_nonfinite & np.isin(self.seeds, [entry["seed"] for entry in self.nonfinite])

    def ended(self) -> np.ndarray:
        """Which seeds have ended, (seeds,)."""
        return self.diverged() | np.isin(self.seeds, self.early_stopping.seeds())

    def run_state(self) -> str:
        """The state of the run, if it ends now."""
        if self.diverged().all():
            return "diverged"
        return "stopped" if self.ended().all() else "finished"

    def take(self, chunk: ChunkResult) -> dict[str, pa.Table]:
        """The chunk's rows of each table, without those of ended seeds; notes which seeds end in it."""
        kept = np.repeat(~self.ended()[:, None], len(chunk.steps), axis=1)
        table_columns = columns(chunk, self.layout)
        if chunk.kind is not ChunkKind.FIXED_BATCH:
            if chunk.kind is ChunkKind.STEPS:
                self._stop_early(chunk, table_columns["layers"], kept)
                self._count_dropped(chunk, kept)
            self._note_nonfinite(chunk, table_columns["layers"], kept)
            if chunk.kind is ChunkKind.STEPS and self.overflows is not None:
                overflowed = (step_values(chunk, self.layout)["overflowed"] == 1) & kept
                self.overflows = [
                    before + int(new.sum()) for before, new in zip(self.overflows, overflowed, strict=True)
                ]
        self._keep_state(chunk.state)
        rows = Rows(seeds=self.seeds, steps=chunk.steps, source=chunk.source, kept=kept)
        return tables(rows, table_columns, self.layout.schemas)

    def _note_nonfinite(self, chunk: ChunkResult, layers: dict[str, Any], kept: np.ndarray) -> None:
        """Note each seed's first step with a non-finite loss or gradient; drop what follows it from `kept`."""
        broken = self._broken(step_values(chunk, self.layout)) & kept
        noted = {entry["seed"] for entry in self.nonfinite}
        for index in np.flatnonzero(broken.any(1)):
            at = int(broken[index].argmax())
            if int(self.seeds[index]) not in noted:
                where = {"seed": int(self.seeds[index]), "step": int(chunk.steps[at])}
                profiles = {
                    key: profile
                    for key in PROFILES
                    if key in layers
                    and (profile := measured_profile(layers[key], int(index), at)) is not None
                }
                self.nonfinite.append(where | _first_layer(profiles, self.layout.names))
            if self.stops_nonfinite:
                kept[index, at + 1 :] = False

    def _stop_early(self, chunk: ChunkResult, layers: dict[str, Any], kept: np.ndarray) -> None:
        """At an evaluation, let seeds end that have trained enough: that step's row is their last in `kept`."""
        if chunk.evaluation is None:
            return
        names = [column.name for column in EVALUATION]
        train, test = (chunk.evaluation[:, names.index(name)] for name in ("train_loss", "test_loss"))
        backward = layers.get("log10_backward", (None, None))[0]
        signal = None if backward is None else backward[:, 0]
        self.early_stopping.judge(Evaluation(int(chunk.steps[0]), train, test, signal), self._live())
        kept[np.isin(self.seeds, self.early_stopping.seeds()), 1:] = False

    def _count_dropped(self, chunk: ChunkResult, kept: np.ndarray) -> None:
        """Let seeds end whose clip dropped too many updates in a row: that step's row is their last in `kept`."""
        if not self.clip_drops:
            return
        row = step_values(chunk, self.layout)
        ended = np.logical_or.accumulate(self._broken(row) & kept, axis=1) & self.stops_nonfinite
        dropped = self._dropped(row) & kept & ~ended
        self.early_stopping.count_dropped(chunk.steps, dropped, self._live())
        for entry in self.early_stopping.stopped:
            kept[self.seeds == entry["seed"]] &= chunk.steps <= entry["step"]

    def _broken(self, row: dict[str, np.ndarray]) -> np.ndarray:
        """Which steps have a non-finite loss or gradient that was used, not dropped by the clip, (seeds, rows).

        A gradient that loss scaling dropped does not count either, unless the scale was 1: scaling is not the cause.
        """
        overflowed = is_not_finite(row["log10_gradient"])
        if "overflowed" in row:
            overflowed &= ~((row["overflowed"] == 1) & (row["scale"] > 1))
        flags: np.ndarray = ~np.isfinite(row["loss"]) | overflowed
        flags &= ~self._dropped(row)
        return flags

    def _dropped(self, row: dict[str, np.ndarray]) -> np.ndarray:
        """Which updates the clip dropped, (seeds, rows)."""
        return np.asarray(row["clipped"] == 1) & self.clip_drops

    def _live(self) -> list[int]:
        return [int(seed) for seed in self.seeds[~self.diverged()]]

    def _keep_state(self, new: TrainState) -> None:
        """Take the new state of every seed that has not ended."""
        ended = self.ended()
        if not ended.any():
            self.state = new
            return
        pick = lambda before, after: jnp.where(ended.reshape(-1, *[1] * (after.ndim - 1)), before, after)
        self.state = jax.tree.map(pick, self.state, new)

    def message(self) -> str:
        """One line for all seeds that became non-finite, or stopped early."""
        sentences = [self.early_stopping.message()] if self.early_stopping.stopped else []
        for entry in self.nonfinite:
            place = f" in {entry['name']} ({entry['where']})" if entry["name"] else ""
            sentences.append(f"seed {entry['seed']} is not finite at step {entry['step']}{place}")
        return "; ".join(sentences)


def _first_layer(profiles: dict[str, np.ndarray], names: list[str]) -> dict[str, Any]:
    """Where it began, as status.json says it; a profile that was not measured is taken for whole."""
    unmeasured = np.zeros(len(names))
    layer, where = first_nonfinite(*(profiles.get(column, unmeasured) for column in PROFILES))
    return {"layer": layer, "name": None if layer is None else names[layer], "where": where}
