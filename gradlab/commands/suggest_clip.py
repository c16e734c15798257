"""`gradlab suggest-clip PATH…`: recommend a clip threshold from the recorded gradient norms."""

import json
import math
from argparse import ArgumentTypeError
from pathlib import Path
from typing import TYPE_CHECKING

from gradlab.commands.arguments import Arguments, path_arguments, tell_problems, words
from gradlab.recipe.errors import RecipeError
from gradlab.recipe.printing import one_line
from gradlab.report import pictures
from gradlab.report.summary import aligned
from gradlab.report.terminal import say

if TYPE_CHECKING:
    from gradlab.analysis.results import ClipAdvice
    from gradlab.store.read import Run

CAUTION = "another clip changes the training and with it the norms: verify the threshold with a run"


def arguments() -> Arguments:
    """The arguments of `gradlab suggest-clip`."""
    parser = path_arguments("suggest-clip", "example: gradlab suggest-clip outputs/default --threshold 0.5,1")
    parser.add_argument(
        "--threshold",
        type=thresholds,
        default=[],
        metavar="C,C",
        help="report the effect of these thresholds; of the percentiles of the norms if not given",
    )
    parser.add_argument(
        "--json", action="store_true", help="print a list with one object per run, and draw no figure"
    )
    parser.add_argument(
        "--format", choices=pictures.FORMATS, default="png", help="file format of the figures"
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="write the figures here instead of figures/ of each run"
    )
    return parser


def thresholds(text: str) -> list[float]:
    """The argument `0.5,1` as numbers.

    Raises:
        ArgumentTypeError: if it is not a list of finite numbers above 0.
    """
    try:
        numbers = [float(word) for word in words(text)]
    except ValueError:
        numbers = []
    if not numbers or not all(0 < number < math.inf for number in numbers):
        raise ArgumentTypeError(f"'{text}' is not a number above 0, nor a list of them, as 0.5,1")
    return numbers


def main(argv: list[str]) -> int:
    """Print and draw the advice for every run at or below the paths; a run without finite norms gets one line.

    Raises:
        RecipeError: if no run has recorded a finite norm; or a run cannot be read, and the others got their advice.
    """
    options = arguments().parse_args(argv)
    from gradlab.analysis.clip_advice import advise
    from gradlab.analysis.results import to_json
    from gradlab.store.read import read_each, whole

    runs, problems = read_each(options.paths, whole)
    advised: list[tuple[Run, ClipAdvice]] = []
    errors = []
    for run in runs:
        try:
            advised.append((run, advise(run, options.threshold)))
        except RecipeError as error:
            errors.append(str(error))
    if not advised:
        raise RecipeError(*errors, *problems.unfinished, *problems.unreadable)
    if options.json:
        say(json.dumps([to_json(advice) for _, advice in advised], indent=2, ensure_ascii=False))
    else:
        for run, advice in advised:
            say(text(advice, percentiles=not options.threshold))
            (figure,) = pictures.draw(run, ["clip_advice"], pictures.Look(options.format), options.out)
            say(f"  {'figure':<12}{one_line(figure)}")
        say("\n".join([*errors, CAUTION]))
    tell_problems("suggest-clip", problems)
    return 0


def text(advice: "ClipAdvice", percentiles: bool) -> str:
    """The advice in sentences and a table of its thresholds, which are the `percentiles` of the norms or were given."""
    from gradlab.analysis.advice_sentences import of_clip_advice
    from gradlab.analysis.clip_advice import PERCENTILES
    from gradlab.analysis.wording import percent

    lines = [f"  {label:<12}{sentence}" for label, sentence in of_clip_advice(advice)]
    rows = [["threshold", "acts on", "mean scale"]]
    for effect in advice.thresholds:
        rows.append([f"{effect.threshold:.3g}", percent(effect.clipped), f"{effect.scale:.3f}"])
    if percentiles:
        labels = ["percentile", *(f"{q} %" for q in PERCENTILES)]
        rows = [[label, *row] for label, row in zip(labels, rows, strict=True)]
    return "\n".join([f"{advice.run} ({advice.state})", *lines, aligned(rows, " " * 14)])
