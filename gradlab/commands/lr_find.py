"""`gradlab lr-find WORDS`: find the learning rates that lower the loss, from one run with a rising rate."""

import json
import math
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from gradlab.commands.arguments import Arguments
from gradlab.commands.compose.grid import grid
from gradlab.commands.compose.probes import DEFAULT_SNAPSHOTS
from gradlab.recipe.errors import RecipeError
from gradlab.recipe.printing import printable
from gradlab.recipe.recipe import Recipe, plain
from gradlab.report import pictures
from gradlab.report.progress import progress_display
from gradlab.report.summary import cost, describe
from gradlab.report.terminal import say

if TYPE_CHECKING:
    from gradlab.analysis.results import RangeTest

FLAG_FOR_KEY = {"lr": "--high", "schedule": "--low", "schedule.low": "--low", "steps": "--steps"}
FIXED_KEYS = (
    "log.every",
    "schedule.warmup",
    "schedule.horizon",
    "stop.patience",
    "stop.loss",
    "stop.tolerance",
    "stop.on",
)


def arguments() -> Arguments:
    """The arguments of `gradlab lr-find`."""
    parser = Arguments("lr-find", epilog="example: gradlab lr-find depth=50 clip=norm --high 1")
    parser.add_argument(
        "words", nargs="*", metavar="WORD", help="the network and its recipe, as for `gradlab run`"
    )
    parser.add_argument(
        "--low", type=float, default=1e-5, metavar="LR", help="learning rate of the first step"
    )
    parser.add_argument(
        "--high", type=float, default=10.0, metavar="LR", help="learning rate of the last step"
    )
    parser.add_argument("--steps", type=int, default=200, metavar="N", help="number of steps")
    parser.add_argument(
        "--sharpness",
        action="store_true",
        help="measure λ_max of the Hessian at the start too, and print 2/λ_max",
    )
    parser.add_argument("--force", action="store_true", help="run again what is already finished")
    parser.add_argument(
        "--json", action="store_true", help="print one object with all numbers, and nothing else"
    )
    parser.add_argument("--format", choices=pictures.FORMATS, default="png", help="file format of the figure")
    parser.add_argument(
        "--config-dir", type=Path, metavar="DIR", help="a folder like conf/ with your own options"
    )
    return parser


def main(argv: list[str]) -> int:
    """Train the range test unless it is already finished, and report its result; exit code 1 if it failed."""
    options = arguments().parse_intermixed_args(argv)
    words = with_sharpness(options.words) if options.sharpness else options.words
    recipe = compose(words, options.low, options.high, options.steps, options.force, options.config_dir)
    console = None if options.json or recipe.quiet else Console(highlight=False)
    from gradlab.engine.prepare import prepare
    from gradlab.launch import build, launch

    prepared = prepare(recipe)
    if console:
        description = describe(plain(recipe), build(prepared).used)
        console.print(printable(description), markup=False, soft_wrap=True)
    with progress_display(recipe.steps, console) as show:
        outcome = launch(prepared, show)
    if outcome.state in ("failed", "interrupted"):
        say(f"gradlab lr-find: {outcome.state}: {outcome.complaint}", file=sys.stderr)
        return outcome.exit_code
    from gradlab.analysis.lr_range import range_test
    from gradlab.analysis.results import to_json
    from gradlab.analysis.stability import stability_at_start
    from gradlab.store.read import open_run

    run = open_run(outcome.folder)
    result = range_test(run.steps)
    stability = stability_at_start(run.steps) if options.sharpness else None
    if options.json:
        more = {} if stability is None else {"stability": to_json(stability)}
        say(json.dumps({"run": str(run.folder), **to_json(result), **more}, indent=2, ensure_ascii=False))
        return 0
    if outcome.notice and console:
        say(f"{'note':<12}{outcome.notice}")
    note = "" if outcome.fresh else "; already finished; use --force to run it again"
    (figure,) = pictures.draw(run, ["lr_range"], pictures.Look(options.format))
    lines = [
        *result.sentences,
        *([] if stability is None else [("threshold", stability.sentence)]),
        *_next_command(options.words, result),
        ("stored", f"{run.folder}  ({cost(run.status)}{note})"),
        ("figure", str(figure)),
    ]
    say("\n".join(f"{name:<12}{sentence}" for name, sentence in lines))
    return 0


def with_sharpness(words: list[str]) -> list[str]:
    """The words, which measure the sharpness too.

    Raises:
        RecipeError: they choose snapshots, and the sharpness is not one of them.
    """
    if any("sharpness" in word for word in words if word.startswith(("probe=", "snapshot="))):
        return words
    chosen = [word for word in words if word.startswith("snapshot=")]
    if chosen:
        raise RecipeError(f"{chosen[0]}: --sharpness is a snapshot; add sharpness to the list")
    return [*words, f"snapshot=[{','.join((*DEFAULT_SNAPSHOTS, 'sharpness'))}]"]


def compose(
    words: list[str], low: float, high: float, steps: int, force: bool = False, config_dir: Path | None = None
) -> Recipe:
    """The recipe of the range test for the network that the words describe.

    Raises:
        RecipeError: if a word is wrong or sets what the test sets itself, or the words describe several recipes.
    """
    from gradlab.analysis.lr_range import ROWS

    if not 0 < low < high < math.inf:
        raise RecipeError(
            f"--low {low:g} and --high {high:g} must be above 0, and --low must be below --high"
        )
    if steps < ROWS:
        raise RecipeError(f"--steps {steps} are too few for a curve; use {ROWS} or more")
    for word in words:
        key = word.lstrip("+").partition("=")[0]
        if key in FLAG_FOR_KEY:
            flag = FLAG_FOR_KEY[key]
            raise RecipeError(
                f"{word}: lr-find raises the learning rate from --low to --high; use {flag} instead"
            )
        if key in FIXED_KEYS:
            raise RecipeError(f"{word}: lr-find sets {key} itself; leave it out")
    study = [] if any(word.startswith("study=") for word in words) else ["study=lr_find"]
    test = [f"lr={high!r}", "schedule=range", f"schedule.low={low / high:.12g}", f"steps={steps}"]
    test += [
        "log.every=1",
        "stop.patience=0",
        "stop.loss=0",
        "stop.tolerance=0",
        "stop.on=[]",
        *(["force=true"] if force else []),
    ]
    recipes = grid([*words, *study, *test], multirun=True, config_dir=config_dir)
    if len(recipes.recipes) > 1:
        raise RecipeError(f"{', '.join(recipes.keys)}: this is a grid; lr-find tests one network at a time")
    (recipe,) = recipes.recipes
    if any("lr" in phase for phase in recipe.optimizer.get("phases", [])):
        raise RecipeError(
            "the learning rate of a phase with its own lr does not follow --low and --high; test its optimizer alone"
        )
    return recipe


def _next_command(words: list[str], result: "RangeTest") -> list[tuple[str, str]]:
    """The command with the upper end of the recommended range, rounded down to one digit; none without a range."""
    if result.recommended is None:
        return []
    high = result.recommended[1]
    unit = 10.0 ** math.floor(math.log10(high))
    lr = math.floor(high / unit * (1 + 1e-9)) * unit
    return [("try", shlex.join(["gradlab", "run", *words, f"lr={lr:g}"]))]
