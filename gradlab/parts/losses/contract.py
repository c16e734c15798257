"""What a loss is, and the family that the makers of losses are registered in.

The training loss is the mean of a loss over the examples. Targets are labels, or numbers of the outputs' shape.
"""

from collections.abc import Callable

import jax.numpy as jnp
from jax import Array

from gradlab.parts.family import Family, UserFunction
from gradlab.recipe.errors import RecipeError

# outputs (examples, classes) and targets, labels (examples,) or numbers (examples, classes) -> losses (examples,)
Loss = Callable[[Array, Array], Array]


def _checked(rule: Loss) -> Loss:
    """A user-defined loss that is refused where it does not return one number per example."""

    def loss_per_example(outputs: Array, targets: Array) -> Array:
        losses = rule(outputs, targets)
        if jnp.shape(losses) != outputs.shape[:1]:
            raise RecipeError(
                f"a loss gives one number per example; for outputs of shape {outputs.shape} yours gives "
                f"shape {jnp.shape(losses)}: leave the mean over examples out"
            )
        return losses

    return loss_per_example


loss = Family("loss", "gradlab.parts.losses", user_function=UserFunction(2, _checked))


def averaged_over_time(rule: Loss) -> Loss:
    """The loss of sequences: the mean of `rule` over an example's labelled time steps.

    It takes outputs (examples, time, classes) and labels (examples, time), of which negative ones do not count, and
    returns (examples,).
    """

    def loss_per_example(outputs: Array, labels: Array) -> Array:
        is_labelled = labels >= 0
        losses = rule(outputs.reshape(-1, outputs.shape[-1]), jnp.maximum(labels, 0).reshape(-1))
        labelled_losses = jnp.where(is_labelled, losses.reshape(labels.shape), 0)
        return jnp.sum(labelled_losses, axis=1) / jnp.sum(is_labelled, axis=1)

    return loss_per_example
