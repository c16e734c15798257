"""From a chunk to the columns of the three tables, as `store.rows` takes them."""

from typing import Any

import numpy as np

from gradlab.evaluate import MEASURES
from gradlab.launch.spectra import spectra
from gradlab.step import COUNTS, STEP_COLUMNS
from gradlab.train import Chunk, Layout

PROFILES = ("log10_forward", "log10_backward", "log10_gradient")
EVALUATION = tuple(f"{part}_{measure}" for part in ("train", "test") for measure in MEASURES)
Columns = dict[str, Any]


def columns(chunk: Chunk, layout: Layout) -> dict[str, Columns]:
    """What each table gets of this chunk."""
    return {
        "layers": _layers(chunk, layout) | _kernels(chunk, layout),
        "parameters": _parameters(chunk, layout),
        "steps": _steps(chunk),
        **_notes(chunk, layout),
        **({"times": _times(chunk, layout)} if layout.times else {}),
    }


def values(column: Any) -> np.ndarray:
    """The values of a column, measured or not."""
    return column[0] if isinstance(column, tuple) else column


def _layers(chunk: Chunk, layout: Layout) -> Columns:
    names = layout.names
    active = ~np.isin(np.arange(len(names)), layout.inactive)
    found: Columns = {"layer": np.arange(len(names)), "name": np.array(names)}
    for index, column in enumerate(layout.columns):
        seen = chunk.row.layers[:, :, index]
        found[column] = (seen, active) if column in layout.active else seen
    return found


def _kernels(chunk: Chunk, layout: Layout) -> Columns:
    """A layer's weight, gradient and update: over its kernels together."""
    size, groups = np.array([entry[2] for entry in layout.entries]), layout.kernels
    there = np.array([bool(group) for group in groups])  # a block without kernels has no such measures
    found: Columns = {"size": np.array([size[group].sum() for group in groups])}
    for column, seen in _entries(chunk, layout).items():
        if column in COUNTS:
            together = [seen[..., group].sum(-1) for group in groups]
        elif column == "update_lost":
            together = [
                (seen[..., group] * size[group]).sum(-1) / max(size[group].sum(), 1) for group in groups
            ]
        else:
            together = [_together(seen[..., group]) for group in groups]
        found[column] = (np.stack(together, -1), there)
    return found


def _parameters(chunk: Chunk, layout: Layout) -> Columns:
    layers, parameters, sizes = (np.array(values) for values in zip(*layout.entries, strict=True))
    named = {"layer": layers, "name": np.array(layout.names)[layers], "parameter": parameters, "size": sizes}
    return named | _entries(chunk, layout)


def _notes(chunk: Chunk, layout: Layout) -> dict[str, Columns]:
    """The inner measures, one row each; with the fixed batch those that are taken on the host."""
    layers, measures = [layer for layer, _ in layout.notes], [measure for _, measure in layout.notes]
    value = np.asarray(chunk.row.notes)
    if chunk.source == "probe":
        found = spectra(chunk, layout)
        layers, measures = layers + found.layers, measures + found.measures
        value = np.concatenate([value, found.values[:, None]], -1)
    names = {"layer": np.array(layers, int), "measure": np.array(measures)}
    names["name"] = np.array(layout.names)[names["layer"]]
    return {"notes": names | {"value": value}} if layers else {}


def _times(chunk: Chunk, layout: Layout) -> Columns:
    """The backward signal at each time step, from 1."""
    layers = np.concatenate([np.full(times, layer) for layer, times in layout.times])
    names = {"layer": layers, "name": np.array(layout.names)[layers]}
    names["time"] = np.concatenate([np.arange(1, times + 1) for _, times in layout.times])
    found, first = [], 0
    for _, times in layout.times:
        found.append(
            chunk.row.times[:, :, first : first + 2 * times].reshape(*chunk.row.times.shape[:2], 2, times)
        )
        first += 2 * times
    hidden, cell = np.moveaxis(np.concatenate(found, -1), 2, 0)
    return names | {"log10_backward": hidden, "log10_backward_c": (cell, ~np.isnan(cell))}


def _entries(chunk: Chunk, layout: Layout) -> Columns:
    """What was measured of each parameter of each layer."""
    row = chunk.row
    found = {column: row.parameters[:, :, index] for index, column in enumerate(layout.parameter_columns)}
    if row.counts.shape[2]:
        found |= {column: row.counts[:, :, index] for index, column in enumerate(COUNTS)}
    return found


def _together(log10: np.ndarray) -> np.ndarray:
    """Norms given by log10 as one norm: log10 √Σ 10^(2v), far outside any float's range too."""
    if log10.shape[-1] == 0:
        return np.full(log10.shape[:-1], -np.inf)
    if log10.shape[-1] == 1:
        return log10[..., 0]
    top = log10.max(-1, keepdims=True)
    shift = np.where(np.isfinite(top), top, 0).astype(float)
    with np.errstate(divide="ignore", over="ignore"):  # a true zero is −inf, beside an infinity all is one
        return shift[..., 0] + 0.5 * np.log10((10.0 ** (2 * (log10 - shift))).sum(-1))


def _steps(chunk: Chunk) -> Columns:
    seen = chunk.row.steps[..., None]
    found: Columns = {column: seen[:, :, index] for index, column in enumerate(STEP_COLUMNS)}
    found["weight_zeros"] = (found["weight_zeros"], ~np.isnan(found["weight_zeros"]))
    if chunk.evaluation is not None:  # it belongs to the chunk's first step
        first = (np.arange(len(chunk.steps)) == 0)[None, :, None]
        for index, column in enumerate(EVALUATION):
            value = chunk.evaluation[:, None, index, None]
            found[column] = (value, first if column.endswith("loss") else first & ~np.isnan(value))
    return found
