"""The loss at chance level: the lowest mean loss that a constant prediction can reach on the training set."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from gradlab.parts.losses.contract import Loss, loss
from gradlab.recipe.errors import RecipeError

Floats = NDArray[np.float64]


def chance_loss(part: dict[str, Any], targets: NDArray[Any], outputs: int) -> float:
    """The lowest mean loss of a network with the same outputs for every example.

    The best outputs are the logarithms of the class frequencies for cross-entropy (the loss is then their entropy), the
    mean of the targets for mse, their median for l1, and values between the two for huber. For any other loss they are
    searched by L-BFGS.

    part: the recipe's loss. targets: labels of any shape, of which negative ones do not count, or numbers
    (examples, outputs). outputs: the number of outputs.

    Raises:
        RecipeError: where a user-defined loss is not finite.
    """
    if np.issubdtype(targets.dtype, np.integer):
        labels = targets[targets >= 0]
        weights, rows = np.bincount(labels, minlength=outputs) / len(labels), np.eye(outputs)
        targets = np.arange(outputs, dtype=labels.dtype)  # each class once, weighted by its frequency
    else:
        weights, rows = np.full(len(targets), 1 / len(targets)), targets.astype(np.float64)
    if part["name"] == "cross_entropy":
        mean = weights @ rows
        return float(-(mean[mean > 0] * np.log(mean[mean > 0])).sum())
    if part["name"] in _OF_ERRORS:
        value, slope = (partial(formula, part) for formula in _OF_ERRORS[part["name"]])
        return float((weights @ value(_best_outputs(slope, rows, weights) - rows)).mean())
    return _lowest_mean(loss.make(part), targets, weights, outputs)


# losses that are functions of the error e = output − target: the value and, up to a factor, the slope
_OF_ERRORS: dict[str, tuple[Callable[..., Floats], Callable[..., Floats]]] = {
    "mse": (lambda part, e: e**2, lambda part, e: e),
    "l1": (lambda part, e: np.abs(e), lambda part, e: np.sign(e)),
    "huber": (
        lambda part, e: np.where(
            np.abs(e) <= part["delta"], e**2 / 2, part["delta"] * (np.abs(e) - part["delta"] / 2)
        ),
        lambda part, e: np.clip(e, -part["delta"], part["delta"]),
    ),
}


def _best_outputs(slope: Callable[[Floats], Floats], rows: Floats, weights: Floats) -> Floats:
    """The outputs (outputs,) at which the weighted slopes of all rows sum to 0, by bisection: the sum is monotonic."""
    low, high = rows.min(0), rows.max(0)
    for _ in range(80):
        middle = (low + high) / 2
        above = weights @ slope(middle - rows) > 0
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    best: Floats = (low + high) / 2
    return best


def _lowest_mean(loss_per_example: Loss, targets: NDArray[Any], weights: Floats, outputs: int) -> float:
    """The lowest weighted mean loss that L-BFGS reaches from outputs of zero."""
    from scipy.optimize import minimize  # only a user-defined loss needs it

    weights_array, targets_array = jnp.asarray(weights), jnp.asarray(targets)

    @jax.value_and_grad
    def mean(output: Array) -> Array:
        same_outputs = jnp.tile(output, (len(targets_array), 1))
        return jnp.vdot(weights_array, loss_per_example(same_outputs, targets_array))

    def mean_and_gradient(output: Floats) -> tuple[float, Floats]:
        value, gradient = mean(jnp.asarray(output, weights_array.dtype))
        return float(value), np.asarray(gradient, np.float64)

    lowest = float(minimize(mean_and_gradient, np.zeros(outputs), jac=True, method="L-BFGS-B").fun)
    if not np.isfinite(lowest):
        raise RecipeError(
            f"your loss is {lowest} where every output is the same; give one that is finite there"
        )
    return lowest
