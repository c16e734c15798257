"""Clips by group: layer by layer, array by array, unit by unit. A group that is not finite passes as it is."""

import math

from jax import Array

from gradlab.numerics.norms import ScaledNorm
from gradlab.numerics.tree import StackedAxes, Tree
from gradlab.parts.clips import scaled_norms
from gradlab.parts.clips.contract import Clip, ClipRecord, clip, fraction_record, stateless
from gradlab.parts.clips.thresholds import with_thresholds
from gradlab.recipe.bounds import Positive

# by path: the norm of each group and its limit, of shapes that are broadcast to the gradient's
NormsAndLimits = dict[str, tuple[ScaledNorm, ScaledNorm]]


def _layer_axes(x: Array, stacked_axes: int) -> tuple[int, ...]:
    """The axes of one layer's array."""
    return tuple(range(stacked_axes, x.ndim))


def _array_norms(grads: Tree, stacked_axes: StackedAxes) -> dict[str, ScaledNorm]:
    """The norm of each array of each layer: (layers, 1, …) for a stack, else (1, …)."""
    return {key: scaled_norms.norm_over(g, _layer_axes(g, stacked_axes[key])) for key, g in grads.items()}


def _clip_groups(grads: Tree, groups: NormsAndLimits) -> tuple[Tree, ClipRecord]:
    """Every group whose norm exceeds its limit is brought to its limit."""
    acted = {key: scaled_norms.exceeds(*pair) for key, pair in groups.items()}
    clipped = {key: scaled_norms.rescale(g, *groups[key], acted[key]) for key, g in grads.items()}
    return clipped, fraction_record(acted, grads)


@clip
@with_thresholds
def layer_norm(threshold: Positive) -> Clip:
    """g_l <- g_l·min(1, threshold/‖g_l‖), g_l all parameters of layer l together."""

    def rule(grads: Tree, params: Tree, stacked_axes: StackedAxes) -> tuple[Tree, ClipRecord]:
        array_norms = _array_norms(grads, stacked_axes)
        groups: NormsAndLimits = {}
        for block in dict.fromkeys(key.partition("/")[0] for key in grads):
            paths = [key for key in grads if key.partition("/")[0] == block]
            # (layers,), whatever the number of axes of the array
            by_layer = [ScaledNorm(*(part.reshape(-1) for part in array_norms[key])) for key in paths]
            layer = scaled_norms.hypot(by_layer)
            for key in paths:
                norm = ScaledNorm(*(part.reshape(array_norms[key].mantissa.shape) for part in layer))
                groups[key] = (norm, scaled_norms.from_number(threshold, norm))
        return _clip_groups(grads, groups)

    return stateless(rule)


@clip
@with_thresholds
def tensor_norm(threshold: Positive) -> Clip:
    """g_W <- g_W·min(1, threshold/‖g_W‖) for each array W of each layer by itself.

    Keras's clipnorm and tf.clip_by_norm, which are not global; Keras's global_clipnorm is gradlab's `norm`.
    """

    def rule(grads: Tree, params: Tree, stacked_axes: StackedAxes) -> tuple[Tree, ClipRecord]:
        array_norms = _array_norms(grads, stacked_axes)
        return _clip_groups(
            grads,
            {key: (norm, scaled_norms.from_number(threshold, norm)) for key, norm in array_norms.items()},
        )

    return stateless(rule)


@clip
@with_thresholds
def block_rms(threshold: Positive) -> Clip:
    """g_W <- g_W/max(1, rms(g_W)/threshold), rms = ‖g_W‖/√size, for each array of each layer (Adafactor's).

    As optax.clip_by_block_rms, but right outside float32's range of squares.
    """

    def rule(grads: Tree, params: Tree, stacked_axes: StackedAxes) -> tuple[Tree, ClipRecord]:
        groups: NormsAndLimits = {}
        for key, norm in _array_norms(grads, stacked_axes).items():
            size = math.prod(grads[key].shape[stacked_axes[key] :])
            root = scaled_norms.from_number(math.sqrt(size), norm)
            groups[key] = (norm, scaled_norms.product(scaled_norms.from_number(threshold, norm), root))
        return _clip_groups(grads, groups)

    return stateless(rule)


@clip
@with_thresholds
def agc(threshold: Positive, eps: Positive) -> Clip:
    """‖g_u‖ <- at most threshold·max(‖w_u‖, eps) for each unit u (Brock et al. 2021, adaptive gradient clipping).

    A unit is what feeds one output: a column of a kernel (in, out), axes 0, 1, 2 of a convolution's (H, W, in,
    out), a vector as a whole. As optax.adaptive_grad_clip, every layer included (the paper spares the last).
    """

    def rule(grads: Tree, params: Tree, stacked_axes: StackedAxes) -> tuple[Tree, ClipRecord]:
        groups: NormsAndLimits = {}
        for key, g in grads.items():
            axes = _unit_axes(g.shape, stacked_axes[key])
            norm, weight_norm = scaled_norms.norm_over(g, axes), scaled_norms.norm_over(params[key], axes)
            weight_norm = scaled_norms.larger(weight_norm, scaled_norms.from_number(eps, norm))
            limit = scaled_norms.product(scaled_norms.from_number(threshold, norm), weight_norm)
            groups[key] = (norm, limit)
        return _clip_groups(grads, groups)

    return stateless(rule)


def _unit_axes(shape: tuple[int, ...], stacked_axes: int) -> tuple[int, ...]:
    """The axes that feed one output, by Optax's conventions: a kernel of three axes is (in, heads, out)."""
    layer_shape = shape[stacked_axes:]
    if sum(size > 1 for size in layer_shape) <= 1:
        return tuple(range(stacked_axes, len(shape)))
    return tuple(range(stacked_axes, len(shape) - 1)) if len(layer_shape) > 3 else (stacked_axes,)
