"""A point θ in place of a network: for the surfaces of `gradlab/parts/losses/surfaces.py`."""

from typing import Annotated

import jax.numpy as jnp
from jax import Array

from gradlab.nn.chain import Block, BlockAux, BlockContext
from gradlab.nn.model import Model, Plan, model
from gradlab.numerics.tree import Tree
from gradlab.recipe.bounds import Bound, Many

Start = Annotated[list[float], Many(Bound(float))]


@model
def point(start: Start) -> Model:
    """The output is θ itself, whatever the input: θ_0 = `start`, and the loss is a function of θ.

    Outputs are (examples, len(start)) with equal rows. So optimizers, clips, schedules and penalties run on a surface
    that can be drawn.
    """

    def build(plan: Plan) -> list[Block]:
        def draw(key: Array) -> tuple[Tree, Tree]:
            return {"theta": jnp.stack([jnp.asarray(value, plan.param_dtype) for value in start])[None]}, {}

        def apply(params: Tree, x: Array, context: BlockContext) -> tuple[Array, BlockAux]:
            return jnp.broadcast_to(params["theta"], (len(x), len(start))).astype(plan.dtype), BlockAux({})

        return [Block("point", draw, apply, active=False)]

    return build
