"""`gradlab plot PATH…`: draw the figures of stored runs again, or in another format."""

from pathlib import Path
from typing import TYPE_CHECKING

from gradlab.commands.arguments import Arguments, path_arguments, resolution, tell_problems, tell_unfinished
from gradlab.figures.registry import run_figures
from gradlab.recipe.errors import RecipeError
from gradlab.recipe.printing import one_line
from gradlab.report import figure_table, pictures
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
    parser.add_argument("--format", choices=pictures.FORMATS, default="png", help="file format of the figure")
    parser.add_argument(
        "--width",
        choices=pictures.WIDTHS,
        default="",
        help="for a paper: as wide as one column of text (3.5 in) or two (7.2 in), with letters of 6 to 9 points",
    )
    parser.add_argument(
        "--dpi",
        type=resolution,
        default=pictures.DPI,
        metavar="N",
        help="pixels per inch of a PNG; 150 if not given",
    )
    parser.add_argument(
        "--table",
        action="store_true",
        help="print the numbers of the figure per step and layer, and draw nothing",
    )
    parser.add_argument(
        "--to", choices=figure_table.FORMATS, help="the same as csv or json, with all steps and digits"
    )
    parser.add_argument("--json", action="store_true", help="the same as --to json")
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
    form = "json" if options.json else options.to or ("text" if options.table else "")
    look = pictures.Look(options.format, options.width, options.dpi)
    from gradlab.store.read import read_each

    if options.kind and options.column:
        raise RecipeError("--kind and --column are two figures; give one of them")
    if form and options.column:
        raise RecipeError("--table prints the numbers of --kind; those of a column are in gradlab.load(…)")

    def draw(run: "Run") -> None:
        tell_unfinished("plot", run)
        names = [options.kind] if options.kind else []
        if form:
            for name in names or ["profile"]:
                say(figure_table.table_text(run, run_figures()[name], form))
            return
        if options.column:
            say(one_line(pictures.draw_column(run, options.column, look, options.out)))
            return
        for path in pictures.draw(run, names, look, options.out):
            say(one_line(path))

    _, problems = read_each(options.paths, draw)
    tell_problems("plot", problems)
    return 0
