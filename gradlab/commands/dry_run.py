"""What a grid would cost: the table of `--dry-run`."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradlab.commands.compose.grid import Grid, error_lines, lines_with_advice
from gradlab.recipe.errors import RecipeError
from gradlab.recipe.recipe import Recipe, plain, structure
from gradlab.report.study_table import duration
from gradlab.report.summary import aligned
from gradlab.report.terminal import say

if TYPE_CHECKING:
    from gradlab.analysis.forecast import Forecast
    from gradlab.data.task import Task
    from gradlab.engine.prepare import PreparedRun


def costs(
    study: Grid, load: "Callable[[Recipe], Task]", engine_part: dict[str, Any], skip_unfit: bool
) -> str:
    """A table of the runs with their parameters, steps, rows, bytes on disk, time and memory, and what does not fit.

    Time and memory are those of stored runs of the study; where there are none these columns are left out.

    Raises:
        RecipeError: a network cannot be built; with `skip_unfit` if none can.
    """
    from gradlab.engine.prepare import prepare
    from gradlab.launch import estimate

    forecast_of = _forecasts(study)
    rows = [["run", "parameters", "steps", "rows", "MB", "time", "MiB"]]
    total, forecasts = 0.0, []
    errors: dict[str, list[str]] = {}
    for recipe, label in zip(study.recipes, study.labels, strict=True):
        run = prepare(recipe, load)
        try:
            cost = estimate(run)
        except RecipeError as error:
            errors.setdefault(str(error), []).append(label)
            continue
        total += cost["bytes"] / 1e6
        forecasts.append(forecast_of(run))
        words = [run.folder.name, f"{cost['parameters']:,}", f"{recipe.steps} × {recipe.seeds}"]
        words += [f"{cost['rows']:,}", f"{cost['bytes'] / 1e6:.1f}", *_words(forecasts[-1])]
        rows.append(words)
    table = aligned([row[: _width(rows)] for row in rows])
    if errors and not (skip_unfit and forecasts):
        if forecasts:
            say(table)
        raise RecipeError(*lines_with_advice(errors, len(forecasts)) if study.keys else errors)
    left_out = [f"left out    {line}" for line in (*study.unfit, *error_lines(errors))]
    time = _time(study, forecasts, engine_part)
    return "\n".join([table, f"{len(forecasts)} runs, {total:.1f} MB{time}; nothing was run", *left_out])


def _forecasts(study: Grid) -> "Callable[[PreparedRun], Forecast]":
    """What tells the forecast of a run from the stored runs of its study; one of each structure and number of steps."""
    from gradlab.analysis.forecast import forecast
    from gradlab.analysis.study import study_rows
    from gradlab.store.read import Run

    folders = {Path(recipe.outputs) / recipe.study for recipe in study.recipes}
    rows = study_rows([folder for folder in folders if folder.is_dir()])
    known: dict[object, Forecast] = {}

    def forecast_of(run: "PreparedRun") -> "Forecast":
        key = structure(run.recipe), run.recipe.steps
        if key not in known:
            choices = Run(run.folder, plain(run.recipe), {}).choices
            known[key] = forecast(choices, lambda: run.flops_per_step, rows)
        return known[key]

    return forecast_of


def _words(forecast: "Forecast") -> list[str]:
    seconds = (
        "–" if forecast.seconds is None else f"{'' if forecast.runs else '~'}{duration(forecast.seconds)}"
    )
    return [seconds, "–" if forecast.memory_mib is None else f"{forecast.memory_mib:,.0f}"]


def _width(rows: list[list[str]]) -> int:
    """How many columns are shown: the last ones only where they say something."""
    has_time, has_memory = (any(row[column] != "–" for row in rows[1:]) for column in (5, 6))
    return 7 if has_memory else 6 if has_time else 5


def _time(study: Grid, forecasts: "list[Forecast]", engine_part: dict[str, Any]) -> str:
    """How long all runs take together, each structure compiled once; "" where that cannot be told."""
    from gradlab.launch.engines.local import worker_count

    steps = [forecast.seconds for forecast in forecasts if forecast.seconds is not None]
    if len(steps) < len(forecasts) or not steps:
        return ""
    structures = dict(zip(map(structure, study.recipes), forecasts, strict=False))
    total = sum(steps) + sum(forecast.compile_seconds for forecast in structures.values())
    if "workers" not in engine_part:
        return f", about {duration(total)} of one worker"
    workers = worker_count(study.recipes, engine_part["workers"])
    return f", about {duration(total)} of one worker" + (
        f", {duration(total / workers)} of {workers}" if workers > 1 else ""
    )
