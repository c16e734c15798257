"""Any recurrence over time, with a backward loop that measures the signal at every step beyond float32's range.

The loop back carries the cotangents of the state as value·2^−k. Where their squared norm leaves 1e±20 they are
multiplied by a power of two, which is exact, and k takes it up; what leaves the loop for training (the cotangents
of the pre-activations, from which all weight gradients are one product after the loop) is unscaled on the spot.
So training has the bits of plain back-propagation through time wherever that neither under- nor overflows on its
way, measured or not, and the norms stay right at 10^±100. Shared weights need no common scale.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from gradlab.numerics import norms
from gradlab.numerics.taps import in_tap_range, rescaling

CellState = tuple[Array, ...]  # (h,), or (h, c) where there is a cell state


class Cell(NamedTuple):
    """One step of a recurrence, elementwise in its pre-activations.

    `advance(pre, state, nudge)` -> (next state, whatever it tells): `pre` is (W_x x + W_h h,), or (W_x x, W_h h)
    where the two act `apart`; `nudge` is a zero to be added to the new cell state, so that its cotangent is ∂L/∂c_t.
    """

    advance: Callable[[tuple[Array, ...], CellState, Any], tuple[CellState, Any]]
    gates: int  # how many times the units the pre-activations are
    memory: bool = False  # whether there is a cell state
    apart: bool = False


class RecurrenceOutput(NamedTuple):
    """What a recurrence makes: h_t of all steps, the state after the last, what the cell told at each step."""

    h: Array
    last: CellState
    told: Any


def recurrence(
    cell: Cell,
    kernel: Array,
    bias: Array | None,
    inputs: Array,
    start: CellState,
    time: Array | None,
    cut: int,
) -> RecurrenceOutput:
    """Runs `cell` over `inputs` = W_x x_t + b of all steps (time, examples, gates·units) from the state `start`.

    `time`: the dummy (2, steps) whose "gradient" becomes log2 of ‖∂L/∂h_t‖ and ‖∂L/∂c_t‖ (NaN where there is no
    c). `cut` = k > 0: no gradient passes from step k·n + 1 to step k·n: truncated back-propagation.
    """

    pre = (inputs[0], inputs[0]) if cell.apart else (inputs[0],)
    # a custom rule must not close over traced numbers, and a cell's activation may
    advance, numbers = jax.closure_convert(cell.advance, pre, start, jnp.zeros_like(start[-1]))
    whole = lambda numbers: cell._replace(advance=lambda *given: advance(*given, *numbers))

    @jax.custom_vjp
    def run(
        kernel: Array, bias: Any, inputs: Array, start: CellState, time: Any, numbers: Any
    ) -> RecurrenceOutput:
        return _forward(whole(numbers), kernel, bias, inputs, start)[0]

    def forward(
        kernel: Array, bias: Any, inputs: Array, start: CellState, time: Any, numbers: Any
    ) -> tuple[RecurrenceOutput, Any]:
        found, kept = _forward(whole(numbers), kernel, bias, inputs, start)
        return found, (kernel, bias, kept, time, numbers)

    def backward(saved: Any, cotangent: RecurrenceOutput) -> Any:
        kernel, bias, kept, time, numbers = saved
        found = _backward(whole(numbers), cut, kernel, bias, kept, time, cotangent)
        return *found, jax.tree.map(jnp.zeros_like, numbers)  # a recipe's numbers are not trained

    run.defvjp(forward, backward)
    return run(kernel, bias, inputs, start, time, numbers)


class _Kept(NamedTuple):
    """Of every step: the state before it, and its pre-activations."""

    before: CellState
    pre: tuple[Array, ...]


def _forward(
    cell: Cell, kernel: Array, bias: Array | None, inputs: Array, start: CellState
) -> tuple[RecurrenceOutput, _Kept]:
    nothing = jnp.zeros_like(start[-1])

    def step(state: CellState, x: Array) -> tuple[CellState, Any]:
        own = state[0] @ kernel if bias is None else state[0] @ kernel + bias
        pre = (x, own) if cell.apart else (x + own,)
        after, told = cell.advance(pre, state, nothing)
        return after, (after[0], told, _Kept(state, pre))

    last, (h, told, kept) = jax.lax.scan(step, start, inputs)
    return RecurrenceOutput(h, last, told), kept


class _Carry(NamedTuple):
    """What runs back in time: the state's cotangents times 2^exponent, yet to be multiplied by 2^move."""

    state: CellState
    exponent: Array
    move: Array


