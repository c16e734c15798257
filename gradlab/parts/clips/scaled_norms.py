"""Arithmetic of norms held as mantissa·2^exponent, mantissa in [½, 1): compared, multiplied and scaled to at any size.

Zeros and numbers that are not finite have the exponent 0, and each stays what it is through every operation here.
Mantissa and exponent of a norm have the same shape: () for a norm of everything, else one entry per group.
"""

import jax
import jax.numpy as jnp
from jax import Array

from gradlab.numerics import norms
from gradlab.numerics.norms import ScaledNorm


def normalized(norm: ScaledNorm) -> ScaledNorm:
    """The same norm with its mantissa in [½, 1)."""
    mantissa, shift = jnp.frexp(norm.mantissa)
    return ScaledNorm(mantissa, norm.exponent + shift.astype(mantissa.dtype))


def from_number(number: Array | float, like: ScaledNorm) -> ScaledNorm:
    """A plain number as a norm of the dtype of `like`; the shape is the number's."""
    mantissa = jnp.asarray(number, like.mantissa.dtype)
    return normalized(ScaledNorm(mantissa, jnp.zeros_like(mantissa)))


def norm_over(x: Array, axes: tuple[int, ...]) -> ScaledNorm:
    """The Euclidean norm over these axes, which stay with size 1: (n, 3) -> (n, 1) for axes (1,).

    It takes one pass where no sum of squares needs scaling.
    """
    x = x.astype(norms.compute_dtype(x))
    squares = jnp.sum(x * x, axis=axes, keepdims=True)

    def scaled() -> ScaledNorm:
        largest = jnp.max(jnp.abs(x), axis=axes, keepdims=True)
        usable = (largest > 0) & jnp.isfinite(largest)
        shift = jnp.where(usable, jnp.frexp(jnp.where(usable, largest, 1.0))[1], 0).astype(x.dtype)
        near_one = norms.scale(x, -shift)
        return ScaledNorm(jnp.sqrt(jnp.sum(near_one * near_one, axis=axes, keepdims=True)), shift)

    plain = lambda: ScaledNorm(jnp.sqrt(squares), jnp.zeros_like(squares))
    return normalized(jax.lax.cond(jnp.all(norms.is_safe(squares)), plain, scaled))


def hypot(parts: list[ScaledNorm]) -> ScaledNorm:
    """√(Σ norm²), entry by entry: the norm of a group from the norms of its parts, which have one shape."""
    largest = jnp.stack([jnp.where(part.mantissa == 0, -jnp.inf, part.exponent) for part in parts]).max(0)
    largest = jnp.where(jnp.isfinite(largest), largest, 0.0)
    squares = sum(norms.scale(part.mantissa, part.exponent - largest) ** 2 for part in parts)
    return normalized(ScaledNorm(jnp.sqrt(jnp.asarray(squares)), largest))


def product(a: ScaledNorm, b: ScaledNorm) -> ScaledNorm:
    """a·b, of broadcast shapes."""
    return normalized(ScaledNorm(a.mantissa * b.mantissa, a.exponent + b.exponent))


def exceeds(a: ScaledNorm, b: ScaledNorm) -> Array:
    """Whether a is finite and larger than b, elementwise, of their common shape."""
    b_in_units_of_a = norms.scale(b.mantissa, b.exponent - a.exponent)
    return (a.mantissa > b_in_units_of_a) & jnp.isfinite(a.mantissa)


def larger(a: ScaledNorm, b: ScaledNorm) -> ScaledNorm:
    """The larger of both, entry by entry."""
    choose_a = exceeds(a, b)
    return ScaledNorm(*(jnp.where(choose_a, x, y) for x, y in zip(a, b, strict=True)))


def rescale(x: Array, norm: ScaledNorm, limit: ScaledNorm, acts: Array) -> Array:
    """x·limit/norm where `acts`, elsewhere x to the bit; norm, limit and acts are broadcast to the shape of x.

    In two factors whose powers of two are exact: no precision is lost on the way, also where the quotient is
    below float32's smallest number.
    """

    def factors() -> tuple[Array, Array]:
        shift = limit.exponent - norm.exponent
        half = jnp.trunc(shift / 2)
        first = norms.scale(limit.mantissa / norm.mantissa, half)
        second = norms.scale(jnp.ones_like(first), shift - half)
        return jnp.where(acts, first, -1.0).astype(x.dtype), second.astype(x.dtype)

    unused = jnp.full(acts.shape, -1, x.dtype)
    # computed once per group: without the condition XLA would compute the factors again for every entry
    first, second = jax.lax.cond(jnp.any(acts), factors, lambda: (unused, unused))
    return jnp.where(first < 0, x, x * first * second)
