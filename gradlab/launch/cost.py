"""What a run would cost, estimated before it is run."""

from collections.abc import Callable
from math import lcm

import pyarrow as pa

from gradlab.engine.prepare import PreparedRun

BYTES = 2.3  # on disk for each float in the tables, keys and counts included: measured at depth 20 and 50


def estimate(run: PreparedRun) -> dict[str, int]:
    """The number of parameters, the rows of all tables, and about how many bytes they take on disk."""
    recipe, row_layout = run.recipe, run.layout
    log, evaluations = recipe.log.every, recipe.eval.every
    # how many of the steps 0 … steps − 1 are multiples of `every`
    multiples: Callable[[int], int] = lambda every: -(-recipe.steps // every)
    # with the row after the last step
    batch_rows = multiples(log) + multiples(evaluations) - multiples(lcm(log, evaluations)) + 1
    measured_rows = batch_rows + multiples(evaluations) + 1  # with those of the fixed batch
    layers, entries = len(row_layout.names), len(row_layout.entries)
    time_steps, notes = sum(steps for _, steps in row_layout.times), len(row_layout.notes)
    columns = {
        table: sum(map(pa.types.is_floating, schema.types)) for table, schema in row_layout.schemas.items()
    }
    floats = columns["layers"] * layers + columns["parameters"] * entries
    floats += columns["times"] * time_steps + notes
    return {
        "parameters": sum(entry.size for entry in row_layout.entries),
        "rows": recipe.seeds * measured_rows * (layers + entries + time_steps + notes + 1),
        "bytes": round(BYTES * recipe.seeds * measured_rows * floats),
    }
