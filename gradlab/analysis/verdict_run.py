"""A stored run as its verdicts need it: few columns, and of the layers only the steps that a verdict is about.

Of ten thousand rows a verdict on the signal uses those of two steps: to decode the others takes longer than all else.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from gradlab.analysis.arrays import Rows
from gradlab.analysis.clip_limits import UNKNOWN, clip_columns, may_drop
from gradlab.analysis.score import score_of
from gradlab.analysis.selection import rows_from_arrow, rows_of
from gradlab.store.minibatches import Selection
from gradlab.store.read import Run, frames, sorted_rows
from gradlab.store.write import table_files

LAYER_COLUMNS = (
    *("name", "log10_forward", "log10_backward", "log10_weight"),
    *("cosine", "effective_rank", "dead"),
)
FOREIGN_COLUMNS = ("log10_gradient",)  # of layers, on which the verdicts of a foreign run rest beside these
STEP_COLUMNS = ("loss", "learning_rate", "log10_gradient", "clipped", "overflowed", "train_loss", "test_loss")
TIME_COLUMNS = ("name", "log10_backward")
NO_TIMES = pd.DataFrame(columns=["source", "step"])  # of a network without time steps


def step_columns(data: Mapping[str, Any] | None, clip: Mapping[str, Any]) -> tuple[str, ...]:
    """The columns of the table of steps that a verdict reads: those of the data's score and of a chain's clips too."""
    column = score_of(data).column
    return (*STEP_COLUMNS, f"train_{column}", f"test_{column}", *clip_columns(clip).values())


@dataclass(frozen=True, eq=False)
class VerdictRun(Run):
    """A run whose tables have what `verdicts_of` reads of them, and no more."""

    @cached_property
    def layers(self) -> pd.DataFrame:
        """The rows of the first and the last steps with a backward signal, as `Run.layers`."""
        return frames("layers", [self], self.layer_selection)[0]

    @cached_property
    def steps(self) -> pd.DataFrame:
        """As `Run.steps`, without the columns of no verdict."""
        return frames("steps", [self], self.step_selection)[0]

    @cached_property
    def layer_rows(self) -> Rows:
        """The rows of `layers` as arrays, without a frame on the way."""
        return rows_from_arrow(sorted_rows("layers", [self], self.layer_selection)[0])

    @cached_property
    def step_rows(self) -> Rows:
        """The rows of `steps` as arrays, without a frame on the way."""
        return rows_from_arrow(sorted_rows("steps", [self], self.step_selection)[0])

    @cached_property
    def parameters(self) -> pd.DataFrame:
        """The sizes of the updates, as `Run.parameters`."""
        return frames("parameters", [self], Selection(("log10_update",)))[0]

    @cached_property
    def times(self) -> pd.DataFrame:
        """The rows of the steps of `layers`; empty if the network has no time steps."""
        if not table_files(self.folder, "times"):
            return NO_TIMES
        steps = pa.array(np.unique(self.layer_rows["step"]), pa.int32())
        at_steps = lambda rows: rows.filter(pc.is_in(rows["step"], value_set=steps))
        return frames("times", [self], Selection(TIME_COLUMNS, at_steps))[0]

    @property
    def layer_selection(self) -> Selection:
        """What a verdict reads of the table of layers."""
        return Selection(_layer_columns(self), self._of_verdicts)

    @property
    def step_selection(self) -> Selection:
        """What a verdict reads of the table of steps."""
        return Selection(step_columns(self.status.get("data"), self.recipe.get("clip", UNKNOWN)))

    def _of_verdicts(self, rows: pa.Table) -> pa.Table:
        """The rows of the first step, of the last one of each seed, and of that where a seed became non-finite."""
        if self.is_foreign:
            return self._of_foreign_verdicts(rows)
        if may_drop(self.recipe):  # the last step that counts may be any
            return rows
        seed, step = rows["seed"].to_numpy(), rows["step"].to_numpy()
        measured = pc.equal(rows["source"].cast(pa.string()), "batch").to_numpy()
        if "log10_backward" in rows.column_names:
            measured &= rows["log10_backward"].is_valid().to_numpy()
        wanted = {int(step[measured].min(initial=step.max()))}
        wanted |= {int(step[measured & (seed == number)].max()) for number in np.unique(seed[measured])}
        wanted |= {entry["step"] for entry in self.status.get("nonfinite", [])}
        return rows.filter(pa.array(np.isin(step, sorted(wanted))))

    def _of_foreign_verdicts(self, rows: pa.Table) -> pa.Table:
        """The rows of the first and the last step with a signal, and with a weight gradient, and of a divergence."""
        step = rows["step"].to_numpy()
        wanted = {entry["step"] for entry in self.status.get("nonfinite", [])}
        for name in ("log10_backward", *FOREIGN_COLUMNS):
            measured = step[rows[name].is_valid().to_numpy()] if name in rows.column_names else step[:0]
            wanted |= {int(end) for end in (measured.min(), measured.max())} if len(measured) else set()
        return rows.filter(pa.array(np.isin(step, sorted(wanted))))


def layer_rows(run: Run) -> Rows:
    """The rows of layers that the verdicts are about."""
    return run.layer_rows if isinstance(run, VerdictRun) else rows_of(run.layers, _layer_columns(run))


def _layer_columns(run: Run) -> tuple[str, ...]:
    return (*LAYER_COLUMNS, *(FOREIGN_COLUMNS if run.is_foreign else ()))


def step_rows(run: Run) -> Rows:
    """The rows of steps with the columns of the verdicts."""
    if isinstance(run, VerdictRun):
        return run.step_rows
    return rows_of(run.steps, step_columns(run.status.get("data"), run.recipe.get("clip", UNKNOWN)))
