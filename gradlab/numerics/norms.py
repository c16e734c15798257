"""Norms and scalings that stay right where float32 does not: norms as base-2 logarithms, factors as powers of two.

In float32 `sqrt(sum(x**2))` is 0 for entries below 1e-19 and inf above 1e18. Here a sum of squares that leaves
the safe range is computed again after division by a power of two, which is exact.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jax import Array

from gradlab.numerics.tree import StackedAxes, Tree

LOG10_2 = 0.30102999566398120
# sums of squares between these have neither under- nor overflowed, entry by entry
SAFE_LOW, SAFE_HIGH = 1e-24, 1e24

T = TypeVar("T")


def barrier(values: T) -> T:
    """`values`, any pytree of arrays, behind a barrier across which XLA neither moves nor fuses operations."""
    result: T = jax.lax.optimization_barrier(values)
    return result


class ScaledNorm(NamedTuple):
    """A norm as mantissa·2**exponent; the exponent is 0 where float32 can hold the norm's square."""

    mantissa: Array
    exponent: Array

    def log2(self) -> Array:
        """log2 of the norm, of the mantissa's shape."""
        return jnp.log2(self.mantissa) + self.exponent


class Norms(NamedTuple):
    """log2 of the norm of each leaf of a tree, (layers,) for a stack and else (), and the norm of the whole tree."""

    leaves: Tree
    global_norm: ScaledNorm


def compute_dtype(x: Array) -> jnp.dtype:
    """The dtype in which measures of `x`, of any shape, are computed: float32, or float64 where x is."""
    return jnp.promote_types(x.dtype, jnp.float32)


def max_exponent(dtype: jnp.dtype) -> int:
    """The largest k for which 2**k and 2**−k are normal numbers of this dtype."""
    finfo: Any = jnp.finfo  # untyped
    return int(finfo(dtype).maxexp) - 2


def power_of_two(k: Array, dtype: jnp.dtype) -> Array:
    """2**k exactly, for integers k within the dtype's normal range (`exp2` is inexact on CPU); the shape of k."""
    return jnp.ldexp(jnp.ones((), dtype), k.astype(jnp.int32))


def scale(x: Array, k: Array) -> Array:
    """x·2**k, exact unless the result leaves the dtype; x and k of any shapes that broadcast.

    In three factors, so that |k| may be larger than the dtype's exponents.
    """
    limit = max_exponent(x.dtype)  # normal powers only: XLA on CPU flushes the others to 0
    for _ in range(3):  # from the largest number to the smallest takes more than two
        factor = jnp.clip(k, -limit, limit)
        x, k = x * power_of_two(factor, compute_dtype(x)).astype(x.dtype), k - factor
    return x


def square_sum(x: Array, stacked_axes: int = 0) -> Array:
    """Sum of squares over all but the first `stacked_axes` axes, in float32 or wider; the shape of those axes."""
    x = x.astype(compute_dtype(x))
    return jnp.sum(x * x, axis=tuple(range(stacked_axes, x.ndim)))


def is_safe(squares: Array) -> Array:
    """Whether each of these sums of squares, of any shape, is right as it is: nothing under- or overflowed."""
    return (squares > SAFE_LOW) & (squares < SAFE_HIGH)  # False for NaN


def largest_exponent(x: Array, stacked_axes: int = 0) -> Array:
    """An integer k with 2**k near the largest |entry|; 0 where that is zero, infinite or NaN.

    The maximum is over all but the first `stacked_axes` axes; reduced axes keep size 1: (n, 3, 4) -> (n, 1, 1).
    """
    largest = jnp.max(jnp.abs(x), axis=tuple(range(stacked_axes, x.ndim)), keepdims=True)
    usable = (largest > 0) & jnp.isfinite(largest)
    return jnp.where(usable, jnp.frexp(jnp.where(usable, largest, 1.0))[1], 0).astype(compute_dtype(x))


def log2_norm(x: Array) -> Array:
    """log2 of the Euclidean norm of x of any shape, (): −inf for a true zero, inf and NaN where the entries hold them.

    One pass where the sum of squares is safe; the relative error of the norm is below 1e-5 everywhere.
    """
    squares = square_sum(x)
    result: Array = jax.lax.cond(
        is_safe(squares), lambda: 0.5 * jnp.log2(squares), lambda: scaled_log2_norm(x)
    )
    return result


