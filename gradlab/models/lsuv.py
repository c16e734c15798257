"""Layer-sequential unit variance: kernels divided, layer after layer, by what a batch shows of them."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from gradlab.bounds import Positive, Size
from gradlab.models.chain import Block, Tree, Visit, of_block
from gradlab.parts.initializers import Initializer, initializer, orthogonal


@initializer
def lsuv(tolerance: Positive, iterations: Size) -> Initializer:
    """Orthogonal, then each W divided by the deviation of its W h until |Var − 1| < tolerance (Mishkin & Matas 2016).

    At most `iterations` times a layer, the output's too, on the first batch of the training part. A bias or a
    normalization of the kernel is what may take it more than once.
    """

    def adjust(chain: list[Block], params: Tree, stats: Tree, x: Array) -> Tree:
        found: Tree = {}
        h = x
        for index, block in enumerate(chain):
            own = (of_block(params, block), of_block(stats, block))
            step = _step(block, tolerance, iterations)
            key = jax.random.fold_in(jax.random.key(0), index)  # of dropout, if any
            if block.count is None:
                h, fitted = step(h, (*own, key, 1))
            else:
                layers = jnp.arange(1, block.count + 1)
                h, fitted = jax.lax.scan(step, h, (*own, jax.random.split(key, block.count), layers))
            found |= {f"{block.name}/{path}": value for path, value in fitted.items()}
        return found

    return orthogonal(1.0)._replace(adjust=adjust)


def _step(block: Block, tolerance: Array | float, iterations: int) -> Any:
    """One block on the output of those before it: its own output, and its fitted parameters."""

    def step(h: Any, xs: tuple[Tree, Tree, Array, Any]) -> tuple[Any, Tree]:
        params, stats, key, layer = xs

        def deviations(params: Tree) -> Tree:
            found: Tree = {}

            def look(path: str, z: Array) -> Array:
                deviation = jnp.std(z.astype(jnp.promote_types(z.dtype, jnp.float32)))
                found[path] = jnp.where(deviation > 0, deviation, 1.0)  # a layer of zeros stays one
                return z / found[path].astype(z.dtype)  # as the layers behind it will see it

            block.apply(params, h, Visit(key, stats, True, lambda z: z, layer, look))
            return found

        def wrong(carry: tuple[Tree, Tree, Array]) -> Array:
            off = jnp.stack([jnp.abs(one**2 - 1) for one in carry[1].values()]).max()
            return (off >= tolerance) & (carry[2] < iterations)

        def divide(carry: tuple[Tree, Tree, Array]) -> tuple[Tree, Tree, Array]:
            params, found, count = carry
            changed = {path: (params[path] / one).astype(params[path].dtype) for path, one in found.items()}
            params = params | changed
            return params, deviations(params), count + 1

        if first := deviations(params):  # some blocks have no weights
            params, _, _ = jax.lax.while_loop(wrong, divide, (params, first, jnp.int32(0)))
        return block.apply(params, h, Visit(key, stats, True, lambda z: z, layer))[0], params

    return step
