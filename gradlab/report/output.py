"""Where `gradlab run` prints: standard output unless it is quiet, and standard error."""

import sys
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from gradlab.recipe.errors import RecipeError, StorageError
from gradlab.recipe.printing import printable
from gradlab.report.terminal import say
from gradlab.report.wrapping import lines_of


class Output:
    """What the consoles of a run and of a grid have in common; no_storage: the file system did not take a file."""

    def __init__(self, quiet: bool) -> None:
        self.console = None if quiet else Console(highlight=False)
        self.no_storage = False

    @property
    def width(self) -> int | None:
        """How many characters a line has; None where there is no terminal to break it for."""
        return self.console.width if self.console and self.console.is_terminal else None

    def say(self, text: str) -> None:
        """Print to standard output, unless it is quiet."""
        if self.console:
            self.console.print(printable(text), markup=False, soft_wrap=True)

    def tell(self, name: str, sentence: str) -> None:
        """Print a sentence behind its name, on a terminal in lines that are broken between words."""
        self.say(
            "\n".join(lines_of(name, sentence, self.width))
            if self.width
            else f"{name:<11} {sentence}".lstrip()
        )

    def warn(self, text: str) -> None:
        """Print to standard error, also if it is quiet."""
        say(f"gradlab run: {text}", sys.stderr)

    def draw(self, draw: Callable[[], list[Path]]) -> None:
        """Print the files of the figures that `draw` draws, or why there are none."""
        try:
            paths = draw()
        except StorageError as error:
            self.no_storage = True
            self.warn(f"figures: {error}")
        except RecipeError as error:
            self.tell("figures", str(error))
        else:
            self.tell("figures", f"{paths[0].parent}/  {' '.join(path.name for path in paths)}")
