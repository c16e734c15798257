"""The figures of a run, found by reading the modules of this folder.

A module is a figure of a run if it has a tuple `RUN_TABLES`, the tables of a run that it needs, and a function
`run_figure(run, title)`. The module's name is that of the figure and of its file. It may also have

- `BY_DEFAULT = False`: it is drawn only when asked for by name;
- `ANY_OF`: it needs one of these columns of its first table;
- `PROBE` and `MEASURES`: it is the figure of a probe that not every run has; it needs one of these columns of its
  first table, or of tables by measure one of these measures;
- `LEAST`: of the rows that have them there must be so many steps or layers; of fewer there is nothing to see;
- `COLUMNS`: those of its first table that it draws, where they are not the same;
- `MODELS`: it is about these models only;
- `RECORD`: what to run for its measures, where it is not that probe.

A module is imported when its figure is drawn and not before, because help and Tab must answer at once.
"""

import ast
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from gradlab.recipe.errors import RecipeError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from gradlab.store.read import Run

FOLDER = Path(__file__).parent
FIELDS = {  # of a figure, by the constant that declares it
    "RUN_TABLES": "tables",
    "BY_DEFAULT": "by_default",
    "ANY_OF": "any_of",
    "PROBE": "probe",
    "MEASURES": "measures",
    "LEAST": "least",
    "COLUMNS": "columns",
    "MODELS": "models",
    "RECORD": "record",
}


class RunFigure(NamedTuple):
    """A figure that is drawn from the stored tables of one run."""

    name: str
    tables: tuple[str, ...]
    by_default: bool = True  # drawn at the end of a run, and by `gradlab plot` without --kind
    any_of: tuple[str, ...] = ()
    probe: str = ""  # whose measures it draws
    measures: tuple[str, ...] = ()
    least: Mapping[str, int] = MappingProxyType({})  # by key of a table: how many of them there must be
    columns: tuple[str, ...] = ()  # that it draws, where they are neither `any_of` nor `measures`
    models: tuple[str, ...] = ()
    record: str = ""  # what to run for it, where it is no probe

    @property
    def drawn_columns(self) -> tuple[str, ...]:
        """The columns, or the measures, of its first table that it draws."""
        return self.columns or self.any_of or self.measures

    def is_available(self, run: "Run") -> bool:
        """Whether the run has what the figure needs."""
        return not self.problem(run)

    def problem(self, run: "Run") -> str:
        """Why the run has no such figure, and what to record for it; "" where it has one."""
        if self.models and (run.recipe.get("model") or {}).get("name") not in self.models:
            return f"it is about model={', '.join(self.models)}"
        if self.measures and not self._has(run, self.measures):
            return self._missing(run)
        for table in self.tables:
            if getattr(run, table).empty:
                source = "its log" if run.is_foreign else "its network and its probes"
                return f"{source} left the table '{table}' empty"
        if self.any_of and not self._has(run, self.any_of):
            source, remedy = (
                ("its log has", "") if run.is_foreign else ("it has", "; run it with probe=standard")
            )
            return f"{source} no {' and no '.join(self.any_of)}{remedy}"
        for key, least in self.least.items():
            count = self._measured(run)[key].nunique()
            if count < least:
                return f"it needs {least} {key}s, and the run has {count}"
        return ""

    def _missing(self, run: "Run") -> str:
        """Why the run has none of its measures: null wherever the probe looked, or no probe."""
        recorded = {**(run.recipe.get("probes") or {}), **(run.recipe.get("snapshots") or {})}
        if self.probe in recorded:
            return f"its probe {self.probe} stored no values; they are null where there is nothing to measure"
        return f"it was not measured; run it with {self.record or f'probe=[standard,{self.probe}]'}"

    def draw(self, run: "Run", title: str) -> "Figure":
        """The figure of the run.

        Raises:
            RecipeError: the run has no rows in a table of the figure, or is no run that the figure is about.
        """
        if problem := self.problem(run):
            raise RecipeError(f"{run.folder} has no figure '{self.name}': {problem}")
        figure: Figure = import_module(f"gradlab.figures.{self.name}").run_figure(run, title)
        return figure

    def _has(self, run: "Run", columns: tuple[str, ...]) -> bool:
        rows = getattr(run, self.tables[0])
        if "measure" in rows:
            return not set(columns).isdisjoint(rows.measure.unique())
        return any(bool(rows[column].notna().any()) for column in columns if column in rows)

    def _measured(self, run: "Run") -> "pd.DataFrame":
        """The rows of the first table that have one of its columns."""
        rows: pd.DataFrame = getattr(run, self.tables[0])
        columns = [column for column in self.drawn_columns if column in rows]
        measured: pd.DataFrame = rows[rows[columns].notna().any(axis=1).to_numpy()] if columns else rows
        return measured


@cache
def run_figures() -> dict[str, RunFigure]:
    """The figures by name, ordered by the tables they need; those drawn only by name come last."""
    figures = []
    for file in FOLDER.glob("*.py"):
        constants = _constants(file)
        if "tables" in constants:
            figures.append(RunFigure(name=file.stem, **constants))
    order = sorted(figures, key=lambda figure: (not figure.by_default, figure.tables, figure.name))
    return {figure.name: figure for figure in order}


def _constants(file: Path) -> dict[str, Any]:
    """The fields of a figure that constants of its source file declare."""
    constants = {}
    for node in ast.parse(file.read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            if name in FIELDS:
                constants[FIELDS[name]] = ast.literal_eval(node.value)
    return constants
