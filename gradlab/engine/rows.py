"""From a chunk's arrays to the named columns of the tables, as `store.rows` takes them."""

from collections.abc import Collection
from typing import Any

import jax
import numpy as np

from gradlab.engine.layout import Layout
from gradlab.engine.loop import ChunkResult
from gradlab.engine.seed_programs import ChunkKind
from gradlab.measurements import log10
from gradlab.measurements.columns import EVALUATION, TABLE_OF, Column
from gradlab.measurements.probing import checked
from gradlab.measurements.row import Slot, path_order, unpack
from gradlab.measurements.snapshot import Snapshot

# a column: an array (seeds, rows, entries) or what broadcasts to it, or a pair of it and where it was measured
TableColumns = dict[str, Any]


def columns(chunk: ChunkResult, layout: Layout) -> dict[str, Any]:
    """The columns of each table that this chunk has rows of, of vectors with which of their values are stored."""
    measured = unpack(layout.columns, chunk.row)
    taken = _taken(chunk, layout)
    entries = _entries(chunk, layout, measured) | taken["parameter"]
    return {
        "layers": _layers(chunk, layout, measured) | _of_kernels(layout, entries) | taken["layer"],
        "parameters": _parameters(layout) | {column.name: pair for column, pair in entries.items()},
        "steps": _steps(chunk, layout, measured) | taken["step"],
        **_notes(chunk, layout, taken["note"]),
        **_vectors(chunk, layout, taken["vector"]),
        **({"times": _times(chunk, layout)} if layout.times else {}),
    }


def measured_profile(column: Any, seed: int, row: int) -> np.ndarray | None:
    """A column of layers at one row of one seed, (layers,); None where it was not measured."""
    values, where = column if isinstance(column, tuple) else (column, True)
    if not np.broadcast_to(where, np.shape(values))[seed, row].any():
        return None
    return np.asarray(values[seed, row])


def step_values(chunk: ChunkResult, layout: Layout) -> dict[str, np.ndarray]:
    """The row of the steps table by column, each (seeds, rows)."""
    return unpack(layout.columns, chunk.row)["steps"]


def last_profiles(
    chunk: ChunkResult, layout: Layout, names: Collection[str]
) -> dict[str, np.ma.MaskedArray[Any, Any]]:
    """Columns of layers of the first seed, each at the last row that has it, (layers,), masked where not measured.

    A column that no row has is left out.
    """
    measured = unpack(layout.columns, chunk.row)
    entries = {
        column: pair for column, pair in _entries(chunk, layout, measured).items() if column.name in names
    }
    columns = _layers(chunk, layout, measured) | _of_kernels(layout, entries)
    profiles = {}
    for name in names:
        values, where = columns.get(name, (np.zeros((1, 0, 0)), np.False_))
        where = np.broadcast_to(where, values.shape)[0]
        rows = np.flatnonzero(where.any(-1))
        if len(rows):
            profiles[name] = np.ma.masked_array(values[0, rows[-1]], ~where[rows[-1]])
    return profiles


def _is_measured(chunk: ChunkResult, slot: Slot, values: Any = 0.0) -> Any:
    """Where a column with these values was measured, to be broadcast to (seeds, rows, entries)."""
    there = ~np.isnan(values) if slot.column.nan_is_null else True
    if chunk.kind is not ChunkKind.STEPS:  # every probe measures such a row, and no update follows it
        return there & (not slot.column.needs_update)
    return there & (chunk.steps % slot.every == 0)[None, :, None]


def _layers(chunk: ChunkResult, layout: Layout, measured: dict[str, Any]) -> TableColumns:
    columns: TableColumns = {"layer": np.arange(len(layout.names)), "name": np.array(layout.names)}
    for slot in layout.columns.layers:
        values = measured["layers"][slot.name]
        where = _is_measured(chunk, slot, values) & (layout.has_activation | (not slot.active))
        columns[slot.name] = (values, where)
    return columns


def _entries(chunk: ChunkResult, layout: Layout, measured: dict[str, Any]) -> dict[Column, Any]:
    """What was measured of each parameter of each layer, and where."""
    slots = (*layout.columns.parameters, *layout.columns.counts)
    values = measured["parameters"]
    return {slot.column: (values[slot.name], _is_measured(chunk, slot, values[slot.name])) for slot in slots}


