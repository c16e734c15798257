"""How far back does a recurrent layer's last state depend on its earlier ones? ‖∂h_T/∂h_t‖, exact, for any range."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import Array

from gradlab.models.chain import Block, Tree, Visit, of_block
from gradlab.numerics import LOG10_2, log2_hypot


def reach(chain: list[Block], params: Tree, stats: Tree, x: Array) -> dict[str, Array]:
    """log10 of ‖∂h_T/∂h_t‖_F/√units, its root mean square over the examples, of each recurrent layer: layers × time.

    0 at t = T. One backward pass an example, with the unit vectors as cotangents, by the loop that measures
    training: right at 10^±100 too. Without dropout, with the running averages.
    """
    h, found = x, {}
    for block in chain:
        own = (of_block(params, block), of_block(stats, block))
        step = partial(_step, block)
        if block.count is None:
            h, told = step(h, (*own, 1))
            told = told[None]
        else:
            h, told = jax.lax.scan(step, h, (*own, jnp.arange(1, block.count + 1)))
        if block.times and told.size:
            found[block.name] = told
    return found


def _step(block: Block, h: Array, xs: tuple[Tree, Tree, Array | int]) -> tuple[Array, Array]:
    """One layer: its output, and its norms where it is recurrent from one array of all steps to another."""
    params, stats, layer = xs

    def run(h: Array, time: Array | None) -> Array:
        visit = Visit(jax.random.key(0), stats, False, lambda z: z, layer, time=time)
        return block.apply(params, h, visit)[0]

    out = run(h, None)
    if not block.times or not all(isinstance(one, Array) and one.ndim == 3 for one in (h, out)):
        return out, jnp.zeros(0)

    def norms(example: Array) -> Array:
        """log2 ‖∂h_T/∂h_t‖_F: as many copies of the example as there are units, each with its own cotangent."""
        copies = jnp.repeat(example[:, None], out.shape[-1], axis=1)
        _, pull = jax.vjp(partial(run, copies), jnp.zeros((2, block.times), jnp.float32))
        units = jnp.eye(out.shape[-1], dtype=out.dtype)
        return pull(jnp.zeros((block.times, *units.shape), out.dtype).at[-1].set(units))[0][0]

    each = jax.lax.map(norms, jnp.swapaxes(h, 0, 1))
    terms = h.shape[1] * out.shape[-1]
    return out, LOG10_2 * (jax.vmap(log2_hypot)(each.T) - 0.5 * jnp.log2(float(terms)))
