"""`gradlab run`: train a network, or a grid of them, measure every layer, and report what the gradients do."""

import re
from argparse import ArgumentTypeError
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradlab.analysis.words import require_words
from gradlab.commands.arguments import Arguments, words
from gradlab.commands.compose import engine
from gradlab.commands.compose.grid import Grid, error_lines, grid, lines_with_advice
from gradlab.commands.compose.overrides import text
from gradlab.commands.dry_run import costs
from gradlab.recipe import signals
from gradlab.recipe.errors import STORAGE_CODE, RecipeError
from gradlab.recipe.recipe import Recipe, plain
from gradlab.report.console import RunConsole
from gradlab.report.study_console import StudyConsole
from gradlab.report.terminal import say

if TYPE_CHECKING:
    from gradlab.data.task import Task
    from gradlab.engine.prepare import PreparedRun
    from gradlab.report.result import RunResult

# flags of Hydra's own command line, and what does the same here
HYDRA_FLAGS = {
    "--info": "`--cfg job` prints the composed recipe",
    "-i": "`--cfg job` prints the composed recipe",
    "--hydra-help": "see gradlab run --help",
    "--config-name": "`experiment=NAME` chooses a study",
    "-cn": "`experiment=NAME` chooses a study",
    "--config-path": "`--config-dir DIR` adds a folder of your own options",
    "-cp": "`--config-dir DIR` adds a folder of your own options",
    "-cd": "`--config-dir DIR` adds a folder of your own options",
    "--experimental-rerun": "the same command runs what is missing",
    "--shell-completion": '`eval "$(gradlab --completion bash)"` completes words with Tab',
    "-sc": '`eval "$(gradlab --completion bash)"` completes words with Tab',
    "--package": "the place of every option is fixed",
    "-p": "the place of every option is fixed",
}
HERE = ("auto", "inline")  # engines that train a single recipe in this process, with its table and pictures
Load = Callable[[Recipe], "Task"]


def arguments() -> Arguments:
    """The arguments of `gradlab run`; `gradlab.commands.help` prints them, without importing this module."""
    parser = Arguments("run", add_help=False)
    parser.add_argument("words", nargs="*")
    parser.add_argument(
        "-m",
        "--multirun",
        action="store_true",
        help="run every combination of lists of values: depth=10,20 clip=none,norm",
    )
    parser.add_argument("--cfg", metavar="job", choices=["job"], help="print the composed recipe and stop")
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="print the runs, their parameters and their size on disk, and stop",
    )
    parser.add_argument(
        "--skip-unfit",
        action="store_true",
        help="run the recipes of a grid that fit, and list those that do not",
    )
    parser.add_argument("--force", action="store_true", help="run again what is already finished")
    parser.add_argument(
        "--retry-failed", action="store_true", help="run again what has failed before, from where it stopped"
    )
    parser.add_argument(
        "--fail-fast", action="store_true", help="start no more runs of a grid after the first failure"
    )
    parser.add_argument(
        "--time-limit",
        type=seconds,
        default=0.0,
        metavar="TIME",
        help="interrupt each run after this time, as 90, 90s, 15m or 2h; the same command goes on with it",
    )
    parser.add_argument("--quiet", action="store_true", help="print errors only")
    parser.add_argument(
        "--fail-on",
        type=words,
        default=[],
        metavar="WORDS",
        help="exit code 1 if a verdict is one of these: vanishing,exploding,diverged,…",
    )
    parser.add_argument(
        "--config-dir", type=Path, metavar="DIR", help="a folder like conf/ with your own options"
    )
    return parser


def seconds(text: str) -> float:
    """The argument as seconds.

    Raises:
        ArgumentTypeError: if it is no time above zero.
    """
    match = re.fullmatch(r"(\d+(?:\.\d*)?)([smh]?)", text)
    time = float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]] if match else 0.0
    if not 0 < time < 1e9:
        raise ArgumentTypeError(f"'{text}' is not a time such as 90, 90s, 15m or 2h")
    return time


