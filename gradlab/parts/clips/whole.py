"""Clips that look at the norm of all parameters together: they keep the gradient's direction."""

from typing import Annotated

import jax
import jax.numpy as jnp
from jax import Array

from gradlab import numerics
from gradlab.bounds import Bound, Positive
from gradlab.numerics import Length
from gradlab.parts.clips import lengths
from gradlab.parts.clips.rule import Clip, Lead, Record, Tree, clip, stateless

Order = Annotated[float, Bound(float, 1, finite=False)]


def global_norm(grads: Tree, lead: Lead) -> Length:
    """‖g‖₂ over all parameters."""
    return lengths.normal(numerics.log2_norms(grads, lead).whole)


def bring_all(grads: Tree, length: Length, limit: Length, acts: Array) -> tuple[Tree, Record]:
    """All or nothing: the gradient scaled to `limit` where `acts`, and the record of it."""
    clipped = {key: lengths.bring(g, length, limit, acts) for key, g in grads.items()}
    return clipped, {"clipped": acts.astype(jnp.float32)}


@clip
def none() -> Clip:
    """The gradient as it is."""
    return stateless(lambda grads, params, lead: (grads, {"clipped": jnp.zeros(())}))


@clip
def norm(threshold: Positive, p: Order) -> Clip:
    """g <- g·min(1, threshold/‖g‖_p) over all parameters together (Pascanu et al. 2013): keeps the direction.

    With p = 2 optax.clip_by_global_norm (no epsilon; PyTorch's clip_grad_norm_ adds 1e-6 to the norm), but right
    where ‖g‖² over- or underflows. `p` is PyTorch's norm_type: a number, so any p is the same program, and inf
    bounds the largest entry. A gradient whose norm is not finite passes as it is.
    """

    def rule(grads: Tree, params: Tree, lead: Lead) -> tuple[Tree, Record]:
        usual = global_norm(grads, lead)
        length = jax.lax.cond(jnp.asarray(p) == 2, lambda: usual, lambda: _p_norm(grads, p))
        limit = lengths.of(threshold, length)
        return bring_all(grads, length, limit, lengths.above(length, limit))

    return stateless(rule)


def _p_norm(grads: Tree, p: Array | float) -> Length:
    """top·(Σ (|g_i|/top)^p)^(1/p) with the largest entry as top, which is right for p = inf too."""
    top = jnp.stack([jnp.max(jnp.abs(g)) for g in grads.values()]).max()
    top = top.astype(numerics.compute_dtype(top))
    usable = (top > 0) & jnp.isfinite(top)
    divisor, p = jnp.where(usable, top, 1.0), jnp.asarray(p, top.dtype)
    total = sum(jnp.sum((jnp.abs(g).astype(top.dtype) / divisor) ** p) for g in grads.values())
    longest = lengths.normal(Length(top, jnp.zeros_like(top)))
    ratio = jnp.where(usable, jnp.asarray(total) ** (1 / p), 1.0)
    return lengths.times(longest, Length(ratio, jnp.zeros_like(ratio)))


@clip
def normalize(threshold: Positive) -> Clip:
    """g <- threshold·g/‖g‖: every step has the same length; a zero gradient stays zero.

    A gradient whose norm is not finite passes as it is.
    """

    def rule(grads: Tree, params: Tree, lead: Lead) -> tuple[Tree, Record]:
        length = global_norm(grads, lead)
        acts = (length.fraction > 0) & jnp.isfinite(length.fraction)
        return bring_all(grads, length, lengths.of(threshold, length), acts)

    return stateless(rule)


@clip
def skip(threshold: Positive) -> Clip:
    """No step at all where ‖g‖ > threshold, or where ‖g‖ is not finite; else the gradient as it is."""

    def rule(grads: Tree, params: Tree, lead: Lead) -> tuple[Tree, Record]:
        length = global_norm(grads, lead)
        dropped = lengths.above(length, lengths.of(threshold, length)) | ~jnp.isfinite(length.fraction)
        return grads, {"clipped": dropped.astype(jnp.float32), "skip": dropped}

    return stateless(rule)
