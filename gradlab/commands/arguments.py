"""The argument parsers of the commands; an error in the arguments is one line, as every other bad input."""

import argparse
import sys
from argparse import ArgumentTypeError
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from gradlab.commands.registry import commands
from gradlab.recipe.errors import RecipeError
from gradlab.recipe.paths import is_folder
from gradlab.recipe.printing import one_line
from gradlab.report.terminal import say

if TYPE_CHECKING:
    from gradlab.store.read import Problems, Run


LEAST_DPI, MOST_DPI = 20, 1200
OUTPUTS = "outputs"  # where studies are, unless `outputs=` says otherwise


class Arguments(argparse.ArgumentParser):
    """argparse's parser, but an error is a RecipeError: one line, exit code 2, as every other bad input."""

    def __init__(self, command: str, **options: Any) -> None:
        summary = commands()[command]
        super().__init__(prog=f"gradlab {command}", description=summary, allow_abbrev=False, **options)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Refuse `--flag=--`, of which argparse would make an empty list, and take `--sort -gain` as it is meant."""
        words: list[str] = []
        for word in args or ():
            if word.startswith("--") and word.endswith("=--"):
                self.error(f"{word.removesuffix('=--')} has no value")
            if words[-1:] == ["--sort"]:
                words[-1] = f"--sort={word}"  # argparse takes a word that begins with - for a flag
            else:
                words.append(word)
        return super().parse_known_args(args if args is None else words, namespace)

    def error(self, message: str) -> NoReturn:
        """Raise what argparse found.

        Raises:
            RecipeError: always.
        """
        raise RecipeError(f"{message}; see {self.prog} --help")


def path_arguments(command: str, epilog: str) -> Arguments:
    """The parser of a command that takes stored runs, with the paths of runs or of studies."""
    parser = Arguments(command, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "paths",
        nargs="*",
        type=place,
        metavar="PATH",
        help="the folder of a run, or of a study with all its runs, as outputs/big or big",
    )
    return parser


def place(path: str) -> str:
    """The path, or where there is no such folder that below `outputs`: `big` is the study outputs/big."""
    below = f"{OUTPUTS}/{path}"
    missing = not is_folder(Path(path)) and not Path(path).is_absolute()
    return below if missing and is_folder(Path(below)) else path


def words(text: str) -> list[str]:
    """A comma-separated argument as a list: `vanishing,diverged`."""
    return [word.strip() for word in text.split(",") if word.strip()]


def tell_unfinished(command: str, run: "Run") -> None:
    """Say of a run that is being written, or was killed, that what is shown are its rows so far."""
    from gradlab.store.read import UNFINISHED

    if (state := run.status["state"]) in UNFINISHED:
        line = f"gradlab {command}: {run.folder} is {state} ({run.progress}): these are its rows so far"
        say(one_line(line), file=sys.stderr)


def tell_problems(command: str, problems: "Problems") -> None:
    """Name the runs of a study that have no result, after those that have one were shown.

    Raises:
        RecipeError: some cannot be read.
    """
    for line in problems.unfinished:
        say(f"gradlab {command}: {line}", file=sys.stderr)
    if problems.unreadable:
        raise RecipeError(*problems.unreadable)


def resolution(text: str) -> int:
    """The argument as a number of pixels per inch.

    Raises:
        ArgumentTypeError: if it is not a whole number from 20 to 1200.
    """
    if not text.isdecimal() or not LEAST_DPI <= int(text) <= MOST_DPI:
        raise ArgumentTypeError(f"'{text}' is not a whole number from {LEAST_DPI} to {MOST_DPI}")
    return int(text)
