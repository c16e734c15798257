"""What a run would cost, said before it is run."""

from math import lcm

from gradlab.engine.checks import check
from gradlab.engine.layout import layout
from gradlab.engine.tasks import load_task
from gradlab.measure.columns import COLUMNS
from gradlab.recipe.recipe import Recipe

BYTES = 2.3  # on disk for each float in the tables, keys and counts included: measured at depth 20 and 50


def estimate(recipe: Recipe) -> dict[str, int]:
    """The number of parameters, the rows of all tables, and about how many bytes they take on disk."""
    recipe = check(recipe)
    names = layout(recipe, load_task(recipe))
    log, evaluations = recipe.log.every, recipe.eval.every
    times = lambda every: -(-recipe.steps // every)  # how many of the steps 0 … steps − 1 it looks at
    looks = (
        times(log) + times(evaluations) - times(lcm(log, evaluations)) + 1
    )  # the batch's rows, with the last
    looks += times(evaluations) + 1  # the probe's
    layers, entries = len(names.names), len(names.entries)
    moments, notes = sum(steps for _, steps in names.times), len(names.notes)
    floats = len(COLUMNS["layers"]) * layers + len(COLUMNS["parameters"]) * entries
    floats += len(COLUMNS["times"]) * moments + notes
    return {
        "parameters": sum(entry[2] for entry in names.entries),
        "rows": recipe.seeds * looks * (layers + entries + moments + notes + 1),
        "bytes": round(BYTES * recipe.seeds * looks * floats),
    }