def main(argv: list[str]) -> int:
    """Train the recipes that the words describe; exit code 1 if a run failed or a verdict is one of --fail-on."""
    for word in argv:
        if instead := HYDRA_FLAGS.get(word.partition("=")[0]):
            raise RecipeError(f"{word.partition('=')[0]} is a flag of Hydra, not of gradlab; {instead}")
    options = arguments().parse_intermixed_args(argv)
    require_words(options.fail_on)
    flags = [f"{flag}=true" for flag in ("force", "quiet") if getattr(options, flag)]
    engine_words, words = engine.split(options.words)
    engine_part = engine.part(engine_words)
    study = grid([*words, *flags], options.multirun, options.config_dir, options.skip_unfit)
    if options.cfg:
        say(_yaml(study).rstrip("\n"))
        return 0
    study, load = _with_data(study, options.skip_unfit)
    for line in () if options.quiet else study.repeats:
        say(f"note        {line}")
    if options.dry_run:
        say(costs(study, load, engine_part, options.skip_unfit))
        return 0
    if not study.keys and engine_part["name"] in HERE:
        return _run_one(
            study.recipes[0], load, options.time_limit, RunConsole(study.recipes[0], options.fail_on)
        )
    console = StudyConsole(
        study.recipes, study.labels, study.keys, options.fail_on, study.unfit, options.skip_unfit
    )
    rules = (options.retry_failed, options.fail_fast, options.time_limit)
    return _run_grid(study, load, console, engine_part, *rules)


def run(
    *overrides: str, config_dir: str | Path | None = None, **choices: Any
) -> "RunResult | list[RunResult]":
    """Do what `gradlab run OVERRIDES` does, silently, and return the run; a list of runs if they are a grid.

    Keywords are overrides too: `clip="norm", clip__threshold=0.5` is `"clip=norm", "clip.threshold=0.5"`, and a list of
    values is a grid. A value that is itself a list is written as a string: `probe="[forward,backward]"`.

    >>> import gradlab
    >>> run = gradlab.run(depth=4, steps=0)  # doctest: +SKIP
    >>> run.layers[["layer", "log10_backward"]]  # doctest: +SKIP

    Raises:
        RecipeError: if an override is wrong, or the data does not fit.
        RuntimeError: if a run failed.
        StorageError: if the file system does not take a run.
        KeyboardInterrupt: if it was interrupted, by SIGTERM too.
    """
    with signals.raised():
        return _results(overrides, config_dir, choices)


def _results(
    overrides: Sequence[str], config_dir: str | Path | None, choices: Mapping[str, Any]
) -> "RunResult | list[RunResult]":
    """What `run` returns."""
    from gradlab.report.result import RunResult
    from gradlab.store.read import open_run

    chosen = [override(key, value) for key, value in choices.items()]
    engine_words, words = engine.split([*overrides, *chosen])
    engine_part = engine.part(engine_words)
    study = grid([*words, "quiet=true"], True, Path(config_dir) if config_dir else None)
    study, load = _with_data(study)
    console: RunConsole | StudyConsole
    if study.keys:
        console = StudyConsole(study.recipes, study.labels, study.keys)
        code = _run_grid(study, load, console, engine_part, retry_failed=True)
    else:
        console = RunConsole(study.recipes[0])
        code = _run_one(study.recipes[0], load, 0.0, console)
    if code >= 128:
        raise KeyboardInterrupt
    if console.failures:
        raise RuntimeError("; ".join(console.failures))
    stored = [open_run(folder) for folder in console.run_folders()]
    results = [RunResult(run.folder, run.recipe, run.status) for run in stored]
    is_grid = study.keys or any(isinstance(value, _LISTS) for value in choices.values())
    return results if is_grid else results[0]


_LISTS = (list, tuple, range)


