"""Do the two losses of a task pull the shared layers the same way?"""

import jax
import jax.numpy as jnp
from jax import Array

from gradlab.measurements.by_layer import cosines
from gradlab.measurements.columns import Column
from gradlab.measurements.snapshot import Snapshot, SnapshotInputs, snapshot
from gradlab.numerics.tree import Tree
from gradlab.recipe.errors import RecipeError


@snapshot
def conflict() -> Snapshot:
    """Cosine of the gradients of two losses on one network, on the fixed batch (Yu et al. 2020).

    The losses are those of the two groups of outputs of `data=multi`. task_cosine: over the kernels of each layer;
    network_task_cosine: over all parameters. Below 0 they conflict: a step down one loss goes up the other. Null where
    a gradient is exactly zero.
    """
    columns = (
        Column(
            "task_cosine",
            "cosine of the gradients of the two losses by the layer's kernels",
            nan_is_null=True,
        ),
        Column(
            "network_task_cosine",
            "cosine of the gradients of the two losses by all parameters",
            kind="step",
            nan_is_null=True,
        ),
    )

    def compute(inputs: SnapshotInputs) -> dict[str, Array]:
        if len(inputs.heads) != 2:
            raise RecipeError("there is one loss; choose a task of two, as data=multi")
        first, second = (_gradient(inputs, head) for head in _slices(inputs.heads))
        layers, network = cosines(inputs, first, second)
        return {"task_cosine": layers, "network_task_cosine": network}

    return Snapshot(columns, compute, refuses=True)


def _slices(heads: tuple[int, ...]) -> list[slice]:
    return [slice(sum(heads[:index]), sum(heads[: index + 1])) for index in range(len(heads))]


def _gradient(inputs: SnapshotInputs, head: slice) -> Tree:
    """Of the mean loss of some of the outputs."""

    def loss(params: Tree) -> Array:
        outputs = inputs.outputs(params)[:, head]
        return jnp.mean(inputs.loss_rule(outputs, inputs.y[:, head]))

    gradient: Tree = jax.grad(loss)(inputs.params)
    return gradient
