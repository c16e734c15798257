"""The runs of a grid: which of them are left to do, and where; what became of each is told to an observer."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import NamedTuple

from gradlab.data.task import Task
from gradlab.engine.prepare import PreparedRun, prepare, run_folder
from gradlab.launch.batch import PATIENCE
from gradlab.launch.engines.contract import Engine
from gradlab.launch.observer import Observer, tell
from gradlab.launch.run import Outcome, Report, Result, launch, refusal, stored_failure, stored_result
from gradlab.launch.run_writer import WRITE_SECONDS
from gradlab.launch.supervisor import supervise
from gradlab.recipe import signals
from gradlab.recipe.errors import InUseError, RecipeError, StorageError
from gradlab.recipe.recipe import Recipe, structure
from gradlab.store import lock

Load = Callable[[Recipe], Task]


class Rules(NamedTuple):
    """How the runs of a grid are carried out.

    retry_failed: run again what has failed before; fail_fast: start nothing more after the first failure.
    time_limit: seconds for each run; 0: none.
    """

    retry_failed: bool = False
    fail_fast: bool = False
    time_limit: float = 0.0


def running_order(recipes: Sequence[Recipe]) -> list[int]:
    """The indices of the recipes, those of equal structure one after the other, by the structure's first appearance.

    Recipes of equal structure share compiled programs, and a process keeps the programs of a few structures only.
    """
    first: dict[object, int] = {}
    for index, recipe in enumerate(recipes):
        first.setdefault(structure(recipe), index)
    return sorted(range(len(recipes)), key=lambda index: first[structure(recipes[index])])


def run_study(
    recipes: Sequence[Recipe], load: Load, engine: Engine, observer: Observer, rules: Rules
) -> Outcome | None:
    """Run what is not done yet; returns the run that a signal has ended in this process, if one has.

    Raises:
        Stop: a signal came, and not while a run was trained in this process; what other processes trained is stored.
        RecipeError: the engine is not there.
    """
    left: dict[int, Recipe] = {}
    for cell in running_order(recipes):
        signals.check()
        before = _stored(prepare(recipes[cell], load), rules)
        if before is None:
            left[cell] = recipes[cell]
        else:
            tell(observer, cell, before)
    if not left or (rules.fail_fast and observer.failed):
        return None
    carrier = engine.open(list(left.values()))
    with ExitStack() as opened:
        if carrier is not None:
            opened.callback(carrier.close)
        _wait_for_others(list(left.values()))
        opened.pop_all()  # from here on `supervise` closes it
    if carrier is None:
        return _run_here(left, load, observer, rules)
    supervise(left, carrier, observer, rules.time_limit, rules.fail_fast)
    return None


def _wait_for_others(recipes: Sequence[Recipe]) -> None:
    """Wait until no other process writes to the runs, as the workers of a command that was killed for a moment do.

    Raises:
        InUseError: another process goes on.
    """
    until = time.monotonic() + PATIENCE
    while used := [folder for folder in map(run_folder, recipes) if lock.held(folder)]:
        if time.monotonic() > until:
            others = f" and {len(used) - 1} more" if len(used) > 1 else ""
            raise InUseError(f"{used[0]}{others}: another process is writing there; wait for it or stop it")
        signals.check()
        time.sleep(PATIENCE / 20)


def _stored(prepared: PreparedRun, rules: Rules) -> Result | None:
    """What became of a run before; None where there is something left to do."""
    if prepared.recipe.force:
        return None
    try:
        result = stored_result(prepared)
        return result if result or rules.retry_failed else stored_failure(prepared)
    except RecipeError as error:
        return refusal(error)


def _run_here(recipes: Mapping[int, Recipe], load: Load, observer: Observer, rules: Rules) -> Outcome | None:
    """One recipe after the other in this process; returns the one that a signal has ended, if one has."""
    for cell, recipe in recipes.items():
        signals.check()
        with observer.training(cell) as report:
            result = _launched(recipe, load, report, rules.time_limit)
        if isinstance(result, Outcome) and result.signalled:
            return result
        tell(observer, cell, result)
        if rules.fail_fast and observer.failed:
            return None
    return None


def _launched(recipe: Recipe, load: Load, report: Report, time_limit: float) -> Result:
    try:
        return launch(prepare(recipe, load), report, time_limit, WRITE_SECONDS)
    except (RecipeError, StorageError) as error:
        return refusal(error)