def _backward(
    cell: Cell,
    cut: int,
    kernel: Array,
    bias: Array | None,
    kept: _Kept,
    time: Array | None,
    cotangent: RecurrenceOutput,
) -> Any:
    transposed, zero = kernel.T, jnp.zeros((), jnp.float32)

    def step(carry: _Carry, xs: Any) -> tuple[_Carry, Any]:
        (before, pre), *arriving, index = xs
        state, exponent = _join(carry, *arriving)
        _, pull, _ = jax.vjp(cell.advance, pre, before, jnp.zeros_like(state[-1]), has_aux=True)
        to_pre, (to_h, *to_c), to_cell = pull(state)
        step_norms, move = _measured(state[0], to_cell if cell.memory else None)
        true = tuple(_scaled(part, -exponent) for part in to_pre)
        after = _Carry((to_h + to_pre[-1] @ transposed, *to_c), exponent, move)
        if cut:
            inside = index % cut > 0
            after = jax.tree.map(lambda part: jnp.where(inside, part, jnp.zeros_like(part)), after)
        return after, (true, step_norms - exponent)

    arrives = jnp.max(jnp.abs(cotangent.h), axis=(1, 2)) > 0
    xs = (kept, cotangent.h, arrives, jnp.arange(len(arrives)))
    first, (to_pre, step_norms) = jax.lax.scan(step, _Carry(cotangent.last, zero, zero), xs, reverse=True)
    to_start = tuple(_scaled(part, -first.exponent) for part in first.state)
    rows = to_pre[-1].reshape(
        -1, kernel.shape[1]
    )  # of all steps and examples: one product gives the gradient
    to_kernel = kept.before[0].reshape(len(rows), -1).T @ rows
    to_bias = None if bias is None else rows.sum(0)
    return to_kernel, to_bias, to_pre[0], to_start, None if time is None else step_norms.T


def _join(carry: _Carry, arriving: Array, arrives: Array) -> tuple[CellState, Array]:
    """The cotangents with what arrives at h_t from outside, in one scale: the larger one's."""
    faint = (carry.exponent + carry.move > 0) & arrives
    move = jnp.where(faint, -carry.exponent, carry.move)
    exponent = carry.exponent + move
    h, *others = (_scaled(part, move) for part in carry.state)
    return (h + _scaled(arriving, jnp.minimum(exponent, 0)), *others), exponent


def _measured(h: Array, c: Array | None) -> tuple[Array, Array]:
    """log2 of both norms (NaN for no c), and the power of two that brings them back near 1 where they have left."""
    parts = [h] if c is None else [h, c]
    squares = jnp.stack([norms.square_sum(part) for part in parts])
    inside = norms.safe(squares).all() & in_tap_range(squares.sum())

    def scaled() -> tuple[Array, Array]:
        logs = jnp.stack([norms.scaled_log2_norm(part) for part in parts])
        return logs.astype(jnp.float32), rescaling(norms.log2_hypot(logs)).astype(jnp.float32)

    plain = lambda: (0.5 * jnp.log2(squares).astype(jnp.float32), jnp.zeros((), jnp.float32))
    logs, move = jax.lax.cond(inside, plain, scaled)
    return logs if c is not None else jnp.append(logs, jnp.nan), move


def _scaled(x: Array, k: Array) -> Array:
    """x·2^k in two factors: enough to bring anything near 1, or from there to where it ends."""
    limit = jnp.finfo(x.dtype).maxexp - 2
    first = jnp.clip(k, -limit, limit)
    second = jnp.clip(k - first, -limit, limit)
    wide = norms.compute_dtype(x)
    return x * norms.power(first, wide).astype(x.dtype) * norms.power(second, wide).astype(x.dtype)
