"""`gradlab compare PATH… --by clip`: compare runs in one figure and one table, by the choices that differ."""

import math
from argparse import ArgumentTypeError
from pathlib import Path

from gradlab.commands.arguments import (
    Arguments,
    path_arguments,
    resolution,
    tell_problems,
    tell_unfinished,
    words,
)
from gradlab.recipe.errors import RecipeError
from gradlab.recipe.printing import one_line
from gradlab.report import pictures, results_table, study_pictures
from gradlab.report.comparison import (
    Comparison,
    comparison_path,
    comparison_picture,
    report_text,
    requested_keys,
)
from gradlab.report.drawing import drawable
from gradlab.report.terminal import say


def arguments() -> Arguments:
    """The arguments of `gradlab compare`."""
    parser = path_arguments("compare", "example: gradlab compare outputs/clipping_saves_training --by clip")
    parser.add_argument(
        "--by",
        type=words,
        default=[],
        metavar="KEYS",
        help="the choices to colour by, as clip or depth,clip; all that differ if not given",
    )
    parser.add_argument(
        "--target",
        type=loss,
        metavar="LOSS",
        help="the training loss to count steps and seconds to; what 'learned' demands if not given",
    )
    parser.add_argument(
        "--to",
        choices=results_table.FORMATS,
        help="print the table in this format, and draw no figure; csv and json have every column and full numbers",
    )
    parser.add_argument(
        "--json", action="store_true", help="the same as --to json: a list with one object per run"
    )
    parser.add_argument(
        "--kind",
        choices=study_pictures.KINDS,
        help="another picture: outcomes against each choice, depth with gain and score, or cost against score",
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
        "--out", type=Path, metavar="FILE", help="the file of the figure; beside the runs if not given"
    )
    return parser


def loss(text: str) -> float:
    """The argument as a number.

    Raises:
        ArgumentTypeError: if it is not a finite one.
    """
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ArgumentTypeError(f"'{text}' is not a number")
    return number


def main(argv: list[str]) -> int:
    """Draw and tabulate all runs at or below the paths, coloured by what differs.

    Raises:
        RecipeError: fewer than two runs, an unknown choice in --by, or a file format that cannot be written; or a run
            cannot be read, and the others were compared.
    """
    options = arguments().parse_args(argv)
    from gradlab.store.read import read_each, whole

    form = "json" if options.json else options.to
    runs, problems = read_each(options.paths, whole if form else drawable)
    if len(runs) < 2:
        too_few = f"{runs[0].folder} is one run; give several runs, or the folder of a study"
        raise RecipeError(too_few, *problems.unfinished, *problems.unreadable)
    by = requested_keys(runs, options.by)
    path = options.out or comparison_path(runs, by, options.format, options.kind or "comparison")
    if path.suffix[1:] not in pictures.FORMATS:
        raise RecipeError(f"--out {path} must end in {' or '.join('.' + name for name in pictures.FORMATS)}")
    comparison = Comparison(runs, by, options.target, chosen=bool(options.by))
    if form:
        say(results_table.exported(comparison.results, by, form))
    else:
        say(report_text(comparison))
        look = pictures.Look(path.suffix[1:], options.width, options.dpi)
        figure = (
            study_pictures.study_picture(comparison, options.kind)
            if options.kind
            else comparison_picture(comparison)
        )
        say(one_line(pictures.save(figure, path, look=look)))
    for run in runs:
        tell_unfinished("compare", run)
    tell_problems("compare", problems)
    return 0
