"""What networks over time ask of their input, and their first and last blocks."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import Array

from gradlab.nn import linear_layer
from gradlab.nn.chain import Block, BlockAux, BlockContext
from gradlab.nn.linear_layer import LayerSpec
from gradlab.nn.plan import Plan
from gradlab.numerics.tree import Tree
from gradlab.recipe.errors import RecipeError


def steps(plan: Plan) -> int:
    """How many time steps an example has, or a RecipeError where it is no sequence."""
    if len(plan.shape) == (1 if plan.vocabulary else 2):
        return plan.shape[0]
    more = "; data=sequential_digits has images a row or a pixel at a time" if len(plan.shape) == 3 else ""
    raise RecipeError(
        f"takes sequences (time, features) or tokens (time,), not examples of shape {plan.shape}{more}"
    )


def turned(h: Array) -> Array:
    """(time, examples, …) as (examples, time, …), or back.

    By rows: XLA on CPU copies them five times as fast as it transposes. Not for what is differentiated.
    """
    first, second = h.shape[:2]
    rows = jnp.arange(second)[:, None] + second * jnp.arange(first)
    return jax.lax.optimization_barrier(h.reshape(-1, *h.shape[2:])[rows])


def input_block(plan: Plan) -> Block:
    """x_t of all steps, time first: numbers as they are, tokens as learned vectors of `width` numbers, N(0, 1)."""
    steps(plan)

    def init(key: Array) -> tuple[Tree, Tree]:
        wide = jnp.promote_types(plan.dtype, jnp.float32)
        shape = (plan.vocabulary, plan.width)
        return ({"embedding": jax.random.normal(key, shape, wide)} if plan.vocabulary else {}), {}

    def apply(params: Tree, x: Array, context: BlockContext) -> tuple[Array, BlockAux]:
        x = turned(x)
        return (params["embedding"][x] if plan.vocabulary else x).astype(plan.dtype), BlockAux({})

    return Block("input", init, apply, active=False, signal=turned)


def output_block(plan: Plan) -> Block:
    """W h_T + b at the last step, or W h_t + b at each: (examples, outputs) or (examples, time, outputs)."""
    last = LayerSpec("", plan.width, plan.outputs, normed=False, scale=plan.residual.head)

    def apply(params: Tree, h: Array, context: BlockContext) -> tuple[Array, BlockAux]:
        layer = linear_layer.layer(last, plan, params, context.stats, context.train)
        h = jnp.swapaxes(h, 0, 1) if plan.each else h[-1]
        return context.on_linear("linear/kernel", layer.weigh(h)), BlockAux(
            {}, None, plan.activation.max_slope
        )

    return Block("output", partial(linear_layer.draw, last, plan), apply, active=False)
