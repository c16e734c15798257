"""One measured column, gradlab's own or that of a user's probe, over the layers and over training."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gradlab.analysis.selection import defined_backward, minibatch_rows, rows_with
from gradlab.figures import marks, style
from gradlab.figures.marks import Legend
from gradlab.figures.profile import drawn_steps
from gradlab.recipe.errors import RecipeError, hint
from gradlab.store.read import Run

TABLES = ("layers", "parameters", "steps")
MOST_LINES = 6  # in a panel: of more layers or parameters some are drawn, evenly spread


class Panel(NamedTuple):
    """The lines of one panel by their names, each a table of the rows of all seeds."""

    heading: str
    x: str  # `layer` or `step`
    y: str
    lines: dict[str, pd.DataFrame]
    by_step: bool = False  # whether a line is a step


def column(run: Run, name: str, title: str = "") -> Figure:
    """A measured column over the layers, at the first, middle and last step that has it, and over the steps.

    `name` is a column of the tables of layers, parameters or steps, or a measure of the table of notes. Rows of
    minibatches are drawn; where there are none, as for a snapshot, those of the fixed batch. What the column means is
    in the stored file, and stands above the figure.

    Raises:
        RecipeError: the run has no such column, or has measured nothing of it.
    """
    panels = _panels(run, name)
    meaning = next((found for table in TABLES if (found := run.meanings(table).get(name))), None)
    definition = f"\n{name}: {meaning.definition}" if meaning and meaning.definition else f"\n{name}"
    unit = f" ({meaning.unit})" if meaning and meaning.unit not in ("", "1") else ""
    figure, axes = style.panels(1, len(panels), (max(8, 6.3 * len(panels)), 4.9), title + definition)
    legend = Legend()
    for axis, panel in zip(axes, panels, strict=True):
        xlabel = "training step" if panel.x == "step" else "layer"
        style.panel_labels(axis, panel.heading, xlabel, f"{name}{unit}")
        count = len(panel.lines)
        colours = style.step_colours(count) if panel.by_step else style.group_colours(count, ordered=True)
        for (label, rows), colour in zip(panel.lines.items(), colours, strict=True):
            curves = marks.curves(rows, panel.x, panel.y)
            kept = curves if "log10" in unit else [marks.upward(curve) for curve in curves]
            marks.seed_lines(axis, kept, colour, legend, width=1.6)
            if count > 1:
                legend.entries[label] = Line2D([], [], color=colour, linewidth=2.5)
        xs = pd.concat(panel.lines.values())[panel.x]
        style.count_axis(axis, xs.min(), xs.max())
    marks.separate_edges(figure)
    style.draw_legend(figure, legend.entries)
    return figure


def _panels(run: Run, name: str) -> list[Panel]:
    """The panels of the column: those of the first of the tables that has it, of layers, and those of steps."""
    of_tables = {table: set(run.meanings(table)) for table in TABLES}
    measures = set(run.notes.measure.unique())
    notes = run.notes[(run.notes.measure == name).to_numpy()] if name in measures else run.notes[:0]
    panels: list[Panel] = []
    if name in of_tables["layers"]:
        rows, batch = _measured(defined_backward(run.layers), name)
        panels += [
            Panel(f"Over the layers{batch}", "layer", name, _at_steps(rows), by_step=True),
            Panel(f"Over training{batch}", "step", name, _by(rows, "name")),
        ]
    elif name in of_tables["parameters"]:
        rows, batch = _measured(run.parameters, name)
        last = rows[(rows.step == rows.step.max()).to_numpy()]
        panels.append(
            Panel(f"Over the layers{batch}, step {rows.step.max()}", "layer", name, _by(last, "parameter"))
        )
    if name in of_tables["steps"]:
        rows, batch = _measured(run.steps, name)
        panels.append(
            Panel(f"Over training, whole network{batch}", "step", name, {name: rows} if len(rows) else {})
        )
    if len(notes):
        rows, batch = _measured(notes, "value")
        panels.append(Panel(f"Over training{batch}", "step", "value", _by(rows, "name")))
    if not panels:
        known = sorted({*set().union(*of_tables.values()), *measures})
        raise RecipeError(f"{run.folder} has no column '{name}'{hint(name, known)}")
    panels = [panel for panel in panels if panel.lines]
    if not panels:
        raise RecipeError(
            f"{run.folder} has no measured value of '{name}'; its probe measured nothing of this run"
        )
    return panels


def _measured(frame: pd.DataFrame, name: str) -> tuple[pd.DataFrame, str]:
    """The rows that have the column, and which batch they are from where it is not the minibatch."""
    rows = rows_with(frame, name)
    of_minibatches = minibatch_rows(rows)
    return (rows, ", fixed batch") if of_minibatches.empty else (of_minibatches, "")


def _at_steps(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    steps = [] if rows.empty else drawn_steps(rows)
    return {f"step {step}": rows[(rows.step == step).to_numpy()] for step in steps}


def _by(rows: pd.DataFrame, key: str) -> dict[str, pd.DataFrame]:
    """The rows by layer or by parameter, in the order of their appearance; of many some, evenly spread."""
    names = list(dict.fromkeys(rows[key].astype(str)))
    kept = (
        [names[i] for i in np.unique(np.linspace(0, len(names) - 1, MOST_LINES).round().astype(int))]
        if names
        else []
    )
    return {name: rows[(rows[key].astype(str) == name).to_numpy()] for name in kept}
