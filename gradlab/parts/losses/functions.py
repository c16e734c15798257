"""Losses of a network's outputs: (outputs, targets) -> one number per example.

A loss of numbers takes a label as the one-hot vector of its class, so that a classifier can be trained by it too.
"""

import jax
import jax.numpy as jnp
import optax
from jax import Array

from gradlab.parts.losses.contract import Loss, loss
from gradlab.recipe.bounds import Positive


@loss
def cross_entropy() -> Loss:
    """−log softmax(logits)[label], from logits, stable; ∂/∂logits = p − y, of length √2 at most (optax)."""

    def loss_per_example(outputs: Array, targets: Array) -> Array:
        is_label = jnp.issubdtype(targets.dtype, jnp.integer)
        formula = optax.softmax_cross_entropy_with_integer_labels if is_label else optax.softmax_cross_entropy
        losses: Array = formula(outputs, targets)
        return losses

    return loss_per_example


@loss
def mse() -> Loss:
    """Mean over the outputs of (output − target)²: no factor 1/2, as in PyTorch and Keras (optax)."""
    return lambda outputs, targets: optax.squared_error(outputs, _numbers(outputs, targets)).mean(-1)


@loss
def l1() -> Loss:
    """Mean over the outputs of |output − target|: the gradient is the same for small and large errors."""
    return lambda outputs, targets: jnp.abs(outputs - _numbers(outputs, targets)).mean(-1)


@loss
def huber(delta: Positive) -> Loss:
    """Mean over the outputs of e²/2 for |e| ≤ delta, else delta·(|e| − delta/2): the slope is delta at most (optax)."""

    def loss_per_example(outputs: Array, targets: Array) -> Array:
        bend = jnp.asarray(delta, outputs.dtype)
        losses: Array = optax.huber_loss(outputs, _numbers(outputs, targets), delta=bend).mean(-1)
        return losses

    return loss_per_example


def _numbers(outputs: Array, targets: Array) -> Array:
    """Targets (examples, classes) as they are, or the one-hot vectors of labels (examples,)."""
    if jnp.issubdtype(targets.dtype, jnp.integer):
        return jax.nn.one_hot(targets, outputs.shape[-1], dtype=outputs.dtype)
    return targets.astype(outputs.dtype)
