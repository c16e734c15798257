"""Layer-sequential unit variance: each kernel is divided by the standard deviation that it gives a batch."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from gradlab.numerics.tree import Tree
from gradlab.parts.initializers.contract import Initializer, Run, initializer
from gradlab.parts.initializers.kernels import orthogonal
from gradlab.recipe.bounds import Positive, Size


@initializer
def lsuv(tolerance: Positive, iterations: Size) -> Initializer:
    """Orthogonal, then W divided by the deviation of W h until |Var W h − 1| < tolerance (Mishkin & Matas 2016).

    At most `iterations` times per layer, the output included, on the first batch of the training set. More than one is
    needed only with a bias or a normalization of the kernel.
    """
    fit = partial(_fit, tolerance, iterations)
    return orthogonal(1.0)._replace(adjust=lambda walk: walk(fit))


def _fit(tolerance: Array | float, iterations: int, run: Run, params: Tree, h: Any) -> tuple[Any, Tree]:
    """The output of one block for the input h, (examples, …), and its fitted parameters."""

    def deviations(params: Tree) -> Tree:
        by_path: Tree = {}

        def divide(path: str, z: Array) -> Array:
            deviation = jnp.std(z.astype(jnp.promote_types(z.dtype, jnp.float32)))
            by_path[path] = jnp.where(deviation > 0, deviation, 1.0)  # a layer of zeros stays zero
            return z / by_path[path].astype(z.dtype)  # the input of the next layers after the division

        run(params, h, divide)
        return by_path

    def unfinished(carry: tuple[Tree, Tree, Array]) -> Array:
        off = jnp.stack([jnp.abs(deviation**2 - 1) for deviation in carry[1].values()]).max()
        return (off >= tolerance) & (carry[2] < iterations)

    def divided(carry: tuple[Tree, Tree, Array]) -> tuple[Tree, Tree, Array]:
        params, by_path, count = carry
        changed = {
            path: (params[path] / deviation).astype(params[path].dtype) for path, deviation in by_path.items()
        }
        params = params | changed
        return params, deviations(params), count + 1

    if first := deviations(params):  # some blocks have no weights
        params, _, _ = jax.lax.while_loop(unfinished, divided, (params, first, jnp.int32(0)))
    return run(params, h, lambda path, z: z), params
