"""Penalties on the parameters, for their size: in the loss, so that the clip sees them, or beside it.

`penalty.mask` says whose size: `kernels` (arrays of two axes or more without their layer axis) spares biases and
the scales of norms, `all` spares nothing.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import jax.numpy as jnp
from jax import Array

from gradlab.numerics.tree import StackedAxes, Tree
from gradlab.parts.family import Family
from gradlab.recipe.bounds import Flag, NonNegative

Mask = Literal["kernels", "all"]
Value = Callable[[list[Array]], Array]


class Penalty(NamedTuple):
    """Its value; whether its gradient joins the loss's; the two ways of shrinking beside the loss.

    decay: θ <- θ − rate·decay·θ after the optimizer; proximal: θ <- sign(θ)·max(|θ| − rate·proximal, 0) after all.
    """

    value: Value
    smooth: bool = True
    decay: Array | float | None = None
    proximal: Array | float | None = None
    sparse: bool = False  # whether it makes zeros, which are then counted
    mask: Mask = "kernels"


def subject(tree: Tree, stacked_axes: StackedAxes, mask: Mask) -> Tree:
    """The part of a tree whose size counts."""
    return {
        path: value for path, value in tree.items() if mask == "all" or value.ndim - stacked_axes[path] >= 2
    }


penalty = Family("penalty", common={"mask": Mask}, wrap=lambda made, mask: made._replace(mask=mask))


def _sum(of: Callable[[Array], Array], strength: Array | float) -> Value:
    return lambda arrays: strength * sum((jnp.sum(of(w)) for w in arrays), jnp.zeros(()))


@penalty
def none() -> Penalty | None:
    """No penalty."""
    return None


@penalty
def l2(strength: NonNegative) -> Penalty:
    """strength/2·Σ w² in the loss, with gradient strength·w: weight decay for plain SGD, not for Adam.

    Some write strength·Σ w², whose gradient is twice this one's.
    """
    return Penalty(_sum(lambda w: w * w, strength / 2))


@penalty
def decoupled(strength: NonNegative) -> Penalty:
    """θ <- θ − rate·strength·θ after clip and optimizer (Loshchilov & Hutter 2019); told as strength/2·Σ w².

    For plain SGD without a clip the same as `l2`; Adam divides l2's gradient by its own size, and not this.
    """
    return Penalty(_sum(lambda w: w * w, strength / 2), smooth=False, decay=strength)


@penalty
def l1(strength: NonNegative, proximal: Flag) -> Penalty:
    """strength·Σ|w|: by its subgradient strength·sign(w) in the loss, or by a proximal step after the update.

    Subgradient steps jump over zero and back; the proximal w <- sign(w)·max(|w| − rate·strength, 0) reaches it,
    and `weight_zeros` counts what has (ISTA, Daubechies et al. 2004).
    """
    value = _sum(jnp.abs, strength)
    return Penalty(value, smooth=not proximal, proximal=strength if proximal else None, sparse=True)
