"""Layer-sequential unit variance: kernels divided, layer after layer, by what a batch shows of them."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from gradlab.numerics.tree import Tree
from gradlab.parts.initializers.kernels import Initializer, Run, initializer, orthogonal
from gradlab.recipe.bounds import Positive, Size


@initializer
def lsuv(tolerance: Positive, iterations: Size) -> Initializer:
    """Orthogonal, then each W divided by the deviation of its W h until |Var − 1| < tolerance (Mishkin & Matas 2016).

    At most `iterations` times per layer, the output's too, on the first batch of the training set. A bias or a
    normalization of the kernel is what may take it more than once.
    """
    fit = partial(_fit, tolerance, iterations)
    return orthogonal(1.0)._replace(adjust=lambda walk: walk(fit))


def _fit(tolerance: Array | float, iterations: int, run: Run, params: Tree, h: Any) -> tuple[Any, Tree]:
    """One block on the output of those before it: its own output, and its fitted parameters."""

    def deviations(params: Tree) -> Tree:
        found: Tree = {}

        def divide(path: str, z: Array) -> Array:
            deviation = jnp.std(z.astype(jnp.promote_types(z.dtype, jnp.float32)))
            found[path] = jnp.where(deviation > 0, deviation, 1.0)  # a layer of zeros stays one
            return z / found[path].astype(z.dtype)  # as the layers behind it will see it

        run(params, h, divide)
        return found

    def unfinished(carry: tuple[Tree, Tree, Array]) -> Array:
        off = jnp.stack([jnp.abs(deviation**2 - 1) for deviation in carry[1].values()]).max()
        return (off >= tolerance) & (carry[2] < iterations)

    def divided(carry: tuple[Tree, Tree, Array]) -> tuple[Tree, Tree, Array]:
        params, found, count = carry
        changed = {
            path: (params[path] / deviation).astype(params[path].dtype) for path, deviation in found.items()
        }
        params = params | changed
        return params, deviations(params), count + 1

    if first := deviations(params):  # some blocks have no weights
        params, _, _ = jax.lax.while_loop(unfinished, divided, (params, first, jnp.int32(0)))
    return run(params, h, lambda path, z: z), params