def override(key: str, value: Any) -> str:
    """A keyword as it is written on the command line, `__` as a dot, a list of values as `key=value,value`.

    Raises:
        RecipeError: the value is an empty list, or no number, word or list of them.
    """
    key = key.replace("__", ".")
    values = list(value) if isinstance(value, _LISTS) else [value]
    if not values:
        raise RecipeError(f"{key}={value!r} is an empty list; give one value or more")
    values = [entry.item() if hasattr(entry, "item") else entry for entry in values]  # scalars of NumPy
    for entry in values:
        if not isinstance(entry, str | Path | float | int | None):
            raise RecipeError(
                f"{key}={entry!r} is no number, word or list of them; write it as on the command line"
            )
    return f"{key}={text(values)}"


def _with_data(study: Grid, skip_unfit: bool = False) -> tuple[Grid, Load]:
    """What makes the data of the grid's recipes, after it has made all of them once, before the first run.

    With `skip_unfit` the recipes whose data does not fit are left out of the grid.

    Raises:
        RecipeError: with all data that cannot be loaded or does not fit a recipe.
    """
    from gradlab.engine.tasks import task_loader

    load = task_loader()
    errors: dict[str, list[str]] = {}
    fitting: dict[int, Recipe] = {}
    for index in sorted(range(len(study.recipes)), key=lambda index: str(study.recipes[index].data)):
        recipe, label = study.recipes[index], study.labels[index]
        try:
            load(recipe)  # each data set is made once
            fitting[index] = recipe
        except RecipeError as error:
            errors.setdefault(str(error), []).append(label)
    if errors and not (skip_unfit and fitting):
        raise RecipeError(*lines_with_advice(errors, len(fitting)) if study.keys else errors)
    kept = sorted(fitting)
    labels = [study.labels[index] for index in kept]
    unfit = [*study.unfit, *error_lines(errors)]
    return replace(study, recipes=[fitting[index] for index in kept], labels=labels, unfit=unfit), load


def _run_one(recipe: Recipe, load: Load, time_limit: float, console: RunConsole) -> int:
    """Train one recipe in this process.

    Raises:
        RecipeError: it cannot start.
    """
    from gradlab.engine.prepare import prepare
    from gradlab.launch import launch

    try:
        prepared = prepare(recipe, load)
        with console.training(prepared, partial(_used, prepared)) as show:
            outcome = launch(prepared, show, time_limit, prices=show is not None)
        if outcome.state == "interrupted":
            console.interrupted(outcome.message, outcome.folder)
            return outcome.exit_code
        console.ended(outcome)
    except signals.Stop as stop:
        console.interrupted(str(stop))
        return stop.exit_code
    console.close()
    if console.no_storage:
        return STORAGE_CODE
    return outcome.exit_code or (1 if console.unwanted else 0)


def _run_grid(
    study: Grid,
    load: Load,
    console: StudyConsole,
    engine_part: dict[str, Any],
    retry_failed: bool = False,
    fail_fast: bool = False,
    time_limit: float = 0.0,
) -> int:
    """Train the recipes of a grid by an engine, up to a signal; for the rules see `launch.study.Rules`.

    Raises:
        RecipeError: no run can start, or there is no such engine.
    """
    from gradlab.launch.engines.contract import engine as engines
    from gradlab.launch.study import Rules, run_study

    rules = Rules(retry_failed, fail_fast, time_limit)
    try:
        interrupted = run_study(study.recipes, load, engines.make(engine_part), console, rules)
        if interrupted:
            console.interrupted(interrupted.message, interrupted.folder)
            return interrupted.exit_code
        if not console.folders:
            raise RecipeError(*console.failures, *console.left_out, "no run could start")
        console.close()
    except signals.Stop as stop:
        console.interrupted(str(stop))
        return stop.exit_code
    finally:
        console.stop()
    return console.exit_code


def _used(run: "PreparedRun") -> frozenset[str]:
    """The sizes and parts of the recipe that take part in its network."""
    from gradlab.launch import build

    return build(run).used


def _yaml(study: Grid) -> str:
    import yaml

    return "---\n".join(yaml.safe_dump(plain(recipe), sort_keys=False) for recipe in study.recipes)
