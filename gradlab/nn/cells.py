"""The recurrent units: what h_t is of the input's share W_x x_t + b and of the state's share W_h h_{t−1}.

σ(z) = ½ tanh(½z) + ½, so that one tanh over all gates of a unit serves them together.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from gradlab.numerics.recurrence import Cell, CellState
from gradlab.parts.activations import Activation

FLAT = 0.95  # of tanh²: |φ'| is below a twentieth of its largest there, of tanh and of σ alike


class CellSpec(NamedTuple):
    """A cell, what is added to the bias of each of its gates, and the names of what it tells of itself.

    A `sloped` unit tells φ' at every step; the others the mean of the named measures.
    """

    cell: Cell
    shifts: tuple[Any, ...]
    gates: tuple[str, ...]  # in the order of the kernel's square blocks
    metric_names: tuple[str, ...] = ()
    sloped: bool = False
    own_bias: bool = False  # whether the state's share of the last gate has a bias too


def plain(activation: Activation) -> CellSpec:
    """h_t = φ(W_x x_t + W_h h_{t−1} + b) (Elman 1990)."""

    def advance(pre: tuple[Array, ...], state: CellState, nudge: Any) -> tuple[CellState, Array]:
        h, slope = jax.jvp(activation.phi, pre, (jnp.ones_like(pre[0]),))
        return (h,), slope

    return CellSpec(Cell(advance, 1), (0.0,), ("",), sloped=True)


def lstm(forget_bias: Any) -> CellSpec:
    """c_t = f∘c_{t−1} + i∘g, h_t = o∘tanh c_t; i, f, o = σ(…), g = tanh(…) (Gers et al. 2000).

    ∂c_t/∂c_{t−1} is f alone but for the gates' own dependence: f near 1 carries the gradient. `forget_bias` is b_f
    at the start; 1 is Jozefowicz et al.'s (2015), at 0 each step halves the gradient.
    """

    def advance(pre: tuple[Array, ...], state: CellState, nudge: Any) -> tuple[CellState, Array]:
        bent = jnp.tanh(pre[0] * _slopes(state[0], (0.5, 0.5, 1.0, 0.5)))
        i, f, g, o = jnp.split(bent, 4, axis=-1)
        c = _gate(f) * state[1] + _gate(i) * g + nudge
        return (_gate(o) * jnp.tanh(c), c), _told(bent, 4, f)

    names = ("saturated_input", "saturated_forget", "saturated_candidate", "saturated_output", "mean_forget")
    gates = ("input", "forget", "candidate", "output")
    return CellSpec(Cell(advance, 4, memory=True), (0.0, forget_bias, 0.0, 0.0), gates, names)


def gru(update_bias: Any) -> CellSpec:
    """h_t = (1 − z)∘n + z∘h_{t−1}, n = tanh(W x + b + r∘(W h + b')), r, z = σ(…) (Cho et al. 2014; PyTorch's form).

    `update_bias` is b_z at the start: above 0 the state is kept, and the gradient with it.
    """

    def advance(pre: tuple[Array, ...], state: CellState, nudge: Any) -> tuple[CellState, Array]:
        (x, own), width = pre, state[0].shape[-1]
        bent = jnp.tanh((x[:, : 2 * width] + own[:, : 2 * width]) * jnp.asarray(0.5, x.dtype))
        r, z = jnp.split(bent, 2, axis=-1)
        n = jnp.tanh(x[:, 2 * width :] + _gate(r) * own[:, 2 * width :])
        return (n + _gate(z) * (state[0] - n),), _told(bent, 2, z)

    names = ("saturated_reset", "saturated_update", "mean_update")
    gates = ("reset", "update", "candidate")
    return CellSpec(Cell(advance, 3, apart=True), (0.0, update_bias, 0.0), gates, names, own_bias=True)


def highway(transform_bias: Any) -> CellSpec:
    """h_t = t∘n + (1 − t)∘h_{t−1}, n = tanh(…), t = σ(…) (recurrent highway of depth 1, Zilly et al. 2017).

    `transform_bias` is b_t at the start: below 0 the state is carried on, and the gradient with it.
    """

    def advance(pre: tuple[Array, ...], state: CellState, nudge: Any) -> tuple[CellState, Array]:
        bent = jnp.tanh(pre[0] * _slopes(state[0], (1.0, 0.5)))
        n, t = jnp.split(bent, 2, axis=-1)
        return (state[0] + _gate(t) * (n - state[0]),), _told(bent, 2, t)

    names = ("saturated_candidate", "saturated_transform", "mean_transform")
    return CellSpec(Cell(advance, 2), (0.0, transform_bias), ("candidate", "transform"), names)


def _slopes(h: Array, each: Sequence[float]) -> Array:
    """½ before the tanh of a sigmoid, 1 before a tanh, for all units of each gate."""
    return jnp.asarray(np.repeat(each, h.shape[-1]), h.dtype)


def _gate(bent: Array) -> Array:
    """σ(z) from tanh(z/2)."""
    half = jnp.asarray(0.5, bent.dtype)
    return half * bent + half


def _told(bent: Array, gates: int, last: Array) -> Array:
    """The share of saturated entries of each gate, and the mean of one of them."""
    wide = bent.reshape(len(bent), gates, -1).astype(jnp.promote_types(bent.dtype, jnp.float32))
    shares = jnp.mean((wide * wide > FLAT).astype(wide.dtype), axis=(0, 2))
    return jnp.append(shares, jnp.mean(_gate(last).astype(wide.dtype)))
