"""Loss and scores of the network on a whole training or test set, in pieces that fit the device's memory."""

from collections.abc import Callable
from functools import partial
from math import prod
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from gradlab.parts.losses.contract import Loss

MEASURES = ("loss", "accuracy", "balanced_accuracy", "r2")
MOST_FLOATS = 2**24  # of one layer's signal that a piece may hold
MOST_EXAMPLES = 4096  # in a piece


class Sums(NamedTuple):
    """What adds up over the pieces: losses; labels and correct outputs per class; squared errors."""

    loss: Array
    labels: Array  # (classes,)
    correct: Array  # (classes,)
    squares: Array


def measures(
    network: Callable[[Array], Array], loss: Loss, x: Array, y: Array, classes: int, width: int
) -> Array:
    """The mean loss, and by the names of `MEASURES` what the targets allow, NaN elsewhere: (4,), float32.

    `network` maps inputs (examples, …) to outputs (examples, …, outputs); `x`, `y` are all inputs and targets.
    accuracy: fraction of labels that have the largest output; balanced_accuracy: mean over the classes of each one's
    accuracy, 1/classes at chance level; r2: 1 − Σ(output − target)²/Σ(target − mean target)².
    """
    size, pieces = _cut(x, width)
    if pieces == 1:
        sums = _sums(network(x), y, jnp.ones(len(x), bool), loss, classes)
    else:
        piece = partial(_piece, network, loss, x, y, classes, size)
        sums = jax.tree.map(lambda part: part.sum(0), jax.lax.map(piece, jnp.arange(pieces)))
    none = jnp.full((), jnp.nan)
    if jnp.issubdtype(y.dtype, jnp.integer):
        present = sums.labels > 0
        recall = jnp.where(present, sums.correct / jnp.maximum(sums.labels, 1), 0)
        scores = [jnp.sum(sums.correct) / jnp.sum(sums.labels), jnp.sum(recall) / jnp.sum(present), none]
    else:
        spread = jnp.sum((y - y.mean(0)) ** 2)  # of equal targets there is no variance to explain
        scores = [none, none, jnp.where(spread > 0, 1 - sums.squares / spread, jnp.nan)]
    return jnp.stack([value.astype(jnp.float32) for value in (sums.loss / len(x), *scores)])


def _cut(x: Array, width: int) -> tuple[int, int]:
    """Examples in a piece, and how many pieces."""
    positions = prod(x.shape[1:-1]) if x.ndim > 2 else prod(x.shape[1:]) if x.dtype == jnp.int32 else 1
    most = max(1, min(MOST_EXAMPLES, MOST_FLOATS // (positions * width)))
    pieces = -(-len(x) // most)
    return -(-len(x) // pieces), pieces


def _piece(
    network: Callable[[Array], Array], loss: Loss, x: Array, y: Array, classes: int, size: int, index: Array
) -> Sums:
    """The sums of piece `index`; the last piece is filled up with an example that does not count."""
    places = index * size + jnp.arange(size)
    rows = jnp.minimum(places, len(x) - 1)
    return _sums(network(x[rows]), y[rows], places < len(x), loss, classes)


def _sums(outputs: Array, y: Array, counts: Array, loss: Loss, classes: int) -> Sums:
    """The sums over the examples that count, `counts` (examples,)."""
    outputs = outputs.astype(jnp.promote_types(outputs.dtype, jnp.float32))
    zero = jnp.zeros(())
    total = jnp.sum(jnp.where(counts, loss(outputs, y), 0))
    if not jnp.issubdtype(y.dtype, jnp.integer):
        squares = jnp.where(counts[:, None], (outputs - y) ** 2, 0)
        return Sums(total, zero, zero, jnp.sum(squares))
    labelled = (y >= 0) & counts.reshape(-1, *[1] * (y.ndim - 1))
    correct = labelled & (jnp.argmax(outputs, -1) == y)
    by_class = jnp.zeros(classes).at[jnp.maximum(y, 0)]
    return Sums(total, by_class.add(labelled), by_class.add(correct), zero)
