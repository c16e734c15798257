"""`gradlab.record_norms`: an Optax transformation that changes nothing and keeps the norms of what passes."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from gradlab.numerics.tree import Tree
from gradlab.own.by_hand import norms


class RecordedNorms(NamedTuple):
    """log10 of the norm of each array of the last update that passed, by path; NaN before the first."""

    log10: Tree


def record_norms() -> optax.GradientTransformation:
    """The identity, to stand anywhere in `optax.chain`; its state holds log10 of the norms of what passes it.

    Before a clip it records the gradient's norms, behind it those of the clipped gradient, at the end those of the
    update. The norms are right far outside float32's range; the updates' bits do not change.

    >>> import jax.numpy as jnp, optax, gradlab
    >>> optimizer = optax.chain(gradlab.record_norms(), optax.clip_by_global_norm(1.0), gradlab.record_norms())
    >>> params = {"w": jnp.zeros(4)}
    >>> _, state = optimizer.update({"w": jnp.full(4, 50.0)}, optimizer.init(params))
    >>> raw, clipped = (round(float(state[place].log10["w"]), 3) for place in (0, 2))
    >>> raw, clipped
    (2.0, 0.0)
    """

    def init(params: Any) -> RecordedNorms:
        return RecordedNorms(jax.tree.map(lambda norm: jnp.full_like(norm, jnp.nan), norms(params)))

    def update(updates: Any, state: RecordedNorms, params: Any = None) -> tuple[Any, RecordedNorms]:
        return updates, RecordedNorms(norms(updates))

    return optax.GradientTransformation(init, update)
