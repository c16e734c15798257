"""From a chunk's arrays to the named columns of the tables, as `store.rows` takes them."""

from typing import Any

import numpy as np

from gradlab.engine.evaluate import MEASURES
from gradlab.engine.layout import Layout
from gradlab.engine.loop import ChunkResult
from gradlab.engine.seed_programs import ChunkKind
from gradlab.engine.step import COUNTS, StepColumns
from gradlab.measure.snapshots.recurrent_spectrum import RecurrentKernel, recurrent_spectrum

EVALUATION = tuple(f"{part}_{measure}" for part in ("train", "test") for measure in MEASURES)
# a column: an array (seeds, rows, entries) or what broadcasts to it, or a pair of it and where it was measured
Columns = dict[str, Any]


def columns(chunk: ChunkResult, layout: Layout) -> dict[str, Columns]:
    """The columns of each table that this chunk has rows of."""
    return {
        "layers": _layers(chunk, layout) | _kernels(chunk, layout),
        "parameters": _parameters(chunk, layout),
        "steps": _steps(chunk),
        **_notes(chunk, layout),
        **({"times": _times(chunk, layout)} if layout.times else {}),
    }


def values(column: Any) -> np.ndarray:
    """The values of a column, (seeds, rows, …), without its mask where it has one."""
    return np.asarray(column[0] if isinstance(column, tuple) else column)


def step_values(chunk: ChunkResult) -> StepColumns:
    """The row of the steps table by column, each (seeds, rows)."""
    return StepColumns(*np.moveaxis(np.asarray(chunk.row.steps), 2, 0))


def _layers(chunk: ChunkResult, layout: Layout) -> Columns:
    names = layout.names
    has_activation = ~np.isin(np.arange(len(names)), layout.layers_without_activation)
    columns: Columns = {"layer": np.arange(len(names)), "name": np.array(names)}
    for index, column in enumerate(layout.columns):
        measured = chunk.row.layers[:, :, index]
        columns[column] = (measured, has_activation) if column in layout.activation_columns else measured
    return columns


def _kernels(chunk: ChunkResult, layout: Layout) -> Columns:
    """A layer's weight, gradient and update: over its kernels together."""
    size, groups = np.array([entry.size for entry in layout.entries]), layout.kernels
    has_kernels = np.array([bool(group) for group in groups])  # a block without kernels has no such measures
    columns: Columns = {"size": np.array([size[group].sum() for group in groups])}
    for column, entries in _entries(chunk, layout).items():
        if column in COUNTS:
            joined = [entries[..., group].sum(-1) for group in groups]
        elif column == "update_lost":
            joined = [
                (entries[..., group] * size[group]).sum(-1) / max(size[group].sum(), 1) for group in groups
            ]
        else:
            joined = [log10_hypot(entries[..., group]) for group in groups]
        columns[column] = (np.stack(joined, -1), has_kernels)
    return columns


def _parameters(chunk: ChunkResult, layout: Layout) -> Columns:
    layers, parameters, sizes = (np.array(values) for values in zip(*layout.entries, strict=True))
    keys = {"layer": layers, "name": np.array(layout.names)[layers], "parameter": parameters, "size": sizes}
    return keys | _entries(chunk, layout)


def _notes(chunk: ChunkResult, layout: Layout) -> dict[str, Columns]:
    """The inner metrics, one row each; at rows of the fixed batch also those that are computed on the host."""
    layers, measures = [layer for layer, _ in layout.notes], [measure for _, measure in layout.notes]
    value = np.asarray(chunk.row.notes)
    if chunk.kind is ChunkKind.FIXED_BATCH:
        spectrum = recurrent_spectrum(_recurrent_kernels(chunk, layout), len(value))
        layers, measures = layers + spectrum.layers, measures + spectrum.measures
        value = np.concatenate([value, spectrum.values[:, None]], -1)
    keys = {"layer": np.array(layers, int), "measure": np.array(measures)}
    keys["name"] = np.array(layout.names)[keys["layer"]]
    return {"notes": keys | {"value": value}} if layers else {}


def _recurrent_kernels(chunk: ChunkResult, layout: Layout) -> list[RecurrentKernel]:
    """Those of every layer, in float64."""
    recurrent_kernels: list[RecurrentKernel] = []
    first = 0
    for block in layout.blocks:
        for path, names in block.recurrent_kernels:
            kernels = np.asarray(chunk.state.params[f"{block.name}/{path}"], np.float64)
            kernels = kernels[:, None] if block.count is None else kernels
            recurrent_kernels += [
                RecurrentKernel(first + l, names, kernels[:, l]) for l in range(block.layers)
            ]
        first += block.layers
    return recurrent_kernels


def _times(chunk: ChunkResult, layout: Layout) -> Columns:
    """The backward signal at each time step, from 1."""
    layers = np.concatenate([np.full(steps, layer) for layer, steps in layout.times])
    keys = {"layer": layers, "name": np.array(layout.names)[layers]}
    keys["time"] = np.concatenate([np.arange(1, steps + 1) for _, steps in layout.times])
    pairs, first = [], 0
    for _, steps in layout.times:
        flat = chunk.row.times[:, :, first : first + 2 * steps]
        pairs.append(flat.reshape(*flat.shape[:2], 2, steps))
        first += 2 * steps
    hidden, cell = np.moveaxis(np.concatenate(pairs, -1), 2, 0)
    return keys | {"log10_backward": hidden, "log10_backward_c": (cell, ~np.isnan(cell))}


def _entries(chunk: ChunkResult, layout: Layout) -> Columns:
    """What was measured of each parameter of each layer."""
    row = chunk.row
    columns = {column: row.parameters[:, :, index] for index, column in enumerate(layout.parameter_columns)}
    if row.counts.shape[2]:
        columns |= {column: row.counts[:, :, index] for index, column in enumerate(COUNTS)}
    return columns


def log10_hypot(log10: np.ndarray) -> np.ndarray:
    """Norms given by log10 as one norm over the last axis: log10 √Σ 10^(2v), far outside any float's range too."""
    if log10.shape[-1] == 0:
        return np.full(log10.shape[:-1], -np.inf)
    if log10.shape[-1] == 1:
        return log10[..., 0]
    top = log10.max(-1, keepdims=True)
    shift = np.where(np.isfinite(top), top, 0).astype(float)
    with np.errstate(divide="ignore", over="ignore"):  # norms of zero and infinity
        joined = shift[..., 0] + 0.5 * np.log10((10.0 ** (2 * (log10 - shift))).sum(-1))
    return np.asarray(joined)


def _steps(chunk: ChunkResult) -> Columns:
    columns: Columns = {key: value[..., None] for key, value in step_values(chunk)._asdict().items()}
    columns["weight_zeros"] = (columns["weight_zeros"], ~np.isnan(columns["weight_zeros"]))
    if chunk.evaluation is not None:  # it belongs to the chunk's first step
        first = (np.arange(len(chunk.steps)) == 0)[None, :, None]
        for index, column in enumerate(EVALUATION):
            value = chunk.evaluation[:, None, index, None]
            columns[column] = (value, first if column.endswith("loss") else first & ~np.isnan(value))
    return columns
