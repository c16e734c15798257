"""`gradlab plot PATH…`: draw the figures of stored runs again, or in another format."""

from pathlib import Path
from typing import TYPE_CHECKING

from gradlab.commands.arguments import Arguments, path_arguments, tell_problems, tell_unfinished
from gradlab.figures.registry import run_figures
from gradlab.recipe.errors import RecipeError
from gradlab.recipe.printing import one_line
from gradlab.report import pictures
from gradlab.report.terminal import say

if TYPE_CHECKING:
    from gradlab.store.read import Run


def arguments() -> Arguments:
    """The arguments of `gradlab plot`."""
    parser = path_arguments("plot", "example: gradlab plot outputs/default --kind profile --format svg")
    parser.add_argument(
        "--kind",
        choices=list(run_figures()),
        help="draw only this figure; those that `gradlab run` draws if not given",
    )
    parser.add_argument(
        "--column",
        metavar="NAME",
        help="draw this measured column over layers and training, as cosine, or one of your own probe",
    )
    parser.add_argument(
        "--format", choices=pictures.FORMATS, default="png", help="file format of the figures"
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="write the figures here instead of figures/ of each run"
    )
    return parser


def main(argv: list[str]) -> int:
    """Draw the figures of every run at or below the paths, and print where they are.

    Raises:
        RecipeError: there is no such figure, or a run cannot be read; those of the others are drawn before.
    """
    options = arguments().parse_args(argv)
    from gradlab.store.read import read_each

    if options.kind and options.column:
        raise RecipeError("--kind and --column are two figures; give one of them")

    def draw(run: "Run") -> None:
        tell_unfinished("plot", run)
        if options.column:
            say(one_line(pictures.draw_column(run, options.column, options.format, options.out)))
            return
        names = [options.kind] if options.kind else []
        for path in pictures.draw(run, names, options.format, options.out):
            say(one_line(path))

    _, problems = read_each(options.paths, draw)
    tell_problems("plot", problems)
    return 0
