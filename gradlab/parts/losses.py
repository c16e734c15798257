"""Losses: (outputs, targets) -> one number an example; the training loss is their mean."""

from collections.abc import Callable

import optax
from jax import Array

from gradlab.parts.family import Family

loss = Family("loss")
Loss = Callable[[Array, Array], Array]


@loss
def cross_entropy() -> Loss:
    """−log softmax(logits)[label], from logits, stable; ∂/∂logits = p − y (optax)."""
    return optax.softmax_cross_entropy_with_integer_labels
