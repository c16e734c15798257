"""`gradlab suggest-clip PATH…`: what any threshold would have clipped, and which to take, from stored norms."""

import json
import math
from argparse import ArgumentTypeError
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradlab.commands.arguments import Arguments, path_arguments, words
from gradlab.recipe.errors import RecipeError
from gradlab.report import pictures
from gradlab.report.summary import aligned, title

if TYPE_CHECKING:
    from gradlab.store.read import Run

CAUTION = "with another clip the training, and so its norms, would have gone another way: try it"


def arguments() -> Arguments:
    """What `gradlab suggest-clip` takes."""
    parser = path_arguments("suggest-clip", "gradlab suggest-clip outputs/default --threshold 0.5,1")
    parser.add_argument(
        "--threshold",
        type=thresholds,
        default=[],
        metavar="C,C",
        help="what these would have done; the norms' percentiles if not given",
    )
    parser.add_argument("--json", action="store_true", help="a list with one object a run, and no picture")
    parser.add_argument("--format", choices=pictures.FORMATS, default="png")
    parser.add_argument("--out", type=Path, metavar="DIR", help="here instead of each run's figures/")
    return parser


def thresholds(text: str) -> list[float]:
    """`0.5,1` as numbers; a threshold is above 0."""
    try:
        found = [float(word) for word in words(text)]
    except ValueError:
        found = []
    if not found or not all(0 < number < math.inf for number in found):
        raise ArgumentTypeError(f"'{text}' is not a number above 0 or a list of such, as 0.5,1")
    return found


def main(argv: list[str]) -> int:
    """Advise on every run at or below the paths; one without a finite norm is told in a line."""
    asked = arguments().parse_args(argv)
    from gradlab.analysis.clip_advice import advise
    from gradlab.store.read import collect

    found: list[tuple[Run, dict[str, Any]]] = []
    without = []
    for run in collect(asked.paths):
        try:
            found.append((run, advise(run, asked.threshold)))
        except RecipeError as error:
            without.append(str(error))
    if not found:
        raise RecipeError("\n".join(without))
    if asked.json:
        print(json.dumps([advice for _, advice in found], indent=2, ensure_ascii=False))
        return 0
    for run, advice in found:
        print(text(advice, bool(asked.threshold)))
        print(f"  {'figure':<12}{draw(run, advice, asked.format, asked.out)}")
    print("\n".join([*without, CAUTION]))
    return 0


def text(advice: dict[str, Any], given: bool) -> str:
    """The advice, the norms, and a table of thresholds: those asked for, or the norms' percentiles."""
    from gradlab.analysis.clip_advice import PERCENTILES, sentences
    from gradlab.analysis.wording import share

    told = [f"  {label:<12}{sentence}" for label, sentence in sentences(advice)]
    rows = [["threshold", "acts on", "mean scale"]]
    for row in advice["thresholds"]:
        rows.append([f"{row['threshold']:.3g}", share(row["clipped"]), f"{row['scale']:.3f}"])
    if not given:
        labels = ["percentile", *(f"{q} %" for q in PERCENTILES)]
        rows = [[label, *row] for label, row in zip(labels, rows, strict=True)]
    return "\n".join([f"{advice['run']} ({advice['state']})", *told, aligned(rows, " " * 14)])


def draw(run: "Run", advice: dict[str, Any], suffix: str, folder: Path | None) -> Path:
    """The picture into the run's `figures/`, or into `folder` under the run's name."""
    from gradlab.analysis.clip_advice import norms
    from gradlab.figures.clip_advice import clip_advice

    figure = clip_advice(norms(run), advice, title(run))
    if folder is None:
        return pictures.save(figure, run.folder / "figures" / f"clip_advice.{suffix}")
    return pictures.save(figure, folder / f"{run.folder.name}-clip_advice.{suffix}")
