"""The verdicts so far of a run that is being written, from rows that were read as they came."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import pandas as pd
import pyarrow as pa

from gradlab.analysis.verdict_run import NO_TIMES, VerdictRun
from gradlab.store.minibatches import Selection
from gradlab.store.read import Run

PROFILE_COLUMNS = ("log10_gradient",)  # of layers, that are shown beside what a verdict reads
_UPDATES = Selection(("log10_update",))


@dataclass(frozen=True, eq=False)
class GrowingRun(VerdictRun):
    """A run some of whose rows were read already, by table; nothing is said of its signal over time."""

    rows: Mapping[str, pa.Table] = field(default_factory=dict)

    @cached_property
    def selections(self) -> dict[tuple[str, Selection], pa.Table]:
        """The rows that were read, as those that a verdict would read."""
        by_table = {"layers": self.layer_selection, "steps": self.step_selection, "parameters": _UPDATES}
        return {(table, by_table[table]): rows for table, rows in self.rows.items()}

    @cached_property
    def times(self) -> pd.DataFrame:
        """None: those of all steps would have to be read again."""
        return NO_TIMES

    def of_verdicts(self, layers: pa.Table) -> pa.Table:
        """Of the rows of layers so far those that a verdict is about; later rows make it be about no other of them."""
        return self.layer_selection.rows(layers) if layers.num_rows else layers


def growing(run: Run, rows: Mapping[str, pa.Table]) -> GrowingRun:
    """The run with the rows that were read of it."""
    return GrowingRun(run.folder, run.recipe, run.status, rows=rows)


def followed_columns(run: Run) -> dict[str, tuple[str, ...]]:
    """The columns of each table that a verdict on the run so far, and its profile, read."""
    selected = growing(run, {})
    columns = {
        "layers": (*selected.layer_selection.columns, *PROFILE_COLUMNS),
        "steps": selected.step_selection.columns,
    }
    batch_size, examples = (
        run.recipe.get("batch_size", 1),
        (run.status.get("data") or {}).get("train", math.inf),
    )
    if batch_size == 0 or batch_size >= examples:  # a verdict on one batch reads the sizes of the updates
        columns["parameters"] = _UPDATES.columns
    return columns
