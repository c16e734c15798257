"""A point θ in place of a network: for the surfaces of `gradlab/parts/losses/surfaces.py`."""

from typing import Annotated

import jax.numpy as jnp
from jax import Array

from gradlab.nn.chain import Block, BlockAux, BlockContext
from gradlab.nn.model import Model, Plan, model
from gradlab.numerics.tree import Tree
from gradlab.recipe.bounds import Bound, Many

MOST_STORED = 16  # coordinates of θ that are stored at each step, as notes
Start = Annotated[list[float], Many(Bound(float))]


@model
def point(start: Start) -> Model:
    """The output is θ itself, whatever the input: θ_0 = `start`, and the loss is a function of θ.

    Outputs are (examples, len(start)) with equal rows. So optimizers, clips, schedules and penalties run on a surface
    that can be drawn. The first 16 coordinates are measured as notes `theta_1`, `theta_2`, …: the path of θ.
    """
    names = tuple(f"theta_{i + 1}" for i in range(min(len(start), MOST_STORED)))

    def build(plan: Plan) -> list[Block]:
        def draw(key: Array) -> tuple[Tree, Tree]:
            return {"theta": jnp.stack([jnp.asarray(value, plan.param_dtype) for value in start])[None]}, {}

        def apply(params: Tree, x: Array, context: BlockContext) -> tuple[Array, BlockAux]:
            theta = params["theta"]
            coordinates = dict(zip(names, theta[0], strict=False))
            output = jnp.broadcast_to(theta, (len(x), len(start))).astype(plan.dtype)
            return output, BlockAux({}, metrics=coordinates)

        return [Block("point", draw, apply, active=False, metric_names=names)]

    return build
