"""`gradlab plot PATH…`: the figures of stored runs, again or in another format."""

from pathlib import Path

from gradlab.commands.arguments import Arguments, path_arguments
from gradlab.report import pictures


def arguments() -> Arguments:
    """What `gradlab plot` takes."""
    parser = path_arguments("plot", "gradlab plot outputs/default --kind profile --format svg")
    parser.add_argument(
        "--kind", choices=list(pictures.KINDS), help="only this figure; all of them if not given"
    )
    parser.add_argument("--format", choices=pictures.FORMATS, default="png")
    parser.add_argument("--out", type=Path, metavar="DIR", help="here instead of each run's figures/")
    return parser


def main(argv: list[str]) -> int:
    """Draw the figures of every run at or below the paths."""
    asked = arguments().parse_args(argv)
    from gradlab.store.read import collect

    for run in collect(asked.paths):
        for path in pictures.draw(run, [asked.kind] if asked.kind else [], asked.format, asked.out):
            print(path)
    return 0
