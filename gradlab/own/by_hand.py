"""`gradlab.tap` and `gradlab.norms`: for those who place the measurements by hand."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from gradlab.nn.modules import by_path
from gradlab.numerics import norms as numerics
from gradlab.numerics.tree import Tree


@jax.custom_vjp
def tap(h: Any, dummy: Array) -> Any:
    """The identity on `h`, any pytree of arrays; the "gradient" of `dummy`, a zero (), is log10 ‖∂loss/∂h‖.

    The gradient of everything else is unchanged. The norm is right wherever the entries of ∂loss/∂h are within
    float32's range (beyond it, `gradlab.measure` is). Of a mean over B examples √B·‖∂loss/∂h‖ does not depend on B.

    >>> import jax, jax.numpy as jnp, gradlab
    >>> def loss(weights, dummies, h):
    ...     for w, dummy in zip(weights, dummies):
    ...         h = gradlab.tap(jnp.tanh(h @ w), dummy)
    ...     return jnp.mean(h**2)
    >>> weights = [jnp.eye(4)] * 3
    >>> grads, log10_backward = jax.grad(loss, (0, 1))(weights, jnp.zeros(3), jnp.ones((2, 4)))
    >>> log10_backward.shape
    (3,)
    """
    return h


def _forward(h: Any, dummy: Array) -> tuple[Any, Array]:
    return h, dummy


def _backward(dummy: Array, cotangent: Any) -> tuple[Any, Array]:
    leaves = jnp.stack([numerics.log2_norm(leaf).astype(jnp.float32) for leaf in jax.tree.leaves(cotangent)])
    return cotangent, (numerics.LOG10_2 * numerics.log2_hypot(leaves)).astype(dummy.dtype)


tap.defvjp(_forward, _backward)


def norms(tree: Any) -> Tree:
    """log10 of the Euclidean norm of every array of a pytree, by path; −inf is a true zero.

    Right where `jnp.linalg.norm` in float32 is 0 (below 1e-19) or inf (above 1e18). It may be used inside `jax.jit`.

    >>> import jax.numpy as jnp, gradlab
    >>> {path: round(float(value), 3) for path, value in gradlab.norms({"w": jnp.full(100, 1e-30)}).items()}
    {'w': -29.0}
    """
    return {path: numerics.LOG10_2 * numerics.scaled_log2_norm(leaf) for path, leaf in by_path(tree).items()}