def _of_kernels(layout: Layout, entries: dict[Column, Any]) -> TableColumns:
    """What a layer's kernels together have of the columns of parameters, and their size."""
    size, groups = np.array([entry.size for entry in layout.entries]), layout.kernels
    has_kernels = np.array([bool(group) for group in groups])  # a block without kernels has no such measures
    columns: TableColumns = {"size": np.array([size[group].sum() for group in groups])}
    for column, (entry_values, where) in entries.items():
        if column.over_kernels:
            joined = _joined(column, entry_values, groups, size)
            if column.nan_is_null:  # by entry there: null in the rows in which it is null of every entry
                where = where.any(-1, keepdims=True) & ~np.isnan(joined)
            columns[column.name] = (joined, has_kernels & where)
    return columns


def _joined(column: Column, entries: np.ndarray, groups: list[list[int]], size: np.ndarray) -> np.ndarray:
    """The values of some parameters, (…, parameters), as one value of each group, (…, groups)."""
    if all(len(group) == 1 for group in groups):  # the value of a single parameter is that of its group
        return entries[..., np.ravel(groups)]
    return np.stack([over_kernels(column, entries[..., group], size[group]) for group in groups], -1)


def over_kernels(column: Column, entries: np.ndarray, size: np.ndarray) -> np.ndarray:
    """The values of some parameters, (…, parameters) with these sizes, as one value (…)."""
    if column.over_kernels == "norm":
        return log10.hypot(entries)
    if column.over_kernels == "sum":
        return np.asarray(entries.sum(-1))
    return np.asarray((entries * size).sum(-1) / max(size.sum(), 1))


def _parameters(layout: Layout) -> TableColumns:
    layers, parameters, sizes = (np.array(values) for values in zip(*layout.entries, strict=True))
    return {"layer": layers, "name": np.array(layout.names)[layers], "parameter": parameters, "size": sizes}


def _taken(chunk: ChunkResult, layout: Layout) -> dict[str, dict[Any, Any]]:
    """The columns of the snapshots by kind: arrays (seeds, 1, entries); those of parameters by Column, with a mask."""
    taken: dict[str, dict[Any, Any]] = {kind: {} for kind in TABLE_OF}
    for key, computed in chunk.snapshots.items():
        snapshot = layout.snapshots[key]
        seeds_of_chunk = range(len(chunk.row.steps))
        by_seed = [_finished(snapshot, layout, computed, index) for index in seeds_of_chunk]
        for column in snapshot.columns:
            seeds = [finished[column.name] for finished in by_seed]
            if column.kind == "note":
                of_seeds = {at: np.array([float(seed[at]) for seed in seeds]) for at in seeds[0]}
                taken["note"] |= {(column.name, *at): value[:, None] for at, value in of_seeds.items()}
            elif column.kind == "parameter":
                flat = [np.concatenate([np.ravel(seed[path]) for path in path_order(seed)]) for seed in seeds]
                taken["parameter"][column] = _where_measured(column, np.array(flat)[:, None])
            elif column.kind == "vector":
                taken["vector"][column] = np.array(seeds)[:, None]
            else:
                values = np.array(seeds).reshape(len(seeds), 1, -1)
                taken[column.kind][column.name] = _where_measured(column, values)
    return taken


def _where_measured(column: Column, values: np.ndarray) -> tuple[np.ndarray, Any]:
    return values, ~np.isnan(values) if column.nan_is_null else True


def _vectors(chunk: ChunkResult, layout: Layout, taken: dict[Column, np.ndarray]) -> dict[str, Any]:
    """The vectors of probes and of snapshots, `taken`: a row for each layer and index of what was measured.

    Of counts the zeros are left out, of other vectors NaN where that is null.
    """
    arrays = {
        slot.column: (np.asarray(chunk.row.vectors[slot.name]), _is_measured(chunk, slot))
        for slot in layout.columns.vectors
    }
    arrays |= {column: (values, True) for column, values in taken.items()}
    if not arrays:
        return {}
    parts = [_vector(column, layout, values, where) for column, (values, where) in arrays.items()]
    layer, index, measure, value, kept = (np.concatenate(arrays, -1) for arrays in zip(*parts, strict=True))
    keys = {"layer": layer, "index": index, "measure": measure, "name": np.array(layout.names)[layer]}
    return {"vectors": (keys | {"value": value}, kept)}


