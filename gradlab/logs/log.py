"""Columns of a log as steps and layers: one value for each step, or step and layer, in order; two are refused."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradlab.logs.foreign_writer import Measured, Record
from gradlab.logs.layer_order import ordered
from gradlab.logs.roles import MEASURES, UNITS, Roles
from gradlab.logs.tables import Columns
from gradlab.recipe.bounds import LARGEST
from gradlab.recipe.errors import RecipeError
from gradlab.recipe.printing import one_line

MOST_CELLS = 2**20  # of a record: values of layers, which are written together
KERNELS = (".weight", "/kernel", ".kernel", "/weight")  # the ends of the names of weights
BIASES = (".bias", "/bias")


class Cells(NamedTuple):
    """The measured values of a column of layers, by step and layer: three arrays (values,)."""

    steps: NDArray[np.int64]
    layers: NDArray[np.int64]  # indices into the names of the log
    values: NDArray[np.float64]

    def take(self, chosen: NDArray[Any]) -> "Cells":
        """Those that are chosen by truth values or by their indices, in the order of these."""
        return Cells(self.steps[chosen], self.layers[chosen], self.values[chosen])


class Log(NamedTuple):
    """What a log holds, in the columns of a run.

    steps: (steps,), increasing; numbers: each (steps,); profiles: the values of layers by column.
    origins: which columns of the log a column was made of; notes: what was left out.
    """

    steps: NDArray[np.int64]
    layers: list[str]
    numbers: Mapping[str, Measured]
    profiles: Mapping[str, Cells]
    origins: Mapping[str, str]
    notes: list[str]

    def records(self) -> Iterator[Record]:
        """The log in pieces that fit into memory."""
        width = max(1, len(self.layers) * len(self.profiles))
        size = max(1, MOST_CELLS // width)
        for start in range(0, len(self.steps), size):
            piece = slice(start, start + size)
            numbers = {
                name: Measured(values[piece], measured[piece])
                for name, (values, measured) in self.numbers.items()
            }
            profiles = {name: self._dense(cells, self.steps[piece]) for name, cells in self.profiles.items()}
            yield Record(self.steps[piece], numbers, profiles)

    def _dense(self, cells: Cells, steps: NDArray[np.int64]) -> Measured:
        """The values at these steps, (steps, layers)."""
        low, high = (
            np.searchsorted(cells.steps, steps[0]),
            np.searchsorted(cells.steps, steps[-1], side="right"),
        )
        values = np.zeros((len(steps), len(self.layers)))
        measured = np.zeros(values.shape, bool)
        at = np.searchsorted(steps, cells.steps[low:high]), cells.layers[low:high]
        values[at], measured[at] = cells.values[low:high], True
        return Measured(values, measured)


class Series(NamedTuple):
    """One column of a log: a value for each row, and the row's step and layer (−1 where it has none), all (rows,)."""

    steps: Measured
    layers: NDArray[np.int64]
    values: Measured


def log_of(path: Path, columns: Columns, roles: Roles) -> Log:
    """The log that the columns of a table are.

    Raises:
        RecipeError: a step is missing or no whole number, a value is given twice, or a norm is negative.
    """
    steps = columns.numbers[roles.step]
    nowhere = np.full(len(steps.values), -1)
    codes, labels = columns.words[roles.layer] if roles.layer else (nowhere, [])
    places = {one_line(label): index for index, label in enumerate(labels)}
    by_target: dict[str, list[Series]] = {}
    for target, (column, _) in roles.numbers.items():
        by_target.setdefault(target, []).append(Series(steps, nowhere, columns.numbers[column]))
    of_layers: dict[str, list[Series]] = {}
    units: dict[str, str] = {target: unit for target, (_, unit) in roles.numbers.items()}
    for entry in roles.values:
        target = MEASURES[entry.measure]
        units[f"layer {target}"] = entry.unit
        layer = codes
        if entry.layer:
            layer = np.full(len(nowhere), places.setdefault(one_line(entry.layer), len(places)))
        of_layers.setdefault(target, []).append(Series(steps, layer, columns.numbers[entry.column]))
    return joined(path, list(places), by_target, of_layers, units, roles.origins)


def joined(
    path: Path,
    names: list[str],
    numbers: Mapping[str, list[Series]],
    profiles: Mapping[str, list[Series]],
    units: Mapping[str, str],
    origins: Mapping[str, str],
) -> Log:
    """The log whose columns of steps and of layers are made of these series; a layer's index is that into `names`.

    Raises:
        RecipeError: see `log_of`.
    """
    of_steps = {target: _cells(path, target, series, units[target]) for target, series in numbers.items()}
    cells = {
        target: _cells(path, target, series, units[f"layer {target}"], names)
        for target, series in profiles.items()
    }
    cells = {target: found for target, found in cells.items() if len(found.values)}
    layers, cells, notes = _arranged(names, cells)
    every = [found.steps for found in (*of_steps.values(), *cells.values())]
    steps = np.unique(np.concatenate(every)) if every else np.array([], np.int64)
    if not len(steps):
        raise RecipeError(f"{path} has no value in {', '.join(sorted({*origins.values()}))}")
    dense = {target: _at_steps(found, steps) for target, found in of_steps.items() if len(found.values)}
    kept = {target: origin for target, origin in origins.items() if target in (*dense, *cells)}
    return Log(steps, layers, dense, cells, kept, notes)


