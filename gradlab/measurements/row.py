"""The measured row of a step: which columns it has, packed for the scan of the steps, unpacked by name on the host."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from gradlab.measurements.columns import STEPS, Column
from gradlab.measurements.probe import Probe
from gradlab.numerics.tree import Tree


class Slot(NamedTuple):
    """A column of a row; every: its probe's; active: whether only blocks with an activation have it."""

    column: Column
    every: int = 1
    active: bool = False

    @property
    def name(self) -> str:
        """The column's name."""
        return self.column.name


class RowColumns(NamedTuple):
    """The columns of a row, in the order in which they are packed."""

    layers: tuple[Slot, ...]
    parameters: tuple[Slot, ...]
    counts: tuple[Slot, ...]  # of parameters, whole numbers
    steps: tuple[Slot, ...]
    vectors: tuple[Slot, ...]

    @property
    def declared(self) -> list[Column]:
        """The columns that not every run has: of loss scaling, and those that probes declare."""
        slots = (*self.layers, *self.parameters, *self.counts, *self.steps, *self.vectors)
        return [slot.column for slot in slots if slot.column not in STEPS]


class RowValues(NamedTuple):
    """What was measured in one step, by column."""

    layers: dict[str, Array]  # (layers,)
    parameters: dict[str, Tree]  # one value per layer of each parameter
    steps: dict[str, Array]  # ()
    vectors: dict[str, Any]  # (layers, size), or by path of a kernel (size,) or (layers, size)
    notes: list[Array]  # the blocks' inner measures, () or (layers,) each
    times: list[Array]  # log10 of the backward signal, (layers, 2, time steps) for each block with time steps


class Row(NamedTuple):
    """A row, packed: a scan stacks one array per kind of column."""

    layers: Array  # (columns, layers)
    parameters: Array  # (columns, entries): the parameters in order of their paths, a stack's layer by layer
    counts: Array  # (columns, entries), int32
    steps: Array  # (columns,)
    notes: Array  # (inner measures,): the blocks' metric_names, block by block; rows of the table of notes
    # (Σ 2·time steps,): log10 of the backward signal at time steps, h_t then c_t, block by block
    times: Array
    # by column: (layers, size), or (kernels, size), the kernels in order of their paths, a stack's layer by layer
    vectors: dict[str, Array]


def row_columns(probes: Iterable[Probe], more: Iterable[Column] = ()) -> RowColumns:
    """The columns of a row: those of every step, `more`, and the probes', in the order signal, backward, update."""
    probes = list(probes)
    ordered = [probe for name in ("signal", "backward", "update") for probe in probes if getattr(probe, name)]
    slots = [Slot(column, probe.every, probe.active) for probe in ordered for column in probe.columns]
    of_kind: Callable[[str], list[Slot]] = lambda kind: [slot for slot in slots if slot.column.kind == kind]
    return RowColumns(
        layers=tuple(of_kind("layer")),
        parameters=tuple(slot for slot in of_kind("parameter") if not slot.column.is_count),
        counts=tuple(slot for slot in of_kind("parameter") if slot.column.is_count),
        steps=(*map(Slot, (*STEPS, *more)), *of_kind("step")),
        vectors=tuple(of_kind("vector")),
    )


def path_order(tree: Iterable[str]) -> list[str]:
    """The paths of a tree of parameters in the order in which a row has them."""
    return sorted(tree)


def pack(columns: RowColumns, values: RowValues) -> Row:
    """The values as a row; called while a step is traced."""
    flat: Callable[[Tree], Array] = lambda tree: jnp.concatenate(
        [tree[path].reshape(-1) for path in path_order(tree)]
    )
    return Row(
        layers=_stacked([values.layers[slot.name] for slot in columns.layers], (0, 0)),
        parameters=_stacked([flat(values.parameters[slot.name]) for slot in columns.parameters], (0, 0)),
        counts=_stacked([flat(values.parameters[slot.name]) for slot in columns.counts], (0, 0), jnp.int32),
        steps=_stacked([values.steps[slot.name] for slot in columns.steps], (0,)),
        notes=_joined(values.notes),
        times=_joined(values.times),
        vectors={slot.name: _by_kernel(slot.column, values.vectors[slot.name]) for slot in columns.vectors},
    )


def unpack(columns: RowColumns, row: Row) -> dict[str, dict[str, np.ndarray]]:
    """The columns of the tables by name: (…, layers), (…, entries) and (…) for a row with leading axes (…)."""
    layers, parameters, counts, steps = (np.asarray(array) for array in row[:4])
    take: Any = lambda slots, array, axis: {
        slot.name: array.take(index, axis) for index, slot in enumerate(slots)
    }
    return {
        "layers": take(columns.layers, layers, -2),
        "parameters": take(columns.parameters, parameters, -2) | take(columns.counts, counts, -2),
        "steps": take(columns.steps, steps, -1),
    }


def row_bytes(columns: RowColumns, layers: int, entries: int, notes: int, time_steps: int) -> int:
    """The bytes of one row of a network with these numbers of layers, parameters of layers, notes and time steps."""
    per_entry = len(columns.parameters) + len(columns.counts)
    of_vectors = sum(slot.column.size for slot in columns.vectors) * max(layers, entries)
    of_layers = len(columns.layers) * layers
    return 4 * (of_layers + per_entry * entries + len(columns.steps) + notes + 2 * time_steps + of_vectors)


def _by_kernel(column: Column, value: Any) -> Array:
    """The vectors of layers, or of the kernels by path, as one array of rows."""
    if not isinstance(value, Mapping):
        return jnp.asarray(value)
    return jnp.concatenate([value[path].reshape(-1, column.size) for path in path_order(value)])


def _stacked(values: list[Array], empty: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
    return jnp.stack([value.astype(dtype) for value in values]) if values else jnp.zeros(empty, dtype)


def _joined(values: list[Array]) -> Array:
    return jnp.concatenate([value.astype(jnp.float32).reshape(-1) for value in values] or [jnp.zeros(0)])
