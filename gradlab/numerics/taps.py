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

SCOPE = (
    "probe="  # before a probe's name in the names of its operations, by which a profile tells what it takes
)
RANGE_LOG10 = 20  # a cotangent is left as it is while |log10 of its squared norm| is below this


class TapRecord(NamedTuple):
    """What one tap measures, as log2 of true norms; zeros of the same shapes are its dummy argument.

    signal: the norm of the cotangent of h, () or (layers,) for a stack.
    exponent: of the power of two that scales the cotangent from this tap back; like signal.
    incoming_exponent: the exponent before this tap, by which the block's parameter gradient was scaled; like signal.
    params: the parameter gradients' norms, (leaves,) or (layers, leaves) in tree order; filled only where
    `incoming_exponent` is not 0.
    """

    signal: Array
    exponent: Array
    incoming_exponent: Array
    params: Array


def zeros_record(leaves: int, count: int | None = None) -> TapRecord:
    """The dummy argument of a tap over `leaves` parameter arrays (of `count` equal blocks)."""
    stack_shape = () if count is None else (count,)
    zero = jnp.zeros(stack_shape, jnp.float32)
    return TapRecord(zero, zero, zero, jnp.zeros((*stack_shape, leaves), jnp.float32))


def in_tap_range(squared_norm: Array) -> Array:
    """Whether a cotangent of this squared norm, a scalar, is left as it is; False for NaN."""
    return (squared_norm > 10.0**-RANGE_LOG10) & (squared_norm < 10.0**RANGE_LOG10)


def rescaling(log2_norm: Array) -> Array:
    """The integer k, a scalar, for which 2**k brings a cotangent of this norm near 1.

    0 within the range, and where the norm is not finite.
    """
    outside = (jnp.abs(2 * log2_norm * norms.LOG10_2) >= RANGE_LOG10) & jnp.isfinite(log2_norm)
    return jnp.where(outside, -jnp.round(log2_norm), 0.0)


@jax.custom_vjp
def tap(h: Any, s: Array, params: Any, record: TapRecord) -> tuple[Any, Array, Any]:
    """The identity on the state `h` (any pytree), the scalar `s` and the parameters of the block that follows.

    The "gradient" of `record`, a dummy of zeros, is what the tap measures.
    """
    return h, s, params


def _forward(h: Any, s: Array, params: Any, record: TapRecord) -> tuple[Any, None]:
    return (h, s, params), None


@jax.named_scope(f"{SCOPE}backward")
def _backward(_: None, cotangents: tuple[Any, Array, Any]) -> tuple[Any, Array, Any, TapRecord]:
    h, incoming_exponent, params = cotangents
    leaves = jax.tree.leaves(h)
    squares = sum((norms.square_sum(leaf) for leaf in leaves), jnp.zeros(()))
    plain_is_right = (incoming_exponent == 0) & in_tap_range(squares)
    if not leaves:  # the first block: nobody takes the gradient of the data
        plain_is_right = incoming_exponent == 0

    def plain() -> tuple[Any, Array, Any, TapRecord]:
        zeros = zeros_record(len(jax.tree.leaves(params)))
        return h, incoming_exponent, params, zeros._replace(signal=_float32(0.5 * jnp.log2(squares)))

    result: tuple[Any, Array, Any, TapRecord] = jax.lax.cond(
        plain_is_right, plain, lambda: _rescale(h, incoming_exponent, params)
    )
    return result


def _rescale(h: Any, incoming_exponent: Array, params: Any) -> tuple[Any, Array, Any, TapRecord]:
    """Measure by the largest entry, unscale the parameters' gradient, bring the cotangent back near 1."""
    incoming = incoming_exponent.astype(jnp.float32)
    leaf_norms = [norms.scaled_log2_norm(leaf) for leaf in jax.tree.leaves(h)]
    norm = norms.log2_hypot(jnp.stack(leaf_norms)) if leaf_norms else jnp.zeros(())
    shift = rescaling(norm).astype(incoming_exponent.dtype)
    param_norms = [_float32(norms.scaled_log2_norm(leaf)) - incoming for leaf in jax.tree.leaves(params)]
    record = TapRecord(
        signal=_float32(norm) - incoming,
        exponent=_float32(incoming_exponent + shift),
        incoming_exponent=incoming,
        params=jnp.stack(param_norms) if param_norms else jnp.zeros(0, jnp.float32),
    )
    rescaled_h = jax.tree.map(lambda leaf: norms.scale(leaf, shift), h)
    true_params = jax.tree.map(lambda leaf: norms.scale(leaf, -incoming_exponent), params)
    return rescaled_h, incoming_exponent + shift, true_params, record


def _float32(x: Array) -> Array:
    return x.astype(jnp.float32)


tap.defvjp(_forward, _backward)


@jax.custom_vjp
def inner_tap(z: Array, record: Array) -> Array:
    """The identity on z (examples, …) inside a block.

    The "gradient" of `record`, a dummy (), is log2 of the norm of z's cotangent, in the scaling that the cotangents
    inside the block have.
    """
    return z


@jax.named_scope(f"{SCOPE}preactivation")
def _inner_backward(_: None, z: Array) -> tuple[Array, Array]:
    # No cond, no dot: it would hold z in memory, break XLA's fusion around it, and so change training's last
    # bits through a norm. Times 2**20, exactly: right for norms of 1e-25 … 1e13, and h's is within 1e±10.
    scaled = z.astype(norms.compute_dtype(z)) * 2.0**20
    columns = norms.barrier(jnp.sum(scaled * scaled, axis=0))  # columns first: XLA vectorizes it
    return z, _float32(0.5 * jnp.log2(jnp.sum(columns)) - 20)


inner_tap.defvjp(lambda z, record: (z, None), _inner_backward)
