"""Losses that depend on a point θ alone: surfaces for model=point, on which optimizers and clips are shown.

They ignore the targets: outputs (examples, n) -> losses (examples,).
"""

import jax.numpy as jnp
from jax import Array

from gradlab.parts.losses.contract import Loss, loss
from gradlab.recipe.bounds import Positive

COORDINATES = {
    "quadratic": 1,
    "ravine": 2,
    "saddle": 2,
    "rosenbrock": 2,
    "quartic": 1,
}  # the smallest number of each


@loss
def quadratic(curvature: Positive, condition: Positive) -> Loss:
    """½·Σ λ_i x_i², λ from curvature to curvature·condition, geometric: gradient descent needs lr < 2/λ_max.

    With curvature 2 and one coordinate it is x², the example of a clip in articles.
    """

    def loss_per_example(outputs: Array, targets: Array) -> Array:
        n = outputs.shape[-1]
        weights = curvature * condition ** (jnp.arange(n) / max(n - 1, 1))
        return 0.5 * jnp.sum(weights.astype(outputs.dtype) * outputs**2, axis=-1)

    return loss_per_example


@loss
def ravine(condition: Positive) -> Loss:
    """½(u² + condition·v²), u = (x + y)/√2, v = (x − y)/√2: a narrow valley across the axes."""

    def loss_per_example(outputs: Array, targets: Array) -> Array:
        x, y = outputs[..., 0], outputs[..., 1]
        return 0.25 * ((x + y) ** 2 + condition * (x - y) ** 2)

    return loss_per_example


@loss
def saddle() -> Loss:
    """½(x² − y²): from y = 0 gradient descent stops at the saddle; from any other y it escapes."""
    return lambda outputs, targets: 0.5 * (outputs[..., 0] ** 2 - outputs[..., 1] ** 2)


@loss
def rosenbrock() -> Loss:
    """Σ 100(x_{i+1} − x_i²)² + (1 − x_i)²: a curved valley with its minimum at (1, …, 1) (Rosenbrock 1960)."""

    def loss_per_example(outputs: Array, targets: Array) -> Array:
        x, following = outputs[..., :-1], outputs[..., 1:]
        return jnp.sum(100 * (following - x**2) ** 2 + (1 - x) ** 2, axis=-1)

    return loss_per_example


@loss
def quartic() -> Loss:
    """Σ x⁴: its curvature grows with the gradient: without a clip no fixed rate is stable (Zhang et al. 2020)."""
    return lambda outputs, targets: jnp.sum(outputs**4, axis=-1)
