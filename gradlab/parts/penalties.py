"""Penalties on the size of the parameters: in the loss, so that the clip sees them, or beside it.

`penalty.mask` says of which: `kernels` (arrays of two axes or more, the layer axis not counted) leaves out biases and
the scales of norms, `all` leaves out nothing.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import jax.numpy as jnp
from jax import Array

from gradlab.numerics.tree import StackedAxes, Tree
from gradlab.parts.family import Family
from gradlab.recipe.bounds import Flag, NonNegative

Mask = Literal["kernels", "all"]
PenaltyValue = Callable[[list[Array]], Array]  # of arrays of any shapes, a scalar


class Penalty(NamedTuple):
    """A penalty's value, and how it acts on the parameters.

    value: of the penalized parameters; smooth: whether its gradient is added to the loss's.
    decay: θ <- θ − rate·decay·θ after the optimizer; proximal: θ <- sign(θ)·max(|θ| − rate·proximal, 0) after all else.
    sparse: whether it makes parameters zero, which are then counted; mask: which parameters are penalized.
    """

    value: PenaltyValue
    smooth: bool = True
    decay: Array | float | None = None
    proximal: Array | float | None = None
    sparse: bool = False
    mask: Mask = "kernels"


def subject(tree: Tree, stacked_axes: StackedAxes, mask: Mask) -> Tree:
    """The leaves of a tree of parameters that are penalized."""
    return {
        path: value for path, value in tree.items() if mask == "all" or value.ndim - stacked_axes[path] >= 2
    }


def _with_mask(penalty: Penalty, mask: Mask) -> Penalty:
    return penalty._replace(mask=mask)


penalty = Family("penalty", common={"mask": Mask}, wrap=_with_mask)


def _sum(entrywise: Callable[[Array], Array], strength: Array | float) -> PenaltyValue:
    """strength times the sum of `entrywise` over all entries."""
    return lambda arrays: strength * sum((jnp.sum(entrywise(w)) for w in arrays), jnp.zeros(()))


@penalty
def none() -> Penalty | None:
    """No penalty."""
    return None


@penalty
def l2(strength: NonNegative) -> Penalty:
    """strength/2·Σ w² in the loss, with gradient strength·w: weight decay for plain SGD, not for Adam.

    Some texts write strength·Σ w², whose gradient is twice as large.
    """
    return Penalty(_sum(lambda w: w * w, strength / 2))


@penalty
def decoupled(strength: NonNegative) -> Penalty:
    """θ <- θ − rate·strength·θ after clip and optimizer (Loshchilov & Hutter 2019); reported as strength/2·Σ w².

    For plain SGD without a clip the same as `l2`; Adam divides l2's gradient by its own size, but not this decay.
    """
    return Penalty(_sum(lambda w: w * w, strength / 2), smooth=False, decay=strength)


@penalty
def l1(strength: NonNegative, proximal: Flag) -> Penalty:
    """strength·Σ|w|: by its subgradient strength·sign(w) in the loss, or by a proximal step after the update.

    Subgradient steps jump over zero and back; the proximal w <- sign(w)·max(|w| − rate·strength, 0) reaches it, and
    `weight_zeros` counts the weights at zero (ISTA, Daubechies et al. 2004).
    """
    value = _sum(jnp.abs, strength)
    return Penalty(value, smooth=not proximal, proximal=strength if proximal else None, sparse=True)