def _vector(column: Column, layout: Layout, values: np.ndarray, where: Any) -> tuple[np.ndarray, ...]:
    """Layer, index and measure, (entries,), values and which are stored, (seeds, rows, entries), of a vector.

    Only the rows `where` it was measured are looked at, and entries that have no value in any are left out: a histogram
    of which one step in ten is due is large, and nearly all zeros.
    """
    seeds, rows = values.shape[:2]
    due = np.flatnonzero(np.broadcast_to(where, (1, rows, 1)))
    measured = _by_layer(column, layout, values[:, due])
    stored = measured != 0 if column.unit == "count" else np.full(measured.shape, True)
    if column.nan_is_null:
        stored &= ~np.isnan(measured)
    entries = np.flatnonzero(stored.any((0, 1)))
    value, kept = np.zeros((seeds, rows, len(entries))), np.zeros((seeds, rows, len(entries)), bool)
    flat = (seeds, len(due), len(layout.names) * column.size)
    value[:, due] = measured.reshape(flat)[..., entries]
    kept[:, due] = stored.reshape(flat)[..., entries]
    layer, index = np.divmod(entries, column.size)
    return layer, index, np.full(len(entries), column.name), value, kept


def _by_layer(column: Column, layout: Layout, values: np.ndarray) -> np.ndarray:
    """Vectors (…, layers, size); of those of kernels, (…, kernels, size), the sum over a layer's kernels."""
    if not column.over_kernels:
        return values
    sums = np.zeros((*values.shape[:-2], len(layout.names), column.size))
    for index, layer in enumerate(layout.layers_of_kernels):
        sums[..., layer, :] += values[..., index, :]
    return sums


def _finished(snapshot: Snapshot, layout: Layout, computed: Any, seed: int) -> dict[str, Any]:
    """The columns of one seed."""
    of_seed = jax.tree.map(lambda leaf: leaf[seed], computed)
    if snapshot.finish is None:
        return dict(of_seed)
    return checked(snapshot.columns, snapshot.finish(of_seed), layout.shapes.fit)


def _notes(
    chunk: ChunkResult, layout: Layout, taken: dict[tuple[str, int, str], np.ndarray]
) -> dict[str, TableColumns]:
    """The inner measures of blocks and those of snapshots, one row each."""
    layers, measures = [layer for layer, _ in layout.notes], [measure for _, measure in layout.notes]
    layers += [layer for _, layer, _ in taken]
    measures += [f"{name}_{suffix}" if suffix else name for name, _, suffix in taken]
    if not layers:
        return {}
    arrays = [np.asarray(chunk.row.notes), *(value[..., None] for value in taken.values())]
    keys = {"layer": np.array(layers, int), "measure": np.array(measures)}
    keys["name"] = np.array(layout.names)[keys["layer"]]
    return {"notes": keys | {"value": np.concatenate(arrays, -1)}}


def _times(chunk: ChunkResult, layout: Layout) -> TableColumns:
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


def _steps(chunk: ChunkResult, layout: Layout, measured: dict[str, Any]) -> TableColumns:
    columns: TableColumns = {
        slot.name: (value := measured["steps"][slot.name][..., None], _is_measured(chunk, slot, value))
        for slot in layout.columns.steps
    }
    zeros, where = columns["weight_zeros"]
    columns["weight_zeros"] = (zeros, where & ~np.isnan(zeros))
    if chunk.evaluation is not None:  # it belongs to the chunk's first step
        first = (np.arange(len(chunk.steps)) == 0)[None, :, None]
        for index, column in enumerate(EVALUATION):
            value = chunk.evaluation[:, None, index, None]
            columns[column.name] = (
                value,
                first if column.name.endswith("loss") else first & ~np.isnan(value),
            )
    return columns
