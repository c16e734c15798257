"""Lengths as fraction·2^exponent, fraction in [½, 1): compared, multiplied and scaled to at any size.

A zero has the exponent 0, what is not finite too; each stays what it is through every operation here.
"""

import jax
import jax.numpy as jnp
from jax import Array

from gradlab.numerics import norms
from gradlab.numerics.norms import ScaledNorm


def normal(length: ScaledNorm) -> ScaledNorm:
    """The same with its fraction in [½, 1)."""
    fraction, shift = jnp.frexp(length.mantissa)
    return ScaledNorm(fraction, length.exponent + shift.astype(fraction.dtype))


def of(number: Array | float, like: ScaledNorm) -> ScaledNorm:
    """A plain number as a length."""
    fraction = jnp.asarray(number, like.mantissa.dtype)
    return normal(ScaledNorm(fraction, jnp.zeros_like(fraction)))


def over(x: Array, axes: tuple[int, ...]) -> ScaledNorm:
    """The Euclidean length over these axes, which stay with size 1; one pass where no sum of squares needs scaling."""
    x = x.astype(norms.compute_dtype(x))
    squares = jnp.sum(x * x, axis=axes, keepdims=True)

    def scaled() -> ScaledNorm:
        top = jnp.max(jnp.abs(x), axis=axes, keepdims=True)
        usable = (top > 0) & jnp.isfinite(top)
        shift = jnp.where(usable, jnp.frexp(jnp.where(usable, top, 1.0))[1], 0).astype(x.dtype)
        unit = norms.scale(x, -shift)
        return ScaledNorm(jnp.sqrt(jnp.sum(unit * unit, axis=axes, keepdims=True)), shift)

    plain = lambda: ScaledNorm(jnp.sqrt(squares), jnp.zeros_like(squares))
    return normal(jax.lax.cond(jnp.all(norms.safe(squares)), plain, scaled))


def together(parts: list[ScaledNorm]) -> ScaledNorm:
    """√(Σ length²), entry by entry: the length of what the parts are parts of."""
    top = jnp.stack([jnp.where(part.mantissa == 0, -jnp.inf, part.exponent) for part in parts]).max(0)
    top = jnp.where(jnp.isfinite(top), top, 0.0)
    squares = sum(norms.scale(part.mantissa, part.exponent - top) ** 2 for part in parts)
    return normal(ScaledNorm(jnp.sqrt(jnp.asarray(squares)), top))


def times(one: ScaledNorm, two: ScaledNorm) -> ScaledNorm:
    """The product."""
    return normal(ScaledNorm(one.mantissa * two.mantissa, one.exponent + two.exponent))


def above(one: ScaledNorm, two: ScaledNorm) -> Array:
    """Whether one is finite and longer than two."""
    other = norms.scale(two.mantissa, two.exponent - one.exponent)
    return (one.mantissa > other) & jnp.isfinite(one.mantissa)


def longer(one: ScaledNorm, two: ScaledNorm) -> ScaledNorm:
    """The longer of both."""
    first = above(one, two)
    return ScaledNorm(*(jnp.where(first, a, b) for a, b in zip(one, two, strict=True)))


def bring(x: Array, length: ScaledNorm, limit: ScaledNorm, acts: Array) -> Array:
    """x·limit/length where `acts`, elsewhere x to the bit.

    In two factors whose powers of two are exact: nothing is lost on the way, and a quotient below float32's
    smallest number is none.
    """

    def factors() -> tuple[Array, Array]:
        shift = limit.exponent - length.exponent
        half = jnp.trunc(shift / 2)
        first = norms.scale(limit.mantissa / length.mantissa, half)
        second = norms.scale(jnp.ones_like(first), shift - half)
        return jnp.where(acts, first, -1.0).astype(x.dtype), second.astype(x.dtype)

    blank = jnp.full(acts.shape, -1, x.dtype)
    # worked out once a group: without the condition XLA would do it again for every entry
    first, second = jax.lax.cond(jnp.any(acts), factors, lambda: (blank, blank))
    return jnp.where(first < 0, x, x * first * second)