def scaled_log2_norm(x: Array, stacked_axes: int = 0) -> Array:
    """log2 of the norm over all but the first `stacked_axes` axes, always scaled by the largest entry first.

    (n, 3, 4) -> (n,) for one stacked axis.
    """
    x = x.astype(compute_dtype(x))
    shift = largest_exponent(x, stacked_axes)
    squares = square_sum(scale(x, -shift), stacked_axes)
    return 0.5 * jnp.log2(squares) + shift.reshape(squares.shape)


def log2_norms(tree: Tree, stacked_axes: StackedAxes) -> Norms:
    """Norms of every leaf and of the whole tree; each leaf keeps its stacked axes, (layers,) for a stack.

    One pass where all sums of squares are safe; else each leaf is scaled first.
    """
    squares = {key: square_sum(x, stacked_axes[key]) for key, x in tree.items()}
    all_safe = jnp.stack([jnp.all(is_safe(value)) for value in squares.values()]).all()

    def fast() -> Norms:
        total_squares = jnp.asarray(sum(jnp.sum(value) for value in squares.values()))
        leaves = {key: 0.5 * jnp.log2(value) for key, value in squares.items()}
        return Norms(leaves, ScaledNorm(jnp.sqrt(total_squares), jnp.zeros_like(total_squares)))

    def scaled() -> Norms:
        largest = jnp.stack([jnp.max(jnp.abs(x)) for x in tree.values()])  # leaves of zeros do not count
        shift = largest_exponent(largest).reshape(())
        total_squares = jnp.asarray(sum(square_sum(scale(x, -shift)) for x in tree.values()))
        leaves = {key: scaled_log2_norm(x, stacked_axes[key]) for key, x in tree.items()}
        return Norms(leaves, ScaledNorm(jnp.sqrt(total_squares), shift))

    result: Norms = jax.lax.cond(all_safe, fast, scaled)
    return result


def log2_hypot(logs: Array) -> Array:
    """log2 of √(Σ n²), (), of the numbers n > 0 given by their log2 (of any shape)."""
    largest = jnp.max(logs)
    shift = jnp.where(jnp.isfinite(largest), largest, 0.0)
    return shift + 0.5 * jnp.log2(jnp.sum(jnp.exp2(2 * (logs - shift))))


def total(x: Array) -> Array:
    """The sum of all entries of x, of any shape, as a scalar.

    It is computed as a product with ones: XLA's plain sum is several times slower on CPU.
    """
    return jnp.dot(x.reshape(-1), jnp.ones(x.size, x.dtype))


def count(test: Callable[..., Array], arrays: tuple[Array, ...], stacked_axes: int) -> Array:
    """How many entries of `arrays` (of one shape) pass `test`, over all but the first `stacked_axes` axes.

    On CPU layer by layer, columns first: each layer is then read from the cache, twice as fast.
    """

    def at_once() -> Array:
        return jnp.sum(test(*arrays), axis=tuple(range(stacked_axes, arrays[0].ndim)), dtype=jnp.int32)

    def in_layer(layer: tuple[Array, ...]) -> Array:
        columns = jnp.sum(test(*layer).astype(jnp.float32), axis=0)
        return jnp.sum(barrier(columns)).astype(jnp.int32)

    if stacked_axes == 0 or arrays[0].ndim < 3:
        return at_once()
    counted: Array = jax.lax.platform_dependent(cpu=lambda: jax.lax.map(in_layer, arrays), default=at_once)
    return counted


def counts(tree: Tree, norms: Tree, stacked_axes: StackedAxes) -> dict[str, Tree]:
    """How many entries of each leaf (stacked axes kept) are zero, infinite, NaN: `zeros`, `infs`, `nans`.

    `norms` are the leaves' log2 norms. Infinities and NaNs are counted only where one of those is not finite,
    which shows that there are any.
    """

    def count_leaves(test: Callable[[Array], Array]) -> Tree:
        return {key: count(test, (x,), stacked_axes[key]) for key, x in tree.items()}

    finite = jnp.stack([jnp.all(value < jnp.inf) for value in norms.values()]).all()  # -inf is a true zero
    none = {key: jnp.zeros(value.shape, jnp.int32) for key, value in norms.items()}
    infs, nans = jax.lax.cond(
        finite, lambda: (none, none), lambda: (count_leaves(jnp.isinf), count_leaves(jnp.isnan))
    )
    return {"zeros": count_leaves(lambda x: x == 0), "infs": infs, "nans": nans}
