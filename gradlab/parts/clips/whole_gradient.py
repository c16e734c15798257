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
from gradlab.parts.clips.thresholds import with_thresholds
from gradlab.recipe.bounds import Bound, Count, Positive
from gradlab.recipe.errors import RecipeError

Order = Annotated[float, Bound(float, 1, finite=False)]


def global_norm(grads: Tree, stacked_axes: StackedAxes) -> ScaledNorm:
    """‖g‖₂ over all parameters, a scalar."""
    return scaled_norms.normalized(norms.log2_norms(grads, stacked_axes).global_norm)


def rescale_all(grads: Tree, norm: ScaledNorm, limit: ScaledNorm, acts: Array) -> tuple[Tree, ClipRecord]:
    """The gradient scaled from norm `norm` to norm `limit` where `acts` (all scalars), and the record of it."""
    clipped = {key: scaled_norms.rescale(g, norm, limit, acts) for key, g in grads.items()}
    return clipped, {"clipped": acts.astype(jnp.float32)}


@clip
def none() -> Clip:
    """The gradient as it is."""
    return stateless(lambda grads, params, stacked_axes: (grads, {"clipped": jnp.zeros(())}))


@clip
@with_thresholds
def norm(threshold: Positive, p: Order) -> Clip:
    """g <- g·min(1, threshold/‖g‖_p) over all parameters together (Pascanu et al. 2013): keeps the direction.

    With p = 2 optax.clip_by_global_norm (no epsilon; PyTorch's clip_grad_norm_ adds 1e-6 to the norm), but right
    where ‖g‖² over- or underflows. `p` is PyTorch's norm_type: a number, so all p share one compiled program, and inf
    bounds the largest entry. A gradient whose norm is not finite passes as it is.
    """

    def rule(grads: Tree, params: Tree, stacked_axes: StackedAxes) -> tuple[Tree, ClipRecord]:
        euclidean = global_norm(grads, stacked_axes)
        p_norm = jax.lax.cond(jnp.asarray(p) == 2, lambda: euclidean, lambda: _p_norm(grads, p))
        limit = scaled_norms.from_number(threshold, p_norm)
        return rescale_all(grads, p_norm, limit, scaled_norms.exceeds(p_norm, limit))

    return stateless(rule)


def _p_norm(grads: Tree, p: Array | float) -> ScaledNorm:
    """m·(Σ (|g_i|/m)^p)^(1/p) with the largest |entry| as m, which is right for p = inf too."""
    largest = jnp.stack([jnp.max(jnp.abs(g)) for g in grads.values()]).max()
    largest = largest.astype(norms.compute_dtype(largest))
    usable = (largest > 0) & jnp.isfinite(largest)
    divisor, p = jnp.where(usable, largest, 1.0), jnp.asarray(p, largest.dtype)
    powers = sum(jnp.sum((jnp.abs(g).astype(largest.dtype) / divisor) ** p) for g in grads.values())
    largest_norm = scaled_norms.normalized(ScaledNorm(largest, jnp.zeros_like(largest)))
    ratio = jnp.where(usable, jnp.asarray(powers) ** (1 / p), 1.0)
    return scaled_norms.product(largest_norm, ScaledNorm(ratio, jnp.zeros_like(ratio)))


@clip
@with_thresholds
def normalize(threshold: Positive) -> Clip:
    """g <- threshold·g/‖g‖: the norm is the same at every step; a zero gradient stays zero.

    A gradient whose norm is not finite passes as it is.
    """

    def rule(grads: Tree, params: Tree, stacked_axes: StackedAxes) -> tuple[Tree, ClipRecord]:
        grad_norm = global_norm(grads, stacked_axes)
        limit = scaled_norms.from_number(threshold, grad_norm)  # infinite: no clip yet
        acts = (grad_norm.mantissa > 0) & jnp.isfinite(grad_norm.mantissa) & jnp.isfinite(limit.mantissa)
        return rescale_all(grads, grad_norm, limit, acts)

    return stateless(rule)


@clip
@with_thresholds
def skip(threshold: Positive, patience: Count) -> Clip:
    """No step at all where ‖g‖ > threshold or where ‖g‖ is not finite; else the gradient as it is.

    After `patience` dropped steps in a row the run ends (0: never), as `launch/early_stopping.py` decides.
    """

    def rule(grads: Tree, params: Tree, stacked_axes: StackedAxes) -> tuple[Tree, ClipRecord]:
        grad_norm = global_norm(grads, stacked_axes)
        too_large = scaled_norms.exceeds(grad_norm, scaled_norms.from_number(threshold, grad_norm))
        dropped = too_large | ~jnp.isfinite(grad_norm.mantissa)
        return grads, {"clipped": dropped.astype(jnp.float32), "skip": dropped}

    return stateless(rule)


def _check_place(where: str, **_: object) -> None:
    if where == "update":
        raise RecipeError(
            "clip=per_example acts on gradients, an update has no examples; leave clip.where out"
        )


@clip.checked(_check_place)
@with_thresholds
def per_example(threshold: Positive) -> Clip:
    """g <- mean over the batch's examples i of g_i·min(1, threshold/‖g_i‖), g_i the gradient of the loss of i.

    As in DP-SGD (Abadi et al. 2016) without its noise: no example moves the mean by more than threshold/batch size.
    `clipped` is the fraction of the examples whose gradient was scaled. One that is not finite passes as it is.
    """

    def rule(grads: Tree, params: Tree, stacked_axes: StackedAxes) -> tuple[Tree, ClipRecord]:
        example_norm = global_norm(grads, stacked_axes)
        limit = scaled_norms.from_number(threshold, example_norm)
        return rescale_all(grads, example_norm, limit, scaled_norms.exceeds(example_norm, limit))

    return stateless(rule)._replace(scope="example")
