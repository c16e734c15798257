"""The figures of a run, found by reading the modules of this folder.

A module is a figure of a run if it has a tuple `RUN_TABLES`, the tables of a run that it needs, and a function
`run_figure(run, title)`. The module's name is that of the figure and of its file. A module is imported when its figure
is drawn and not before, because help and Tab must answer at once.
"""

import ast
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from gradlab.recipe.errors import RecipeError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from gradlab.store.read import Run

FOLDER = Path(__file__).parent


class RunFigure(NamedTuple):
    """A figure that is drawn from the stored tables of one run."""

    name: str
    tables: tuple[str, ...]

    def is_available(self, run: "Run") -> bool:
        """Whether the run has rows in every table of the figure."""
        return not self._empty_tables(run)

    def draw(self, run: "Run", title: str) -> "Figure":
        """The figure of the run.

        Raises:
            RecipeError: the run has no rows in a table of the figure.
        """
        for table in self._empty_tables(run):
            raise RecipeError(
                f"{run.folder} has no figure '{self.name}': its network and its probes left the table '{table}' empty"
            )
        figure: Figure = import_module(f"gradlab.figures.{self.name}").run_figure(run, title)
        return figure

    def _empty_tables(self, run: "Run") -> list[str]:
        return [table for table in self.tables if getattr(run, table).empty]


@cache
def run_figures() -> dict[str, RunFigure]:
    """The figures by name, ordered by the tables they need."""
    figures = [RunFigure(file.stem, tables) for file in FOLDER.glob("*.py") if (tables := _run_tables(file))]
    return {
        figure.name: figure for figure in sorted(figures, key=lambda figure: (figure.tables, figure.name))
    }


def _run_tables(file: Path) -> tuple[str, ...]:
    """The value of `RUN_TABLES` in a source file; () if it has none."""
    for node in ast.parse(file.read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == [
            "RUN_TABLES"
        ]:
            return tuple(ast.literal_eval(node.value))
    return ()
