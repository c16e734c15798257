"""Products of curvature matrices with vectors, and extreme eigenvalues by Lanczos; matrices are never formed."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from matfree import decomp, stochtrace

Product = Callable[[Array], Array]  # a symmetric matrix: (n,) -> (n,)
Function = Callable[[Array], Array]


class Extremes(NamedTuple):
    """The largest and smallest eigenvalue as Lanczos gives them, () each, and the basis, (iterations, n).

    error: the norm of (A − λI)x for the Ritz vector x of `largest`: some eigenvalue lies within it. diagonal: the trace
    of the matrix within the basis.
    """

    largest: Array
    smallest: Array
    error: Array
    basis: Array
    diagonal: Array


def hessian_product(loss: Function, at: Array) -> Product:
    """v -> H v of a scalar function of (n,) at a point: forward over reverse, or where that cannot be, reverse twice.

    A `custom_vjp`, as of gradlab's convolution and recurrence, has no forward mode.
    """
    gradient = jax.grad(loss)
    forward: Product = lambda v: jax.jvp(gradient, (at,), (v,))[1]
    reverse: Product = lambda v: jax.grad(lambda w: jnp.vdot(gradient(w), v))(at)
    return forward if _can_be_traced(forward, at) else reverse


def gauss_newton_product(outputs: Function, loss: Function, at: Array) -> Product:
    """v -> Jᵀ·H_L·J·v, J the Jacobian of the outputs at a point (n,), H_L the Hessian of the loss in the outputs."""
    y, pull_back = jax.vjp(outputs, at)
    loss_gradient = jax.grad(loss)

    def product(v: Array) -> Array:
        moved = directional_derivative(outputs, at, v)
        curved = jax.jvp(loss_gradient, (y,), (moved,))[1]
        (result,) = pull_back(curved)
        return result  # type: ignore[no-any-return]

    return product


def directional_derivative(function: Callable[[Any], Any], at: Any, v: Any) -> Any:
    """J v of a function at a point: in forward mode, or where that cannot be, by the transpose of its reverse mode.

    All are arrays or trees of them.
    """
    forward: Callable[[Any], Any] = lambda v: jax.jvp(function, (at,), (v,))[1]
    if _can_be_traced(forward, v):
        return forward(v)
    y, pull_back = jax.vjp(function, at)
    _, back = jax.vjp(lambda u: pull_back(u)[0], jax.tree.map(jnp.zeros_like, y))
    (result,) = back(v)
    return result


def extremes(product: Product, start: Array, iterations: int) -> Extremes:
    """The extreme eigenvalues of a symmetric matrix by Lanczos with full re-orthogonalization.

    start: (n,), any vector that is not orthogonal to their eigenvectors; iterations: products, at most n.
    """
    count = min(iterations, start.size)
    decomposed = decomp.tridiag_sym(count, reortho="full", custom_vjp=False)(product, start)
    values, vectors = jnp.linalg.eigh(decomposed.J_small)
    remainder = jnp.linalg.norm(decomposed.residual)
    return Extremes(
        largest=values[-1],
        smallest=values[0],
        error=remainder * jnp.abs(vectors[-1, -1]),
        basis=decomposed.Q_tall,
        diagonal=jnp.trace(decomposed.J_small),
    )


def trace(product: Product, found: Extremes, key: Array, samples: int) -> tuple[Array, Array]:
    """An unbiased estimate of the trace, (), and its standard error: exact within the basis, Hutchinson's outside it.

    The part outside is the mean over random signs z of (Pz)ᵀ A (Pz), P the projection orthogonal to the basis; the
    basis holds the large eigenvalues, so that little variance is left (Hutch++, Meyer et al. 2021).
    """
    basis = found.basis
    outside: Product = lambda v: v - (basis @ v) @ basis
    projected: Product = lambda v: outside(product(outside(v)))
    sampler = stochtrace.sampler_signs(basis[0], num=samples)
    estimator = stochtrace.estimator_monte_carlo_mean_and_sem(stochtrace.monte_carlo_trace(), sampler)
    mean, error = estimator(projected, key)
    return found.diagonal + mean, error


def _can_be_traced(function: Callable[[Any], Any], argument: Any) -> bool:
    try:
        jax.eval_shape(function, argument)
    except TypeError:  # JAX: can't apply forward-mode differentiation (jvp) to a custom_vjp function
        return False
    return True
