"""Penalties on the parameters: added to the loss, so that the clip sees their gradient (decoupled decay comes later).

A penalty is a function of the kernels (arrays of two axes or more without their layer axis): params -> scalar.
"""

from collections.abc import Callable

import jax.numpy as jnp
from jax import Array

from gradlab.bounds import NonNegative
from gradlab.parts.family import Family

penalty = Family("penalty")
Penalty = Callable[[list[Array]], Array]


@penalty
def none() -> Penalty | None:
    """No penalty."""
    return None


@penalty
def l2(strength: NonNegative) -> Penalty:
    """strength/2·Σ w² over kernels, with gradient strength·w: weight decay for plain SGD, not for Adam."""
    return lambda kernels: strength / 2 * sum((jnp.sum(w * w) for w in kernels), jnp.zeros(()))
