"""`gradlab watch [PATH]`: show a run or a study while it is trained, from what is stored."""

from argparse import RawDescriptionHelpFormatter
from pathlib import Path

from gradlab.commands.arguments import OUTPUTS, Arguments, place

EPILOG = """\
example: gradlab watch                    the newest run or study that is being trained
         gradlab watch outputs/default    a study: choose a run with the arrow keys and Enter
         gradlab watch big > big.log      a line for each change

It reads files only, so that it can be started and ended at any time, also on another machine that
sees the folder. The key q or Ctrl-C ends it; the training goes on."""


def arguments() -> Arguments:
    """The arguments of `gradlab watch`."""
    parser = Arguments("watch", epilog=EPILOG, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument(
        "path",
        nargs="?",
        type=place,
        metavar="PATH",
        help="the folder of a run, or of a study, as outputs/big or big; it need not be there yet",
    )
    return parser


def main(argv: list[str]) -> int:
    """Show the run or study at PATH until it has ended, or the newest one that is being written below `outputs`.

    Raises:
        RecipeError: what is there cannot be read.
    """
    options = arguments().parse_args(argv)
    from rich.console import Console

    from gradlab.report.watch.place import newest_written
    from gradlab.report.watch.screen import show
    from gradlab.report.watch.views import Waiting, view_of

    if options.path is not None:
        view = view_of(Path(options.path))
    else:
        nothing = (
            f"no run is being trained below {OUTPUTS}; waiting for one to begin (gradlab watch PATH shows one that has "
            "ended)"
        )
        view = Waiting(lambda: newest_written(Path(OUTPUTS)), nothing)
    show(view, Console(highlight=False))
    return 0
