"""Norms and scalings that stay true where float32 does not: norms as base-2 logarithms, factors as powers of two.

In float32 `sqrt(sum(x**2))` is 0 for entries below 1e-19 and inf above 1e18. Here a sum of squares that leaves
the safe range is taken again after division by a power of two, which is exact.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

LOG10_2 = 0.30102999566398120
# sums of squares within these are free of under- and overflow, entry by entry
SAFE_LOW, SAFE_HIGH = 1e-24, 1e24


class ScaledNorm(NamedTuple):
    """A norm as mantissa·2**exponent; the exponent is 0 where float32 can hold its square."""

    mantissa: Array
    exponent: Array

    def log2(self) -> Array:
        """log2 of the norm."""
        return jnp.log2(self.mantissa) + self.exponent


class Norms(NamedTuple):
    """log2 of the norms of a tree's leaves (leading axes kept), and the norm of the whole tree."""

    leaves: dict[str, Array]
    global_norm: ScaledNorm


def compute_dtype(x: Array) -> jnp.dtype:
    """What a measure of `x` is computed in: float32, or float64 where x is."""
    return jnp.promote_types(x.dtype, jnp.float32)


def power(k: Array, dtype: jnp.dtype) -> Array:
    """2**k exactly, for whole k within the dtype's normal range (`exp2` is inexact on CPU)."""
    return jnp.ldexp(jnp.ones((), dtype), k.astype(jnp.int32))


def scale(x: Array, k: Array) -> Array:
    """x·2**k, exact unless the result leaves the dtype: in three factors, so that |k| may pass the range."""
    limit = jnp.finfo(x.dtype).maxexp - 2  # normal powers only: XLA on CPU flushes the others to 0
    for _ in range(3):  # from the largest number to the smallest it takes more than two
        part = jnp.clip(k, -limit, limit)
        x, k = x * power(part, compute_dtype(x)).astype(x.dtype), k - part
    return x


def square_sum(x: Array, stacked_axes: int = 0) -> Array:
    """Sum of squares over all but the first `lead` axes, in float32 or wider."""
    x = x.astype(compute_dtype(x))
    return jnp.sum(x * x, axis=tuple(range(stacked_axes, x.ndim)))


def safe(squares: Array) -> Array:
    """Whether these sums of squares can be trusted as they are."""
    return (squares > SAFE_LOW) & (squares < SAFE_HIGH)  # False for NaN


def exponent(x: Array, stacked_axes: int = 0) -> Array:
    """A whole k with 2**k near the largest |entry|; 0 where that is zero, infinite or NaN."""
    largest = jnp.max(jnp.abs(x), axis=tuple(range(stacked_axes, x.ndim)), keepdims=True)
    usable = (largest > 0) & jnp.isfinite(largest)
    return jnp.where(usable, jnp.frexp(jnp.where(usable, largest, 1.0))[1], 0).astype(compute_dtype(x))


def log2_norm(x: Array) -> Array:
    """log2 of the Euclidean norm: −inf for a true zero, inf and NaN where the entries hold them.

    One pass where the sum of squares is safe; relative error of the norm below 1e-5 everywhere.
    """
    squares = square_sum(x)
    return jax.lax.cond(safe(squares), lambda: 0.5 * jnp.log2(squares), lambda: scaled_log2_norm(x))


def scaled_log2_norm(x: Array, stacked_axes: int = 0) -> Array:
    """The same over all but the first `lead` axes, always scaled by the largest entry."""
    x = x.astype(compute_dtype(x))
    shift = exponent(x, stacked_axes)
    squares = square_sum(scale(x, -shift), stacked_axes)
    return 0.5 * jnp.log2(squares) + shift.reshape(squares.shape)


def log2_norms(tree: dict[str, Array], stacked_axes: dict[str, int]) -> Norms:
    """Norms of every leaf and of the whole; each leaf keeps its first `lead` axes (a stack's layers).

    One pass where all sums of squares are safe; else each leaf is scaled first.
    """
    squares = {key: square_sum(x, stacked_axes[key]) for key, x in tree.items()}
    fine = jnp.stack([jnp.all(safe(value)) for value in squares.values()]).all()

    def fast() -> Norms:
        whole = sum(jnp.sum(value) for value in squares.values())
        leaves = {key: 0.5 * jnp.log2(value) for key, value in squares.items()}
        return Norms(leaves, ScaledNorm(jnp.sqrt(whole), jnp.zeros_like(whole)))

    def scaled() -> Norms:
        tops = jnp.stack([jnp.max(jnp.abs(x)) for x in tree.values()])  # zeros do not count
        shift = exponent(tops).reshape(())
        whole = sum(square_sum(scale(x, -shift)) for x in tree.values())
        leaves = {key: scaled_log2_norm(x, stacked_axes[key]) for key, x in tree.items()}
        return Norms(leaves, ScaledNorm(jnp.sqrt(whole), shift))

    return jax.lax.cond(fine, fast, scaled)


def log2_hypot(logs: Array) -> Array:
    """log2 of the root of the summed squares of numbers given by their log2."""
    top = jnp.max(logs)
    shift = jnp.where(jnp.isfinite(top), top, 0.0)
    return shift + 0.5 * jnp.log2(jnp.sum(jnp.exp2(2 * (logs - shift))))


def total(x: Array) -> Array:
    """The sum of all entries, as a product with ones: XLA's plain sum is several times slower on CPU."""
    return jnp.dot(x.reshape(-1), jnp.ones(x.size, x.dtype))


def count(test: Callable[..., Array], arrays: tuple[Array, ...], stacked_axes: int) -> Array:
    """How many entries pass `test`, over all but the first `lead` axes.

    On CPU layer by layer, columns first: that reads each layer from the cache, twice as fast.
    """

    def whole() -> Array:
        return jnp.sum(test(*arrays), axis=tuple(range(stacked_axes, arrays[0].ndim)), dtype=jnp.int32)

    def layer(own: tuple[Array, ...]) -> Array:
        columns = jnp.sum(test(*own).astype(jnp.float32), axis=0)
        return jnp.sum(jax.lax.optimization_barrier(columns)).astype(jnp.int32)

    if stacked_axes == 0 or arrays[0].ndim < 3:
        return whole()
    return jax.lax.platform_dependent(cpu=lambda: jax.lax.map(layer, arrays), default=whole)


def counts(
    tree: dict[str, Array], norms: dict[str, Array], stacked_axes: dict[str, int]
) -> dict[str, dict[str, Array]]:
    """How many entries of each leaf (leading axes kept) are zero, infinite, NaN.

    The last two are looked for only where a norm is not finite, which tells that there are any.
    """

    def each(test: Callable[[Array], Array]) -> dict[str, Array]:
        return {key: count(test, (x,), stacked_axes[key]) for key, x in tree.items()}

    finite = jnp.stack([jnp.all(value < jnp.inf) for value in norms.values()]).all()  # -inf is a true zero
    nothing = {key: jnp.zeros(value.shape, jnp.int32) for key, value in norms.items()}
    infs, nans = jax.lax.cond(finite, lambda: (nothing, nothing), lambda: (each(jnp.isinf), each(jnp.isnan)))
    return {"zeros": each(lambda x: x == 0), "infs": infs, "nans": nans}
