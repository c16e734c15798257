"""What happens inside recurrent cells and attention over training: gates, spectral radii, entropy of the weights."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from gradlab.analysis.selection import minibatch_rows, to_float64
from gradlab.figures import marks, style
from gradlab.figures.groups import DASHES
from gradlab.figures.marks import Legend
from gradlab.store.read import Run

RUN_TABLES = ("notes",)
BY_DEFAULT = False
MODELS = ("rnn", "lstm", "gru", "recurrent_highway", "seq2seq", "transformer")
ANY_OF = (
    "mean_forget",
    "mean_update",
    "mean_transform",
    "saturated_input",
    "saturated_reset",
    "saturated_candidate",
    "attention_entropy",
    "spectral_radius",
    "spectral_radius_forget",
    "spectral_radius_update",
    "spectral_radius_transform",
)
LEAST = {"step": 2}
FAMILIES = {  # by the beginning of a measure: title, label of the axis, whether it is a fraction
    "mean_": ("Mean of a gate", "mean of σ(z) over units and time", True),
    "saturated_": ("Saturated gates, |φ′| < 0.05·max|φ′|", "fraction of a gate's entries", True),
    "spectral_radius": ("Spectral radius", "ρ of a recurrent matrix", False),
    "attention_entropy": ("Entropy of the attention", "nats; ln T where all T positions count alike", False),
}
MOST_LAYERS = len(DASHES)


def run_figure(run: Run, title: str) -> Figure:
    """A panel for each kind of measure that the run has; a colour is a gate, a dash pattern a layer."""
    notes = run.notes.assign(measure=run.notes.measure.astype(str), name=run.notes.name.astype(str))
    found = {prefix: _rows(notes, prefix) for prefix in FAMILIES}
    found = {prefix: rows for prefix, rows in found.items() if len(rows)}
    width = 2 if len(found) == 4 else len(found)
    figure, axes = style.panels(
        -(-len(found) // width), width, (max(8, 6 * width), 4.9 * -(-len(found) // width)), title
    )
    legend = Legend()
    gates = {gate: None for prefix, rows in found.items() for gate in _gates(rows, prefix)}
    colours = dict(zip(gates, style.group_colours(len(gates), ordered=False), strict=True))
    layers = _drawn_layers(notes)
    for axis, (prefix, rows) in zip(axes, found.items(), strict=True):
        _draw(axis, prefix, rows, colours, layers, legend)
    marks.separate_edges(figure)
    style.draw_legend(figure, _entries(colours, layers) | legend.entries)
    return figure


def _rows(notes: pd.DataFrame, prefix: str) -> pd.DataFrame:
    """The rows of measures that begin so, of minibatches where there are any."""
    rows = notes[notes.measure.str.startswith(prefix).to_numpy(dtype=bool)]
    of_minibatches = minibatch_rows(rows)
    return rows if of_minibatches.empty else of_minibatches


def _gates(rows: pd.DataFrame, prefix: str) -> list[str]:
    return [measure.removeprefix(prefix).strip("_") for measure in dict.fromkeys(rows.measure)]


def _drawn_layers(notes: pd.DataFrame) -> dict[int, str]:
    """The layers by number; of more than there are dash patterns some, evenly spread."""
    names = dict(sorted(zip(notes.layer.tolist(), notes.name.tolist(), strict=True)))
    layers = list(names)
    chosen = np.unique(np.linspace(0, len(layers) - 1, min(len(layers), MOST_LAYERS)).round().astype(int))
    return {layers[i]: style.layer_text(names[layers[i]], names.values()) for i in chosen}


def _draw(
    axis: Axes,
    prefix: str,
    rows: pd.DataFrame,
    colours: dict[str, str],
    layers: dict[int, str],
    legend: Legend,
) -> None:
    heading, ylabel, is_fraction = FAMILIES[prefix]
    style.panel_labels(axis, heading, "training step", ylabel)
    for measure, gate in zip(dict.fromkeys(rows.measure), _gates(rows, prefix), strict=True):
        for layer, dashes in zip(layers, DASHES, strict=False):
            of_line = rows[((rows.measure == measure) & (rows.layer == layer)).to_numpy(dtype=bool)]
            curves = [marks.upward(curve) for curve in marks.curves(of_line, "step", "value")]
            marks.seed_lines(axis, curves, colours[gate], legend, dashes, width=1.7)
    values = to_float64(rows.value)
    if is_fraction:
        style.fraction_axis(axis, [values])
    else:
        finite = values[np.isfinite(values)]
        axis.set_ylim(0, 1.08 * max(1.0, float(finite.max()) if finite.size else 1.0))
    if prefix == "spectral_radius":
        axis.axhline(1, color=style.INK, linewidth=1.2, linestyle=(0, (1, 3)), label="_one")
    style.count_axis(axis, int(rows.step.min()), int(rows.step.max()))


def _entries(colours: dict[str, str], layers: dict[int, str]) -> dict[str, Line2D | Patch]:
    entries: dict[str, Line2D | Patch] = {
        gate: Line2D([], [], color=colour, linewidth=2.5) for gate, colour in colours.items() if gate
    }
    if len(layers) > 1:
        for name, dashes in zip(layers.values(), DASHES, strict=False):
            entries[name] = Line2D([], [], color=style.INK, linestyle=dashes, linewidth=1.5)
    return entries
