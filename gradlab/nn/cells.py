"""The recurrent cells: h_t from the input's term W_x x_t + b and the state's term W_h h_{t−1}.

σ(z) = ½ tanh(½z) + ½, so that one tanh over all gates of a cell serves them together. In every cell's step,
pre-activations are (examples, gates·units) and states (examples, units).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from gradlab.numerics.recurrence import Cell, CellState
from gradlab.parts.activations import Activation

SATURATED_SQUARE = 0.95  # of tanh²: beyond it |φ'| is below a twentieth of its largest, for tanh and σ alike


class CellSpec(NamedTuple):
    """A cell, what is added to the initial bias of each of its gates, and the names of its metrics.

    A cell that `returns_slope` returns φ' at every step beside its state; the others the mean of each named metric.
    """

    cell: Cell
    gate_biases: tuple[Any, ...]
    gate_names: tuple[str, ...]  # in the order of the kernel's square blocks
    metric_names: tuple[str, ...] = ()
    returns_slope: bool = False
    recurrent_bias: bool = False  # whether the state's term of the last gate has a bias too


def plain(activation: Activation) -> CellSpec:
    """h_t = φ(W_x x_t + W_h h_{t−1} + b) (Elman 1990)."""

    def step(pre: tuple[Array, ...], state: CellState, cell_dummy: Any) -> tuple[CellState, Array]:
        h, slope = jax.jvp(activation.phi, pre, (jnp.ones_like(pre[0]),))
        return (h,), slope

    return CellSpec(Cell(step, 1), gate_biases=(0.0,), gate_names=("",), returns_slope=True)


def lstm(forget_bias: Any) -> CellSpec:
    """c_t = f∘c_{t−1} + i∘g, h_t = o∘tanh c_t; i, f, o = σ(…), g = tanh(…) (Gers et al. 2000).

    ∂c_t/∂c_{t−1} is f, apart from the gates' own dependence: f near 1 carries the gradient. `forget_bias` is the
    initial b_f; 1 is Jozefowicz et al.'s (2015), at 0 each step halves the gradient.
    """

    def step(pre: tuple[Array, ...], state: CellState, cell_dummy: Any) -> tuple[CellState, Array]:
        tanhs = jnp.tanh(pre[0] * _per_unit(state[0], (0.5, 0.5, 1.0, 0.5)))
        i, f, g, o = jnp.split(tanhs, 4, axis=-1)
        c = _sigmoid(f) * state[1] + _sigmoid(i) * g + cell_dummy
        return (_sigmoid(o) * jnp.tanh(c), c), _gate_metrics(tanhs, 4, f)

    return CellSpec(
        Cell(step, 4, has_cell_state=True),
        gate_biases=(0.0, forget_bias, 0.0, 0.0),
        gate_names=("input", "forget", "candidate", "output"),
        metric_names=(
            "saturated_input",
            "saturated_forget",
            "saturated_candidate",
            "saturated_output",
            "mean_forget",
        ),
    )


def gru(update_bias: Any) -> CellSpec:
    """h_t = (1 − z)∘n + z∘h_{t−1}, n = tanh(W x + b + r∘(W h + b')), r, z = σ(…) (Cho et al. 2014; PyTorch's form).

    `update_bias` is the initial b_z: above 0 the state is kept, and the gradient with it.
    """

    def step(pre: tuple[Array, ...], state: CellState, cell_dummy: Any) -> tuple[CellState, Array]:
        (x, wh), width = pre, state[0].shape[-1]
        tanhs = jnp.tanh((x[:, : 2 * width] + wh[:, : 2 * width]) * jnp.asarray(0.5, x.dtype))
        r, z = jnp.split(tanhs, 2, axis=-1)
        n = jnp.tanh(x[:, 2 * width :] + _sigmoid(r) * wh[:, 2 * width :])
        return (n + _sigmoid(z) * (state[0] - n),), _gate_metrics(tanhs, 2, z)

    return CellSpec(
        Cell(step, 3, separate_inputs=True),
        gate_biases=(0.0, update_bias, 0.0),
        gate_names=("reset", "update", "candidate"),
        metric_names=("saturated_reset", "saturated_update", "mean_update"),
        recurrent_bias=True,
    )


def highway(transform_bias: Any) -> CellSpec:
    """h_t = t∘n + (1 − t)∘h_{t−1}, n = tanh(…), t = σ(…) (recurrent highway of depth 1, Zilly et al. 2017).

    `transform_bias` is the initial b_t: below 0 the state is carried on, and the gradient with it.
    """

    def step(pre: tuple[Array, ...], state: CellState, cell_dummy: Any) -> tuple[CellState, Array]:
        tanhs = jnp.tanh(pre[0] * _per_unit(state[0], (1.0, 0.5)))
        n, t = jnp.split(tanhs, 2, axis=-1)
        return (state[0] + _sigmoid(t) * (n - state[0]),), _gate_metrics(tanhs, 2, t)

    return CellSpec(
        Cell(step, 2),
        gate_biases=(0.0, transform_bias),
        gate_names=("candidate", "transform"),
        metric_names=("saturated_candidate", "saturated_transform", "mean_transform"),
    )


def _per_unit(h: Array, factors: Sequence[float]) -> Array:
    """Each gate's factor for all of its units: ½ before the tanh of a sigmoid, 1 before a tanh."""
    return jnp.asarray(np.repeat(factors, h.shape[-1]), h.dtype)


def _sigmoid(tanh: Array) -> Array:
    """σ(z) from tanh(z/2)."""
    half = jnp.asarray(0.5, tanh.dtype)
    return half * tanh + half


def _gate_metrics(tanhs: Array, gates: int, averaged: Array) -> Array:
    """(gates + 1,): the fraction of saturated entries of each gate, and the mean of the `averaged` one."""
    by_gate = tanhs.reshape(len(tanhs), gates, -1).astype(jnp.promote_types(tanhs.dtype, jnp.float32))
    fractions = jnp.mean((by_gate * by_gate > SATURATED_SQUARE).astype(by_gate.dtype), axis=(0, 2))
    return jnp.append(fractions, jnp.mean(_sigmoid(averaged).astype(by_gate.dtype)))
