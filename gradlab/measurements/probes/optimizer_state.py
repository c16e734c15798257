"""What does the optimizer remember, and how large a step does it make of it?"""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from gradlab.measurements.by_layer import of_kernels
from gradlab.measurements.columns import Column
from gradlab.measurements.probe import Probe, UpdateColumns, UpdateSignal, probe
from gradlab.numerics.norms import LOG10_2, log2_norms, scaled_log2_norm
from gradlab.numerics.tree import Tree
from gradlab.parts.optimizers.phases import PhasesState

# how the states of Optax and of its `contrib` call the averages of gradients and of their squares
FIRST = frozenset("mu trace ema m m1 exp_avg".split())
SECOND = frozenset("nu sum_of_squares exp_avg_sq grad_sum_sq e_g".split())


@probe
def optimizer_state() -> Probe:
    """Norms of the optimizer's moments at θ_t, before the update, and the size of the step that it makes.

    log10_first_moment, log10_second_moment: log10 of ‖m‖ and of ‖v‖ of each parameter, where the optimizer has an
    average m of gradients or v of their squares; −inf before the first step. log10_effective_step: log10 of the root
    mean square over the entries of a layer's kernels of ΔW divided by the learning rate: |g| of gradient descent,
    |m̂|/(√v̂ + ε) of Adam, which is near 1 however small the gradient is. Of `optimizer=phases` the moments are those
    of the one in use.
    """

    def ask(update: UpdateSignal) -> UpdateColumns:
        moved = log2_norms(update.direction, update.stacked_axes).leaves
        shift = update.log2_step_size - jnp.log2(update.learning_rate)
        effective = LOG10_2 * (of_kernels(update, moved) + shift - 0.5 * jnp.log2(_kernel_sizes(update)))
        return {
            "log10_first_moment": _norms(update, FIRST),
            "log10_second_moment": _norms(update, SECOND),
            "log10_effective_step": effective,
        }

    texts = {
        "log10_first_moment": "log10 of ‖m‖, the optimizer's average of gradients, before the update",
        "log10_second_moment": "log10 of ‖v‖, the optimizer's average (or sum) of squared gradients, before the update",
        "log10_effective_step": "log10 of the root mean square over the layer's kernels of ΔW/learning rate",
    }
    columns = [
        Column(
            name,
            text,
            unit="log10",
            kind="parameter" if "moment" in name else "layer",
            over_kernels="norm" if "moment" in name else "",
            nan_is_null=True,
            needs_update=name == "log10_effective_step",
        )
        for name, text in texts.items()
    ]
    return Probe(tuple(columns), update=ask)


def _kernel_sizes(update: UpdateSignal) -> Array:
    """How many entries the kernels of each layer have, (layers,)."""
    sizes = np.zeros(update.layers)
    for path in update.kernels:
        layers = update.layers_of[path]
        sizes[list(layers)] += update.params[path].size / len(layers)
    return jnp.asarray(sizes, jnp.float32)


def _norms(update: UpdateSignal, names: frozenset[str]) -> Tree:
    """log10 of the norm of each parameter's moment, one per layer; NaN where the optimizer has none."""
    shapes = {path: w.shape for path, w in update.params.items()}
    found = moments(update.optimizer, names, shapes)
    none = {
        path: jnp.full(w.shape[: update.stacked_axes[path]], jnp.nan) for path, w in update.params.items()
    }
    known = {path: LOG10_2 * scaled_log2_norm(m, update.stacked_axes[path]) for path, m in found.items()}
    return none | known


def moments(state: Any, names: frozenset[str], shapes: dict[str, tuple[int, ...]]) -> Tree:
    """The arrays by a parameter's path, and of its shape, in a field with one of these names of an optimizer's state.

    Of several phases those of the phase in use, as far as all phases have them.
    """
    if isinstance(state, PhasesState):
        each = [moments(inner, names, shapes) for inner in state.states]
        common = [path for path in shapes if all(path in tree for tree in each)]
        return {path: jnp.stack([tree[path] for tree in each])[state.phase] for path in common}
    trees = [tree for field, tree in _fields(state) if field in names and isinstance(tree, dict)]
    return {
        path: value
        for tree in trees
        for path, value in tree.items()
        if path in shapes and getattr(value, "shape", None) == shapes[path]
    }


def _fields(state: Any) -> Iterator[tuple[str, Any]]:
    """Every named field in a state, outer ones first."""
    if hasattr(state, "_fields"):
        for name in state._fields:
            yield name, getattr(state, name)
            yield from _fields(getattr(state, name))
    elif isinstance(state, tuple | list):
        for inner in state:
            yield from _fields(inner)
    elif isinstance(state, dict):
        for inner in state.values():
            if not isinstance(inner, Array | jax.ShapeDtypeStruct):
                yield from _fields(inner)
