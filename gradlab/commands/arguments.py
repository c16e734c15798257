"""Flags and paths of the commands; what is wrong with them is told in one line."""

import argparse
from typing import Any, NoReturn

from gradlab.commands.help import COMMANDS
from gradlab.recipe.errors import RecipeError


class Arguments(argparse.ArgumentParser):
    """argparse, but an error is a RecipeError: one line, exit code 2, like every other bad input."""

    def __init__(self, command: str, **more: Any) -> None:
        what = COMMANDS[command]
        super().__init__(prog=f"gradlab {command}", description=what, allow_abbrev=False, **more)

    def error(self, message: str) -> NoReturn:
        """Tell what argparse found."""
        raise RecipeError(f"{message}; see {self.prog} --help")


def path_arguments(command: str, example: str) -> Arguments:
    """What every command over stored runs takes: paths of runs or of studies."""
    parser = Arguments(command, epilog=f"example: {example}")
    parser.add_argument(
        "paths", nargs="*", metavar="PATH", help="a run's folder, or a study's with all its runs"
    )
    return parser


def words(text: str) -> list[str]:
    """`vanishing,diverged` as a list."""
    return [word.strip() for word in text.split(",") if word.strip()]