def _cells(
    path: Path, target: str, series: Iterable[Series], unit: str, names: Sequence[str] | None = None
) -> Cells:
    """The measured values by step and layer, each once, sorted; without `names` they are of steps alone."""
    steps, layers, values = [], [], []
    for column in series:
        measured = column.values.measured
        steps.append(_whole_steps(path, column.steps, measured))
        layers.append(column.layers[measured])
        values.append(column.values.values[measured])
    cells = Cells(np.concatenate(steps), np.concatenate(layers).astype(np.int64), np.concatenate(values))
    if names is not None and (cells.layers < 0).any():
        raise RecipeError(
            f"{path} has a value of {target} without a layer at step {cells.steps[cells.layers < 0][0]}"
        )
    cells = cells.take(np.lexsort([cells.layers, cells.steps]))
    return _converted(path, target, _once(path, target, cells, names), unit)


def _whole_steps(path: Path, steps: Measured, wanted: NDArray[np.bool_]) -> NDArray[np.int64]:
    values, given = steps.values[wanted], steps.measured[wanted]
    if not given.all():
        row = int(np.flatnonzero(wanted)[np.flatnonzero(~given)[0]]) + 1
        raise RecipeError(f"{path} has no step in row {row}, which has values; fill it, or leave the row out")
    wrong = ~((values >= 0) & (values <= LARGEST) & (values == np.floor(values)))
    if wrong.any():
        raise RecipeError(
            f"{path} has the step {values[wrong][0]:g}; a step is a whole number from 0 to {LARGEST}"
        )
    return values.astype(np.int64)


def _once(path: Path, target: str, cells: Cells, names: Sequence[str] | None) -> Cells:
    """Each cell once: a value may be repeated, as the loss in the rows of all layers, but not be another."""
    same = (np.diff(cells.steps) == 0) & (np.diff(cells.layers) == 0)
    equal = (cells.values[1:] == cells.values[:-1]) | (
        np.isnan(cells.values[1:]) & np.isnan(cells.values[:-1])
    )
    if (same & ~equal).any():
        at = int(np.flatnonzero(same & ~equal)[0])
        layer = f" of layer {names[cells.layers[at]]}" if names else ""
        raise RecipeError(
            f"{path} has {target}{layer} twice at step {cells.steps[at]}: {cells.values[at]:g} and "
            f"{cells.values[at + 1]:g}; keep one row for each step{' and layer' if layer else ''}"
        )
    first = np.concatenate([[True], ~same]) if len(cells.values) else np.array([], bool)
    return cells.take(first)


def _converted(path: Path, target: str, cells: Cells, unit: str) -> Cells:
    """The values in the unit of the column: logarithms of norms, and losses as they are."""
    if not unit:
        return cells
    if unit in ("norm", "squared") and (cells.values < 0).any():
        at = int(np.flatnonzero(cells.values < 0)[0])
        raise RecipeError(
            f"{path} has {cells.values[at]:g} for {target} at step {cells.steps[at]}, which is no {unit}; is it a "
            "logarithm? give --unit log10 or --unit ln"
        )
    with np.errstate(divide="ignore"):  # of zero: −inf, which is stored
        return cells._replace(values=UNITS[unit](cells.values))


def _arranged(names: list[str], cells: Mapping[str, Cells]) -> tuple[list[str], dict[str, Cells], list[str]]:
    """The layers that have values in their order, without biases, a layer and its weights under one name."""
    notes = []
    used = {names[index] for found in cells.values() for index in np.unique(found.layers)}
    biases = {name for name in used if _is_bias(name, used)}
    if biases:
        notes.append(f"{len(biases)} biases are left out: a layer's norms are those of its weights")
    called = {name: _module_name(name, used) for name in names if name in used - biases}
    layers = ordered(called.values())
    place = {name: index for index, name in enumerate(layers)}
    places = np.array([place[called[name]] if name in called else -1 for name in names], np.int64)
    arranged = {}
    for target, found in cells.items():
        moved = found._replace(layers=places[found.layers])
        moved = moved.take(moved.layers >= 0)
        arranged[target] = moved.take(np.lexsort([moved.layers, moved.steps]))
    return layers, arranged, notes


def _is_bias(name: str, used: set[str]) -> bool:
    """Whether it is the bias of a layer whose weights have values, too."""
    end = next((end for end in BIASES if name.endswith(end)), "")
    return bool(end) and any(name.removesuffix(end) + kernel in used for kernel in KERNELS)


def _module_name(name: str, used: set[str]) -> str:
    """Of the weights of a layer that has values under its own name, too, that name."""
    module = next((name.removesuffix(end) for end in KERNELS if name.endswith(end)), name)
    return module if module in used else name


def _at_steps(found: Cells, steps: NDArray[np.int64]) -> Measured:
    values, measured = np.full(len(steps), math.nan), np.zeros(len(steps), bool)
    at = np.searchsorted(steps, found.steps)
    values[at], measured[at] = found.values, True
    return Measured(values, measured)
