"""The figures of a run, found by reading the modules of this folder.

A module is a figure of a run if it has a tuple `RUN_TABLES`, the tables of a run that it needs, and a function
`run_figure(run, title)`. The module's name is that of the figure and of its file. With `BY_DEFAULT = False` it is drawn
only when asked for by name; with `ANY_OF` it needs one of these columns of its first table of a foreign run, whose log
may have few. The figure of a probe that not every run has names it, `PROBE`, and has `MEASURES`: of any run it needs
one of these columns of its first table, or of tables by measure one of these measures. A module is imported when its
figure is drawn and not before, because help and Tab must answer at once.
"""

import ast
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from gradlab.recipe.errors import RecipeError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from gradlab.store.read import Run

FOLDER = Path(__file__).parent


class RunFigure(NamedTuple):
    """A figure that is drawn from the stored tables of one run."""

    name: str
    tables: tuple[str, ...]
    by_default: bool  # drawn at the end of a run, and by `gradlab plot` without --kind
    any_of: tuple[str, ...] = ()
    probe: str = ""  # whose measures it draws
    measures: tuple[str, ...] = ()

    def is_available(self, run: "Run") -> bool:
        """Whether the run has rows in every table of the figure; a column of it, if foreign; a measure of its probe."""
        return not self._empty_tables(run) and self._has_column(run) and self._has_measure(run)

    def draw(self, run: "Run", title: str) -> "Figure":
        """The figure of the run.

        Raises:
            RecipeError: the run has no rows in a table of the figure, or is no run that the figure is about.
        """
        if self.measures and not self._has_measure(run):
            raise RecipeError(
                f"{run.folder} has no figure '{self.name}': it was not measured; run it with "
                f"probe=[standard,{self.probe}]"
            )
        for table in self._empty_tables(run):
            raise RecipeError(
                f"{run.folder} has no figure '{self.name}': "
                + ("its log" if run.is_foreign else "its network and its probes")
                + f" left the table '{table}' empty"
            )
        if not self._has_column(run):
            raise RecipeError(
                f"{run.folder} has no figure '{self.name}': its log has no {' and no '.join(self.any_of)}"
            )
        figure: Figure = import_module(f"gradlab.figures.{self.name}").run_figure(run, title)
        return figure

    def _has_column(self, run: "Run") -> bool:
        if not run.is_foreign or not self.any_of:
            return True
        rows = getattr(run, self.tables[0])
        return any(bool(rows[column].notna().any()) for column in self.any_of if column in rows)

    def _has_measure(self, run: "Run") -> bool:
        if not self.measures:
            return True
        rows = getattr(run, self.tables[0])
        if "measure" in rows:
            return not set(self.measures).isdisjoint(rows.measure.unique())
        return any(bool(rows[column].notna().any()) for column in self.measures if column in rows)

    def _empty_tables(self, run: "Run") -> list[str]:
        return [table for table in self.tables if getattr(run, table).empty]


@cache
def run_figures() -> dict[str, RunFigure]:
    """The figures by name, ordered by the tables they need; those drawn only by name come last."""
    figures = []
    for file in FOLDER.glob("*.py"):
        constants = _constants(file, ("RUN_TABLES", "BY_DEFAULT", "ANY_OF", "PROBE", "MEASURES"))
        if "RUN_TABLES" in constants:
            figures.append(
                RunFigure(
                    file.stem,
                    constants["RUN_TABLES"],
                    constants.get("BY_DEFAULT", True),
                    constants.get("ANY_OF", ()),
                    constants.get("PROBE", ""),
                    constants.get("MEASURES", ()),
                )
            )
    order = sorted(figures, key=lambda figure: (not figure.by_default, figure.tables, figure.name))
    return {figure.name: figure for figure in order}


def _constants(file: Path, names: tuple[str, ...]) -> dict[str, Any]:
    """The values of these constants of a source file, those that it has."""
    constants = {}
    for node in ast.parse(file.read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            if name in names:
                constants[name] = ast.literal_eval(node.value)
    return constants
