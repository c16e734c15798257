"""Calls the probes while a step is traced, each at its own `every`, and checks what they return."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from gradlab.measurements.columns import Column
from gradlab.measurements.probe import BackwardNorms, BlockSignal, Probe, UpdateSignal
from gradlab.numerics.taps import SCOPE
from gradlab.numerics.tree import select
from gradlab.recipe.errors import RecipeError

Probes = Mapping[str, Probe]


class RowShapes(NamedTuple):
    """The shapes of the values in a row of one network.

    axes: by path of a parameter (layers,), or () where it is no stack; kernels: the paths of the kernels.
    """

    layers: int
    axes: dict[str, tuple[int, ...]]
    kernels: frozenset[str]

    def fit(self, column: Column, value: Any) -> bool:
        """Whether a value has the shape of its column."""
        if column.kind == "note":
            return isinstance(value, Mapping) and all(map(self._is_note, value.items()))
        if column.kind == "parameter":
            return isinstance(value, Mapping) and {p: jnp.shape(v) for p, v in value.items()} == self.axes
        if column.kind == "vector" and column.over_kernels:
            expected = {path: (*self.axes[path], column.size) for path in self.kernels}
            return isinstance(value, Mapping) and {p: jnp.shape(v) for p, v in value.items()} == expected
        if column.kind == "vector":
            return bool(jnp.shape(value) == (self.layers, column.size))
        return bool(jnp.shape(value) == ((self.layers,) if column.kind == "layer" else ()))

    def _is_note(self, item: tuple[Any, Any]) -> bool:
        at, value = item
        is_place = (
            isinstance(at, tuple) and len(at) == 2 and at[0] in range(self.layers) and isinstance(at[1], str)
        )
        return is_place and jnp.shape(value) == ()


IsDue = Callable[[int], Array]  # whether the probes of this `every` measure the row, ()


def signal_columns(probes: Probes, has_activation: bool) -> list[Column]:
    """The columns of the signal probes that a block has, in order."""
    asked = [probe for probe in probes.values() if probe.signal and (has_activation or not probe.active)]
    return [column for probe in asked for column in probe.columns]


def signal_values(probes: Probes, is_due: IsDue, signal: BlockSignal) -> dict[str, Array]:
    """The columns of the signal probes for one block, () or (size,) each; zeros where a probe is not due."""

    def measure(probe: Probe) -> dict[str, Array]:
        assert probe.signal is not None
        returned = _arrays(probe.signal(signal))
        return checked(probe.columns, returned, lambda column, value: jnp.shape(value) == column.shape)

    has_activation = signal.slope is not None
    asked = {
        key: probe for key, probe in probes.items() if probe.signal and (has_activation or not probe.active)
    }
    return _joined(_at_intervals(asked, is_due, measure))


def backward_values(probes: Probes, is_due: IsDue, norms: BackwardNorms) -> dict[str, Array]:
    """The columns of the backward probes, (layers,) each; zeros where a probe is not due."""

    def measure(probe: Probe) -> dict[str, Array]:
        assert probe.backward is not None
        fits = lambda column, value: jnp.shape(value) == norms.signal.shape
        return checked(probe.columns, _arrays(probe.backward(norms)), fits)

    asked = {key: probe for key, probe in probes.items() if probe.backward}
    return _joined(_at_intervals(asked, is_due, measure))


def update_values(
    probes: Probes, states: dict[str, Any], is_due: IsDue, update: UpdateSignal, shapes: RowShapes
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The columns of the update probes by kind and name, and the next states of probes that have one, by their keys.

    Where a probe is not due its columns are zeros, and its state stays.
    """

    def measure(probe: Probe) -> dict[str, Any]:
        assert probe.update is not None
        return checked(probe.columns, _arrays(probe.update(update)), shapes.fit)

    def measure_with_state(probe: Probe, state: Any) -> Any:
        assert probe.update is not None
        returned, after = probe.update(update, state)
        return checked(probe.columns, _arrays(returned), shapes.fit), _arrays(after)

    asked = {key: probe for key, probe in probes.items() if probe.update}
    stateless = {key: probe for key, probe in asked.items() if key not in states}
    by_probe = _at_intervals(stateless, is_due, measure)
    next_states = {}
    for key, state in states.items():
        probe = asked[key]
        measured = _at_intervals({key: probe}, is_due, partial(measure_with_state, state=state))
        by_probe[key], after = measured[key]
        next_states[key] = after if probe.every == 1 else select(is_due(probe.every), after, state)
    values: dict[str, dict[str, Any]] = {"layer": {}, "parameter": {}, "step": {}, "vector": {}}
    for key, columns in by_probe.items():
        for column in asked[key].columns:
            values[column.kind][column.name] = columns[column.name]
    return values, next_states


def _at_intervals(probes: Probes, is_due: IsDue, measure: Callable[[Probe], Any]) -> dict[str, Any]:
    """`measure(probe)` of each, by key, under one condition for each `every`; zeros where that is not due."""
    results: dict[str, Any] = {}
    for every in sorted({probe.every for probe in probes.values()}):
        group = {key: probe for key, probe in probes.items() if probe.every == every}
        compute = partial(_measured, group, measure)
        if every == 1:
            results |= compute()
        else:
            shapes = jax.eval_shape(compute)
            results |= jax.lax.cond(is_due(every), compute, partial(_zeros, shapes))
    return results


def _measured(probes: Probes, measure: Callable[[Probe], Any]) -> dict[str, Any]:
    """`measure(probe)` of each; its operations carry the probe's name, by which a profile tells what it takes."""
    results = {}
    for key, probe in probes.items():
        with jax.named_scope(f"{SCOPE}{key}"):
            results[key] = measure(probe)
    return results


def _zeros(shapes: Any) -> Any:
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)


def _arrays(tree: Any) -> Any:
    """The tree with JAX arrays in the place of Python's numbers."""
    return jax.tree.map(jnp.asarray, tree)


def _joined(by_probe: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {name: value for columns in by_probe.values() for name, value in columns.items()}


def checked(
    columns: tuple[Column, ...], returned: Any, fits: Callable[[Column, Any], bool]
) -> dict[str, Any]:
    """What a probe or a snapshot returned, if it is what it declares.

    Raises:
        RecipeError: where the names are not those of its columns (a value would be stored nowhere or a column hold
            nothing), or a value has not the shape of its column.
    """
    if not isinstance(returned, Mapping) or returned.keys() != {column.name for column in columns}:
        declared = ", ".join(column.name for column in columns)
        names = ", ".join(returned) if isinstance(returned, Mapping) else f"a {type(returned).__name__}"
        raise RecipeError(
            f"a probe or snapshot declares the columns {declared} and returns {names}; the two must be the same names"
        )
    for column in columns:
        if not fits(column, returned[column.name]):
            shapes = jax.tree.map(jnp.shape, returned[column.name])
            raise RecipeError(
                f"the column {column.name}, kind={column.kind!r}, is returned in the shape {str(shapes)[:200]}; "
                "a block's signal gives (), a layer (layers,), a step (), a parameter one value per layer by path, "
                "a note () by (layer, name)"
            )
    return {column.name: returned[column.name] for column in columns}
