"""How good is the network on a whole part of the data? In evaluation mode, in pieces that fit the memory."""

from collections.abc import Callable
from math import prod
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from gradlab.parts.losses.functions import Loss

MEASURES = ("loss", "accuracy", "balanced_accuracy", "r2")
FLOATS = 2**24  # of one layer's signal that a piece may hold
MOST = 4096  # examples in a piece


class Sums(NamedTuple):
    """What adds up over the pieces: losses; answers and right answers by class; squared errors."""

    loss: Array
    answers: Array
    right: Array
    squares: Array


def measures(
    network: Callable[[Array], Array], loss: Loss, x: Array, y: Array, classes: int, width: int
) -> Array:
    """The mean loss, and by `MEASURES`' names what the targets allow, NaN elsewhere.

    accuracy: share of labels that have the largest output; balanced_accuracy: mean over the classes of the share
    of each that is told rightly, 1/classes for a guesser; r2: 1 − Σ(output − target)²/Σ(target − mean target)².
    """
    size, pieces = _cut(x, width)

    def piece(index: Array) -> Sums:
        places = index * size + jnp.arange(size)
        rows = jnp.minimum(places, len(x) - 1)
        return _sums(network(x[rows]), y[rows], places < len(x), loss, classes)

    if pieces == 1:
        found = _sums(network(x), y, jnp.ones(len(x), bool), loss, classes)
    else:
        found = jax.tree.map(lambda part: part.sum(0), jax.lax.map(piece, jnp.arange(pieces)))
    nothing = jnp.full((), jnp.nan)
    if jnp.issubdtype(y.dtype, jnp.integer):
        there = found.answers > 0
        recall = jnp.where(there, found.right / jnp.maximum(found.answers, 1), 0)
        told = [jnp.sum(found.right) / jnp.sum(found.answers), jnp.sum(recall) / jnp.sum(there), nothing]
    else:
        spread = jnp.sum((y - y.mean(0)) ** 2)  # of equal targets there is nothing to explain
        told = [nothing, nothing, jnp.where(spread > 0, 1 - found.squares / spread, jnp.nan)]
    return jnp.stack([value.astype(jnp.float32) for value in (found.loss / len(x), *told)])


def _cut(x: Array, width: int) -> tuple[int, int]:
    """Examples in a piece, and how many pieces."""
    positions = prod(x.shape[1:-1]) if x.ndim > 2 else prod(x.shape[1:]) if x.dtype == jnp.int32 else 1
    most = max(1, min(MOST, FLOATS // (positions * width)))
    pieces = -(-len(x) // most)
    return -(-len(x) // pieces), pieces


def _sums(outputs: Array, y: Array, counts: Array, loss: Loss, classes: int) -> Sums:
    outputs = outputs.astype(jnp.promote_types(outputs.dtype, jnp.float32))
    nothing = jnp.zeros(())
    total = jnp.sum(jnp.where(counts, loss(outputs, y), 0))
    if not jnp.issubdtype(y.dtype, jnp.integer):
        squares = jnp.where(counts[:, None], (outputs - y) ** 2, 0)
        return Sums(total, nothing, nothing, jnp.sum(squares))
    counted = (y >= 0) & counts.reshape(-1, *[1] * (y.ndim - 1))
    right = counted & (jnp.argmax(outputs, -1) == y)
    by_class = lambda flags: jnp.zeros(classes).at[jnp.maximum(y, 0)].add(flags)
    return Sums(total, by_class(counted), by_class(right), nothing)
