"""Any recurrence over time, with a backward loop that measures the signal at every step beyond float32's range.

The backward loop carries the cotangents of the state as value·2^−k. Where their squared norm leaves 1e±20 they are
multiplied by a power of two, which is exact, and its exponent is added to k; what leaves the loop for training (the
cotangents of the pre-activations, from which all weight gradients are one product after the loop) is unscaled on the
spot. So training has the bits of plain back-propagation through time wherever that neither under- nor overflows on
its way, measured or not, and the norms stay right at 10^±100. Shared weights need no common scale.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from gradlab.numerics import norms
from gradlab.numerics.taps import in_tap_range, rescaling

CellState = tuple[Array, ...]  # (h,), or (h, c) where there is a cell state; each (examples, units)


class Cell(NamedTuple):
    """One step of a recurrence, elementwise in its pre-activations.

    `step(pre, state, cell_dummy)` -> (next state, aux): `pre` is (W_x x + W_h h,), or (W_x x, W_h h) where the cell
    has `separate_inputs`, each (examples, gates·units); aux is any pytree. `cell_dummy` is a zero that is added to
    the new cell state, so that its cotangent is ∂L/∂c_t.
    """

    step: Callable[[tuple[Array, ...], CellState, Any], tuple[CellState, Any]]
    gates: int  # the pre-activations have gates·units entries per example
    has_cell_state: bool = False
    separate_inputs: bool = False


class RecurrenceOutput(NamedTuple):
    """The output of a recurrence.

    h: h_t of all steps, (time, examples, units); last: the state after the last step; aux: what the cell's step
    returned beside the state, with a leading axis of time.
    """

    h: Array
    last: CellState
    aux: Any


def recurrence(
    cell: Cell,
    kernel: Array,
    bias: Array | None,
    inputs: Array,
    start: CellState,
    time_dummy: Array | None,
    truncation: int,
) -> RecurrenceOutput:
    """Runs `cell` over `inputs` = W_x x_t + b of all steps (time, examples, gates·units) from the state `start`.

    `kernel` is W_h (units, gates·units), `bias` (gates·units,) is added to W_h h. `time_dummy`: zeros (2, time)
    whose "gradient" becomes log2 of ‖∂L/∂h_t‖ and ‖∂L/∂c_t‖ (NaN where there is no c). `truncation` = k > 0: no
    gradient passes from step k·n + 1 to step k·n (truncated back-propagation through time); 0: never truncated.
    """

    pre = (inputs[0], inputs[0]) if cell.separate_inputs else (inputs[0],)
    # a custom rule must not close over traced numbers, and a cell's activation may
    step, numbers = jax.closure_convert(cell.step, pre, start, jnp.zeros_like(start[-1]))

    def with_numbers(numbers: Any) -> Cell:
        return cell._replace(step=lambda *arguments: step(*arguments, *numbers))

    @jax.custom_vjp
    def run(
        kernel: Array, bias: Any, inputs: Array, start: CellState, time_dummy: Any, numbers: Any
    ) -> RecurrenceOutput:
        return _forward(with_numbers(numbers), kernel, bias, inputs, start)[0]

    def forward(
        kernel: Array, bias: Any, inputs: Array, start: CellState, time_dummy: Any, numbers: Any
    ) -> tuple[RecurrenceOutput, Any]:
        output, residuals = _forward(with_numbers(numbers), kernel, bias, inputs, start)
        return output, (kernel, bias, residuals, time_dummy, numbers)

    def backward(saved: Any, cotangent: RecurrenceOutput) -> Any:
        kernel, bias, residuals, time_dummy, numbers = saved
        cell_with_numbers = with_numbers(numbers)
        cotangents = _backward(cell_with_numbers, truncation, kernel, bias, residuals, time_dummy, cotangent)
        return *cotangents, jax.tree.map(jnp.zeros_like, numbers)  # a recipe's numbers are not trained

    run.defvjp(forward, backward)
    return run(kernel, bias, inputs, start, time_dummy, numbers)


class _Residuals(NamedTuple):
    """What the backward loop needs of each step: the state before it, and its pre-activations."""

    before: CellState
    pre: tuple[Array, ...]


def _forward(
    cell: Cell, kernel: Array, bias: Array | None, inputs: Array, start: CellState
) -> tuple[RecurrenceOutput, _Residuals]:
    step = partial(_forward_step, cell, kernel, bias, jnp.zeros_like(start[-1]))
    last, (h, aux, residuals) = jax.lax.scan(step, start, inputs)
    return RecurrenceOutput(h, last, aux), residuals


def _forward_step(
    cell: Cell, kernel: Array, bias: Array | None, cell_dummy: Array, state: CellState, x: Array
) -> tuple[CellState, tuple[Array, Any, _Residuals]]:
    """One step of the forward loop; x is W_x x_t + b (examples, gates·units)."""
    recurrent = state[0] @ kernel if bias is None else state[0] @ kernel + bias
    pre = (x, recurrent) if cell.separate_inputs else (x + recurrent,)
    after, aux = cell.step(pre, state, cell_dummy)
    return after, (after[0], aux, _Residuals(state, pre))


class _Carry(NamedTuple):
    """What runs back in time: the state's cotangents times 2^exponent, yet to be multiplied by 2^shift."""

    state: CellState
    exponent: Array
    shift: Array


