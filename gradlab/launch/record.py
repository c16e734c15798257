"""What became of each seed: the rows that count, the first non-finite step, the state to go on from."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow as pa

from gradlab.launch.columns import EVALUATION, PROFILES, columns, values
from gradlab.launch.stopping import Stopping
from gradlab.scheme import State
from gradlab.step import STEP_COLUMNS
from gradlab.store.rows import Rows, tables
from gradlab.train import Chunk, Layout


class Record:
    """With `stop`, a seed ends at its first non-finite step; and where `stopping` says that it is enough.

    The state before the chunk in which it ended is kept.
    """

    def __init__(self, layout: Layout, seeds: np.ndarray, stop: bool, stopping: Stopping) -> None:
        self.layout = layout
        self.seeds = seeds.astype(np.int64)
        self.stop = stop
        self.stopping = stopping
        self.nonfinite: list[dict[str, Any]] = []  # one entry a seed, as status.json tells it
        self.kept: State  # set when the run starts or goes on

    def lost(self) -> np.ndarray:
        """Which seeds have stopped counting because they are not finite."""
        return self.stop & np.isin(self.seeds, [one["seed"] for one in self.nonfinite])

    def over(self) -> np.ndarray:
        """Which seeds have stopped counting."""
        return self.lost() | np.isin(self.seeds, self.stopping.seeds())

    def state(self) -> str:
        """How the run ends, if it ends now."""
        if self.lost().all():
            return "diverged"
        return "stopped" if self.over().all() else "finished"

    def take(self, chunk: Chunk) -> dict[str, pa.Table]:
        """The chunk's rows of each table, without those of lost seeds; notes who is lost in it."""
        kept = np.repeat(~self.over()[:, None], len(chunk.steps), axis=1)
        found = columns(chunk, self.layout)
        if chunk.source == "batch":
            self._judge(chunk, kept)
            self._watch(chunk, found["layers"], kept)
        last = chunk.source == "probe" or chunk.done in chunk.steps
        self._keep(chunk.state)
        return tables(Rows(self.seeds, chunk.steps, chunk.source, kept, last), found)

    def _watch(self, chunk: Chunk, layers: dict[str, Any], kept: np.ndarray) -> None:
        """Note each seed's first step with a non-finite loss or gradient, and drop what follows it."""
        told = dict(zip(STEP_COLUMNS, np.moveaxis(np.asarray(chunk.row.steps), 2, 0), strict=True))
        broken = (~np.isfinite(told["loss"]) | _bad(told["log10_gradient"])) & kept
        known = {one["seed"] for one in self.nonfinite}
        for index in np.flatnonzero(broken.any(1)):
            at = int(broken[index].argmax())
            if int(self.seeds[index]) not in known:
                where = {"seed": int(self.seeds[index]), "step": int(chunk.steps[at])}
                seen = {key: values(layers[key])[index, at] for key in PROFILES if key in layers}
                self.nonfinite.append(where | _culprit(seen, self.layout.names))
            if self.stop:
                kept[index, at + 1 :] = False

    def _judge(self, chunk: Chunk, kept: np.ndarray) -> None:
        """Where training was evaluated, let seeds end that have trained enough: that step's row is their last."""
        if chunk.evaluation is None or chunk.done in chunk.steps:
            return
        train, test = (chunk.evaluation[:, EVALUATION.index(name)] for name in ("train_loss", "test_loss"))
        self.stopping.look(int(chunk.steps[0]), train, test, self.seeds[~self.lost()].tolist())
        kept[np.isin(self.seeds, self.stopping.seeds()), 1:] = False

    def _keep(self, now: State) -> None:
        """Each seed's newest state, or for one that is over that before the chunk it ended in."""
        old = self.over()
        if not old.any():
            self.kept = now
            return
        pick = lambda before, after: jnp.where(old.reshape(-1, *[1] * (after.ndim - 1)), before, after)
        self.kept = jax.tree.map(pick, self.kept, now)

    def sentence(self) -> str:
        """One line for all seeds that left the finite numbers, or ended early."""
        words = [self.stopping.sentence()] if self.stopping.ended else []
        for one in self.nonfinite:
            place = f" in {one['name']} ({one['where']})" if one["name"] else ""
            words.append(f"seed {one['seed']} is not finite at step {one['step']}{place}")
        return "; ".join(words)


def _bad(log10: np.ndarray) -> np.ndarray:
    return np.isnan(log10) | (log10 == np.inf)


def _culprit(profiles: dict[str, np.ndarray], names: list[str]) -> dict[str, Any]:
    """Where it began: the first layer forward, else the last layer backward, that is not finite."""
    for column, where, pick in zip(PROFILES, ("forward", "backward", "backward"), (0, -1, -1), strict=True):
        found = np.flatnonzero(_bad(profiles[column])) if column in profiles else np.array([])
        if len(found):
            layer = int(found[pick])
            return {"layer": layer, "name": names[layer], "where": where}
    return {"layer": None, "name": None, "where": "loss"}
