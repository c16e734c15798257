"""The tap: an identity between blocks that measures the backward signal inside the ordinary backward pass.

The measures leave as the "gradient" of a dummy argument. Where the cotangent's squared norm leaves 1e±20 the
tap divides it by a power of two and adds the exponent to the cotangent of the scalar `s`, which runs along the
chain; the block's parameter gradient is unscaled on the spot. Powers of two are exact, so the training gradient
is plain back-propagation's, bit for bit, wherever that neither under- nor overflows on its way, and the measured
norms stay right far outside float32's range.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from gradlab.numerics import norms

RANGE_LOG10 = 20  # a cotangent is left as it is while |log10 of its squared norm| is below this


class TapRecord(NamedTuple):
    """What one tap saw, as log2 of true norms; its zeros are the dummy argument.

    signal: the cotangent of h; exponent: the power of two that scales it from here back;
    incoming_exponent: the exponent before this tap, which scaled the block's parameter gradient;
    params: the parameter gradients' norms, one a leaf in tree order, filled only where `incoming_exponent` is not 0.
    """

    signal: Array
    exponent: Array
    incoming_exponent: Array
    params: Array


def zeros_record(leaves: int, count: int | None = None) -> TapRecord:
    """The dummy argument of a tap over `leaves` parameter arrays (of `count` equal blocks)."""
    stacked_axes = () if count is None else (count,)
    zero = jnp.zeros(stacked_axes, jnp.float32)
    return TapRecord(zero, zero, zero, jnp.zeros((*stacked_axes, leaves), jnp.float32))


def in_tap_range(squares: Array) -> Array:
    """Whether a cotangent of this squared norm is left as it is; False for NaN."""
    return (squares > 10.0**-RANGE_LOG10) & (squares < 10.0**RANGE_LOG10)


def rescaling(log2_norm: Array) -> Array:
    """The whole k for which 2^k brings a cotangent of this norm near 1; 0 within the range and where not finite."""
    outside = (jnp.abs(2 * log2_norm * norms.LOG10_2) >= RANGE_LOG10) & jnp.isfinite(log2_norm)
    return jnp.where(outside, -jnp.round(log2_norm), 0.0)


@jax.custom_vjp
def tap(h: Any, s: Array, params: Any, record: TapRecord) -> tuple[Any, Array, Any]:
    """The identity on the state `h` (any pytree), the scalar `s` and the parameters of the block that follows."""
    return h, s, params


def _forward(h: Any, s: Array, params: Any, record: TapRecord) -> tuple[Any, None]:
    return (h, s, params), None


def _backward(_: None, cotangents: tuple[Any, Array, Any]) -> tuple[Any, Array, Any, TapRecord]:
    h, arrived, params = cotangents
    leaves = jax.tree.leaves(h)
    squares = sum((norms.square_sum(leaf) for leaf in leaves), jnp.zeros(()))
    fine = (arrived == 0) & in_tap_range(squares)
    if not leaves:  # the first block: the data's own gradient is never taken
        fine = arrived == 0

    def plain() -> tuple[Any, Array, Any, TapRecord]:
        seen = zeros_record(len(jax.tree.leaves(params)))._replace(signal=_f32(0.5 * jnp.log2(squares)))
        return h, arrived, params, seen

    return jax.lax.cond(fine, plain, lambda: _rescale(h, arrived, params))


def _rescale(h: Any, arrived: Array, params: Any) -> tuple[Any, Array, Any, TapRecord]:
    """Measure by the largest entry, unscale the parameters' gradient, bring the cotangent back near 1."""
    shift = arrived.astype(jnp.float32)
    leaf_norms = [norms.scaled_log2_norm(leaf) for leaf in jax.tree.leaves(h)]
    norm = norms.log2_hypot(jnp.stack(leaf_norms)) if leaf_norms else jnp.zeros(())
    move = rescaling(norm).astype(arrived.dtype)
    per_leaf = [_f32(norms.scaled_log2_norm(leaf)) - shift for leaf in jax.tree.leaves(params)]
    seen = TapRecord(
        _f32(norm) - shift,
        _f32(arrived + move),
        shift,
        jnp.stack(per_leaf) if per_leaf else jnp.zeros(0, jnp.float32),
    )
    moved = jax.tree.map(lambda leaf: norms.scale(leaf, move), h)
    true = jax.tree.map(lambda leaf: norms.scale(leaf, -arrived), params)
    return moved, arrived + move, true, seen


def _f32(x: Array) -> Array:
    return x.astype(jnp.float32)


tap.defvjp(_forward, _backward)


@jax.custom_vjp
def inner_tap(z: Array, record: Array) -> Array:
    """The identity inside a block; measures log2 of the cotangent's norm, in the block's own scaling."""
    return z


def _inner_backward(_: None, z: Array) -> tuple[Array, Array]:
    # No cond, no dot: it would hold z in memory, break XLA's fusion around it, and so change training's last
    # bits through a norm. Times 2**20, exactly: right for norms of 1e-25 … 1e13, and h's is within 1e±10.
    wide = z.astype(norms.compute_dtype(z)) * 2.0**20
    columns = jax.lax.optimization_barrier(jnp.sum(wide * wide, axis=0))  # columns first: XLA vectorizes it
    return z, _f32(0.5 * jnp.log2(jnp.sum(columns)) - 20)


inner_tap.defvjp(lambda z, record: (z, None), _inner_backward)
