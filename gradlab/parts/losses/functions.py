"""Losses: (outputs, targets) -> one number an example; the training loss is their mean.

Targets are whole labels, or numbers of the outputs' shape. A loss of numbers takes a label as the one-hot
vector of its class, so that a classifier can be trained by it too.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from gradlab.parts.family import Family, UserFunction
from gradlab.recipe.bounds import Positive
from gradlab.recipe.errors import RecipeError

Loss = Callable[[Array, Array], Array]


def _checked(rule: Loss) -> Loss:
    """A function of one's own, refused where it is not one number an example."""

    def each(outputs: Array, targets: Array) -> Array:
        found = rule(outputs, targets)
        if jnp.shape(found) != outputs.shape[:1]:
            raise RecipeError(
                f"a loss gives one number an example; for outputs of shape {outputs.shape} yours gives "
                f"shape {jnp.shape(found)}: leave the mean over examples out"
            )
        return found

    return each


loss = Family("loss", "gradlab.parts.losses", own=UserFunction(2, _checked))


def averaged(rule: Loss) -> Loss:
    """The mean of `rule` over an example's labelled time steps, from outputs (examples, time, classes)."""

    def each(outputs: Array, targets: Array) -> Array:
        counted = targets >= 0
        flat = rule(outputs.reshape(-1, outputs.shape[-1]), jnp.maximum(targets, 0).reshape(-1))
        found = jnp.where(counted, flat.reshape(targets.shape), 0)
        return jnp.sum(found, axis=1) / jnp.sum(counted, axis=1)

    return each


@loss
def cross_entropy() -> Loss:
    """−log softmax(logits)[label], from logits, stable; ∂/∂logits = p − y, of length √2 at most (optax)."""

    def each(outputs: Array, targets: Array) -> Array:
        if jnp.issubdtype(targets.dtype, jnp.integer):
            return optax.softmax_cross_entropy_with_integer_labels(outputs, targets)
        return optax.softmax_cross_entropy(outputs, targets)

    return each


@loss
def mse() -> Loss:
    """Mean over the outputs of (output − target)²: no factor 1/2, as PyTorch's and Keras's (optax)."""
    return lambda outputs, targets: optax.squared_error(outputs, _numbers(outputs, targets)).mean(-1)


@loss
def l1() -> Loss:
    """Mean over the outputs of |output − target|: no error pulls harder than another."""
    return lambda outputs, targets: jnp.abs(outputs - _numbers(outputs, targets)).mean(-1)


@loss
def huber(delta: Positive) -> Loss:
    """Mean over the outputs of e²/2 for |e| ≤ delta, else delta·(|e| − delta/2): no pull above delta (optax)."""

    def each(outputs: Array, targets: Array) -> Array:
        bend = jnp.asarray(delta, outputs.dtype)
        return optax.huber_loss(outputs, _numbers(outputs, targets), delta=bend).mean(-1)

    return each


def _numbers(outputs: Array, targets: Array) -> Array:
    """Targets as they are, or the one-hot vectors of labels."""
    if jnp.issubdtype(targets.dtype, jnp.integer):
        return jax.nn.one_hot(targets, outputs.shape[-1], dtype=outputs.dtype)
    return targets.astype(outputs.dtype)


Rows = np.ndarray[Any, np.dtype[np.float64]]


def chance_loss(part: dict[str, Any], targets: np.ndarray, outputs: int) -> float:
    """The least mean loss of a network that says the same of every example: what there is to beat.

    Its best output is the classes' log shares for cross-entropy (the loss is then their entropy), the mean of the
    targets for mse, their median for l1, and between the two for huber. For a loss of one's own it is looked for.
    """
    if np.issubdtype(targets.dtype, np.integer):
        targets = targets[targets >= 0]  # of a sequence's labels those that count, together
        share, rows = np.bincount(targets, minlength=outputs) / len(targets), np.eye(outputs)
        targets = np.arange(outputs, dtype=targets.dtype)  # one of each, weighed by its share
    else:
        share, rows = np.full(len(targets), 1 / len(targets)), targets.astype(np.float64)
    if part["name"] == "cross_entropy":
        mean = share @ rows
        return float(-(mean[mean > 0] * np.log(mean[mean > 0])).sum())
    if part["name"] in _ERRORS:
        cost, pull = (partial(rule, part) for rule in _ERRORS[part["name"]])
        return float((share @ cost(_balanced(pull, rows, share) - rows)).mean())
    return _found(loss.make(part), targets, share, outputs)


# of an error: what it costs, and how hard it pulls
_ERRORS: dict[str, tuple[Callable[..., Rows], Callable[..., Rows]]] = {
    "mse": (lambda part, e: e**2, lambda part, e: e),
    "l1": (lambda part, e: np.abs(e), lambda part, e: np.sign(e)),
    "huber": (
        lambda part, e: np.where(
            np.abs(e) <= part["delta"], e**2 / 2, part["delta"] * (np.abs(e) - part["delta"] / 2)
        ),
        lambda part, e: np.clip(e, -part["delta"], part["delta"]),
    ),
}


def _balanced(pull: Callable[[Rows], Rows], rows: Rows, share: Rows) -> Rows:
    """The output of each column at which the pulls of all targets cancel, by bisection: they rise with it."""
    low, high = rows.min(0), rows.max(0)
    for _ in range(80):
        middle = (low + high) / 2
        above = share @ pull(middle - rows) > 0
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return (low + high) / 2


def _found(each: Loss, targets: np.ndarray, share: Rows, outputs: int) -> float:
    """The least that L-BFGS finds from an output of zeros."""
    from scipy.optimize import minimize  # only a loss of one's own needs it

    weights, given = jnp.asarray(share), jnp.asarray(targets)

    @jax.value_and_grad
    def mean(output: Array) -> Array:
        return jnp.vdot(weights, each(jnp.tile(output, (len(given), 1)), given))

    def asked(output: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope = mean(jnp.asarray(output, weights.dtype))
        return float(value), np.asarray(slope, np.float64)

    found = float(minimize(asked, np.zeros(outputs), jac=True, method="L-BFGS-B").fun)
    if not np.isfinite(found):
        raise RecipeError(
            f"your loss is {found} where every output is the same; give one that is finite there"
        )
    return found
