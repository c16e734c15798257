"""Clips that look at the norm of all parameters together: they keep the gradient's direction."""

from typing import Annotated

import jax
import jax.numpy as jnp
from jax import Array

from gradlab.numerics import norms
from gradlab.numerics.norms import ScaledNorm
from gradlab.numerics.tree import StackedAxes, Tree
from gradlab.parts.clips import scaled_norms
from gradlab.parts.clips.contract import Clip, ClipRecord, clip, stateless
from gradlab.recipe.bounds import Bound, Positive

Order = Annotated[float, Bound(float, 1, finite=False)]


def global_norm(grads: Tree, stacked_axes: StackedAxes) -> ScaledNorm:
    """‖g‖₂ over all parameters."""
    return scaled_norms.normal(norms.log2_norms(grads, stacked_axes).global_norm)


def bring_all(grads: Tree, length: ScaledNorm, limit: ScaledNorm, acts: Array) -> tuple[Tree, ClipRecord]:
    """All or nothing: the gradient scaled to `limit` where `acts`, and the record of it."""
    clipped = {key: scaled_norms.bring(g, length, limit, acts) for key, g in grads.items()}
    return clipped, {"clipped": acts.astype(jnp.float32)}


@clip
def none() -> Clip:
    """The gradient as it is."""
    return stateless(lambda grads, params, stacked_axes: (grads, {"clipped": jnp.zeros(())}))


@clip
def norm(threshold: Positive, p: Order) -> Clip:
    """g <- g·min(1, threshold/‖g‖_p) over all parameters together (Pascanu et al. 2013): keeps the direction.

    With p = 2 optax.clip_by_global_norm (no epsilon; PyTorch's clip_grad_norm_ adds 1e-6 to the norm), but right
    where ‖g‖² over- or underflows. `p` is PyTorch's norm_type: a number, so any p is the same program, and inf
    bounds the largest entry. A gradient whose norm is not finite passes as it is.
    """

    def rule(grads: Tree, params: Tree, stacked_axes: StackedAxes) -> tuple[Tree, ClipRecord]:
        usual = global_norm(grads, stacked_axes)
        length = jax.lax.cond(jnp.asarray(p) == 2, lambda: usual, lambda: _p_norm(grads, p))
        limit = scaled_norms.of(threshold, length)
        return bring_all(grads, length, limit, scaled_norms.above(length, limit))

    return stateless(rule)


def _p_norm(grads: Tree, p: Array | float) -> ScaledNorm:
    """top·(Σ (|g_i|/top)^p)^(1/p) with the largest entry as top, which is right for p = inf too."""
    top = jnp.stack([jnp.max(jnp.abs(g)) for g in grads.values()]).max()
    top = top.astype(norms.compute_dtype(top))
    usable = (top > 0) & jnp.isfinite(top)
    divisor, p = jnp.where(usable, top, 1.0), jnp.asarray(p, top.dtype)
    total = sum(jnp.sum((jnp.abs(g).astype(top.dtype) / divisor) ** p) for g in grads.values())
    longest = scaled_norms.normal(ScaledNorm(top, jnp.zeros_like(top)))
    ratio = jnp.where(usable, jnp.asarray(total) ** (1 / p), 1.0)
    return scaled_norms.times(longest, ScaledNorm(ratio, jnp.zeros_like(ratio)))


@clip
def normalize(threshold: Positive) -> Clip:
    """g <- threshold·g/‖g‖: every step has the same length; a zero gradient stays zero.

    A gradient whose norm is not finite passes as it is.
    """

    def rule(grads: Tree, params: Tree, stacked_axes: StackedAxes) -> tuple[Tree, ClipRecord]:
        length = global_norm(grads, stacked_axes)
        acts = (length.mantissa > 0) & jnp.isfinite(length.mantissa)
        return bring_all(grads, length, scaled_norms.of(threshold, length), acts)

    return stateless(rule)


@clip
def skip(threshold: Positive) -> Clip:
    """No step at all where ‖g‖ > threshold, or where ‖g‖ is not finite; else the gradient as it is."""

    def rule(grads: Tree, params: Tree, stacked_axes: StackedAxes) -> tuple[Tree, ClipRecord]:
        length = global_norm(grads, stacked_axes)
        dropped = scaled_norms.above(length, scaled_norms.of(threshold, length)) | ~jnp.isfinite(
            length.mantissa
        )
        return grads, {"clipped": dropped.astype(jnp.float32), "skip": dropped}

    return stateless(rule)