def _backward(
    cell: Cell,
    truncation: int,
    kernel: Array,
    bias: Array | None,
    residuals: _Residuals,
    time_dummy: Array | None,
    cotangent: RecurrenceOutput,
) -> Any:
    """The cotangents of kernel, bias, inputs, start and time_dummy."""
    zero = jnp.zeros((), jnp.float32)
    arrives = jnp.max(jnp.abs(cotangent.h), axis=(1, 2)) > 0
    xs = (residuals, cotangent.h, arrives, jnp.arange(len(arrives)))
    first, (to_pre, step_norms) = jax.lax.scan(
        partial(_backward_step, cell, truncation, kernel.T),
        _Carry(cotangent.last, zero, zero),
        xs,
        reverse=True,
    )
    to_start = tuple(_scaled(part, -first.exponent) for part in first.state)
    # of all steps and examples, so that one product gives the gradient
    rows = to_pre[-1].reshape(-1, kernel.shape[1])
    to_kernel = residuals.before[0].reshape(len(rows), -1).T @ rows
    to_bias = None if bias is None else rows.sum(0)
    return to_kernel, to_bias, to_pre[0], to_start, None if time_dummy is None else step_norms.T


def _backward_step(
    cell: Cell, truncation: int, transposed: Array, carry: _Carry, xs: Any
) -> tuple[_Carry, tuple[tuple[Array, ...], Array]]:
    """One step of the backward loop: the unscaled cotangents of the pre-activations, and log2 of both norms, (2,)."""
    (before, pre), *arriving, index = xs
    state, exponent = _join(carry, *arriving)
    _, pullback, _ = jax.vjp(cell.step, pre, before, jnp.zeros_like(state[-1]), has_aux=True)
    to_pre, (to_h, *to_c), to_cell = pullback(state)
    step_norms, shift = _measure(state[0], to_cell if cell.has_cell_state else None)
    true_to_pre = tuple(_scaled(part, -exponent) for part in to_pre)
    after = _Carry((to_h + to_pre[-1] @ transposed, *to_c), exponent, shift)
    if truncation:
        inside = index % truncation > 0
        after = jax.tree.map(lambda part: jnp.where(inside, part, jnp.zeros_like(part)), after)
    return after, (true_to_pre, step_norms - exponent)


def _join(carry: _Carry, arriving: Array, arrives: Array) -> tuple[CellState, Array]:
    """The cotangents with what arrives at h_t from outside, in one scale: the larger one's."""
    smaller = (carry.exponent + carry.shift > 0) & arrives
    shift = jnp.where(smaller, -carry.exponent, carry.shift)
    exponent = carry.exponent + shift
    h, *others = (_scaled(part, shift) for part in carry.state)
    return (h + _scaled(arriving, jnp.minimum(exponent, 0)), *others), exponent


def _measure(h: Array, c: Array | None) -> tuple[Array, Array]:
    """log2 of both norms, (2,) (NaN for no c), and the power of two that brings them back near 1 once they left."""
    parts = [h] if c is None else [h, c]
    squares = jnp.stack([norms.square_sum(part) for part in parts])
    inside = norms.is_safe(squares).all() & in_tap_range(squares.sum())

    def scaled() -> tuple[Array, Array]:
        logs = jnp.stack([norms.scaled_log2_norm(part) for part in parts])
        return logs.astype(jnp.float32), rescaling(norms.log2_hypot(logs)).astype(jnp.float32)

    plain = lambda: (0.5 * jnp.log2(squares).astype(jnp.float32), jnp.zeros((), jnp.float32))
    logs, shift = jax.lax.cond(inside, plain, scaled)
    return logs if c is not None else jnp.append(logs, jnp.nan), shift


def _scaled(x: Array, k: Array) -> Array:
    """x·2^k in two factors: enough to bring anything near 1, or from there to where it ends."""
    limit = norms.max_exponent(x.dtype)
    first = jnp.clip(k, -limit, limit)
    second = jnp.clip(k - first, -limit, limit)
    dtype = norms.compute_dtype(x)
    return (
        x
        * norms.power_of_two(first, dtype).astype(x.dtype)
        * norms.power_of_two(second, dtype).astype(x.dtype)
    )
