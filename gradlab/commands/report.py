"""`gradlab report PATH…`: write one HTML page of runs: verdicts, figures, comparison, recipe and provenance."""

from pathlib import Path

from gradlab.commands.arguments import Arguments, path_arguments, tell_problems
from gradlab.recipe.errors import RecipeError
from gradlab.recipe.printing import one_line
from gradlab.report.terminal import say
from gradlab.store.write import REPORT


def arguments() -> Arguments:
    """The arguments of `gradlab report`."""
    parser = path_arguments(
        "report",
        "example: gradlab report outputs/clipping_saves_training\n"
        "         gradlab report outputs/default outputs/big --out runs.html",
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="the file to write; report.html beside the runs if not given"
    )
    return parser


def main(argv: list[str]) -> int:
    """Write the page of all runs at or below the paths, and print where it is.

    Raises:
        RecipeError: --out is no name of an HTML file, no run can be read, or some cannot: the page names these.
    """
    options = arguments().parse_args(argv)
    if options.out and options.out.suffix not in (".html", ".htm"):
        raise RecipeError(f"--out {options.out} must end in .html")
    from gradlab.report.html.notebook import report

    page = report(options.paths)
    path = options.out or page.path(REPORT)
    say(one_line(page.save(path)))
    tell_problems("report", page.problems)
    return 0
