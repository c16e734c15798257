"""`gradlab lr-find WORDS`: which learning rates make the loss fall, from one run in which the rate rises."""

import json
import math
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from gradlab.commands.arguments import Arguments
from gradlab.commands.compose.grid import grid
from gradlab.commands.progress import shown
from gradlab.recipe.errors import RecipeError
from gradlab.recipe.recipe import Recipe, plain
from gradlab.report import pictures
from gradlab.report.summary import cost, describe, title

if TYPE_CHECKING:
    from gradlab.store.read import Run

SET = {"lr": "--high", "schedule": "--low", "schedule.low": "--low", "steps": "--steps"}
FIXED = ("log.every", "schedule.warmup", "schedule.horizon", "stop.patience", "stop.loss")


def arguments() -> Arguments:
    """What `gradlab lr-find` takes."""
    example = "example: gradlab lr-find depth=50 clip=norm --high 1"
    parser = Arguments("lr-find", epilog=example)
    parser.add_argument(
        "words", nargs="*", metavar="WORD", help="the network and recipe, as for `gradlab run`"
    )
    parser.add_argument("--low", type=float, default=1e-5, metavar="LR", help="the first step's rate")
    parser.add_argument("--high", type=float, default=10.0, metavar="LR", help="the last step's rate")
    parser.add_argument("--steps", type=int, default=200, metavar="N", help="how many steps lie between")
    parser.add_argument("--force", action="store_true", help="run again what is finished")
    parser.add_argument("--json", action="store_true", help="all numbers as one object, and nothing else")
    parser.add_argument("--format", choices=pictures.FORMATS, default="png")
    parser.add_argument("--config-dir", type=Path, metavar="DIR", help="a folder like conf/, of your own")
    return parser


def main(argv: list[str]) -> int:
    """Make the run if it is not there, and say what its losses tell; exit code 1 if it failed."""
    asked = arguments().parse_intermixed_args(argv)
    recipe = compose(asked.words, asked.low, asked.high, asked.steps, asked.force, asked.config_dir)
    console = None if asked.json or recipe.quiet else Console(highlight=False)
    if console:
        console.print(describe(plain(recipe)), markup=False, soft_wrap=True)
    from gradlab.launch import launch

    with shown(recipe.steps, console) as tell:
        outcome = launch(recipe, tell)
    if outcome.state in ("failed", "interrupted"):
        print(f"gradlab lr-find: {outcome.state}: {outcome.message}; see {outcome.folder}", file=sys.stderr)
        return 1 if outcome.state == "failed" else 143 if "SIGTERM" in outcome.message else 130
    from gradlab.analysis.lr_range import lr_range
    from gradlab.store.read import open_run

    run = open_run(outcome.folder)
    found = lr_range(run.steps)
    if asked.json:
        print(json.dumps({"run": str(run.folder), **found}, indent=2, ensure_ascii=False))
        return 0
    told = [*found["sentences"], *_next(asked.words, found)]
    again = "" if outcome.fresh else "; done before: not run again without --force"
    told.append(("stored", f"{run.folder}  ({cost(run.status)}{again})"))
    told.append(("figure", str(draw(run, found, asked.format))))
    print("\n".join(f"{label:<12}{words}" for label, words in told))
    return 0


def compose(
    words: list[str], low: float, high: float, steps: int, force: bool = False, config_dir: Path | None = None
) -> Recipe:
    """The recipe of the range test of the network that the words name."""
    from gradlab.analysis.lr_range import ROWS
    from gradlab.engine.checks import check

    if not 0 < low < high < math.inf:
        raise RecipeError(f"--low {low:g} and --high {high:g} must be above 0, and --low the smaller one")
    if steps < ROWS:
        raise RecipeError(f"--steps {steps} are too few for a curve; give {ROWS} or more")
    for word in words:
        key = word.lstrip("+").partition("=")[0]
        if key in SET:
            raise RecipeError(f"{word}: lr-find lets the rate rise from --low to --high; give {SET[key]}")
        if key in FIXED:
            raise RecipeError(f"{word}: lr-find sets {key} itself; leave it out")
    study = [] if any(word.startswith("study=") for word in words) else ["study=lr_find"]
    rising = [f"lr={high!r}", "schedule=range", f"schedule.low={low / high:.12g}", f"steps={steps}"]
    force_word = ["force=true"] if force else []
    asked = [*words, *study, *rising, "log.every=1", "stop.patience=0", "stop.loss=0", *force_word]
    found = grid(asked, check, multirun=True, config_dir=config_dir)
    if len(found.recipes) > 1:
        raise RecipeError(f"{', '.join(found.keys)} would be a grid; lr-find looks at one network at a time")
    (recipe,) = found.recipes
    if any("lr" in phase for phase in recipe.optimizer.get("phases", [])):
        raise RecipeError(
            "a phase with an lr of its own does not follow --low and --high; test its optimizer alone"
        )
    return recipe


def draw(run: "Run", found: dict[str, Any], suffix: str) -> Path:
    """The picture into the run's `figures/`."""
    from gradlab.figures.lr_range import lr_range

    figure = lr_range(run.steps, found, title(run))
    return pictures.save(figure, run.folder / "figures" / f"lr_range.{suffix}")


def _next(words: list[str], found: dict[str, Any]) -> list[tuple[str, str]]:
    """The command that takes the upper end, rounded down to one digit."""
    if found["recommended"] is None:
        return []
    high = found["recommended"][1]
    unit = 10.0 ** math.floor(math.log10(high))
    return [
        ("try", shlex.join(["gradlab", "run", *words, f"lr={math.floor(high / unit * (1 + 1e-9)) * unit:g}"]))
    ]
