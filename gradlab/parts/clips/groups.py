"""Clips by group: layer by layer, array by array, unit by unit. A group that is not finite passes as it is."""

import math

from jax import Array

from gradlab.numerics.norms import ScaledNorm
from gradlab.numerics.tree import StackedAxes, Tree
from gradlab.parts.clips import scaled_norms
from gradlab.parts.clips.contract import Clip, ClipRecord, clip, share, stateless
from gradlab.recipe.bounds import Positive


def _inner(x: Array, stacked_axes: int) -> tuple[int, ...]:
    """The axes of one layer's array."""
    return tuple(range(stacked_axes, x.ndim))


def _each(grads: Tree, found: dict[str, tuple[ScaledNorm, ScaledNorm]]) -> tuple[Tree, ClipRecord]:
    """Every group whose (length, limit) says so brought to its limit."""
    acted = {key: scaled_norms.above(*pair) for key, pair in found.items()}
    clipped = {key: scaled_norms.bring(g, *found[key], acted[key]) for key, g in grads.items()}
    return clipped, share(acted, grads)


@clip
def layer_norm(threshold: Positive) -> Clip:
    """g_l <- g_l·min(1, threshold/‖g_l‖), g_l all parameters of layer l together."""

    def rule(grads: Tree, params: Tree, stacked_axes: StackedAxes) -> tuple[Tree, ClipRecord]:
        own = {key: scaled_norms.over(g, _inner(g, stacked_axes[key])) for key, g in grads.items()}
        found = {}
        for block in dict.fromkeys(key.partition("/")[0] for key in grads):
            paths = [key for key in grads if key.partition("/")[0] == block]
            # one entry a layer of a stack, whatever the shape of the array
            flat = [ScaledNorm(*(part.reshape(-1) for part in own[key])) for key in paths]
            joint = scaled_norms.together(flat)
            for key in paths:
                length = ScaledNorm(*(part.reshape(own[key].mantissa.shape) for part in joint))
                found[key] = (length, scaled_norms.of(threshold, length))
        return _each(grads, found)

    return stateless(rule)


@clip
def tensor_norm(threshold: Positive) -> Clip:
    """g_W <- g_W·min(1, threshold/‖g_W‖) for each array W of each layer by itself.

    Keras's clipnorm and tf.clip_by_norm, which are not global; Keras's global_clipnorm is gradlab's `norm`.
    """

    def rule(grads: Tree, params: Tree, stacked_axes: StackedAxes) -> tuple[Tree, ClipRecord]:
        own = {key: scaled_norms.over(g, _inner(g, stacked_axes[key])) for key, g in grads.items()}
        return _each(
            grads, {key: (length, scaled_norms.of(threshold, length)) for key, length in own.items()}
        )

    return stateless(rule)


@clip
def block_rms(threshold: Positive) -> Clip:
    """g_W <- g_W/max(1, rms(g_W)/threshold), rms = ‖g_W‖/√size, for each array of each layer (Adafactor's).

    As optax.clip_by_block_rms, but right outside float32's range of squares.
    """

    def rule(grads: Tree, params: Tree, stacked_axes: StackedAxes) -> tuple[Tree, ClipRecord]:
        found = {}
        for key, g in grads.items():
            length = scaled_norms.over(g, _inner(g, stacked_axes[key]))
            root = scaled_norms.of(math.sqrt(math.prod(g.shape[stacked_axes[key] :])), length)
            found[key] = (length, scaled_norms.times(scaled_norms.of(threshold, length), root))
        return _each(grads, found)

    return stateless(rule)


@clip
def agc(threshold: Positive, eps: Positive) -> Clip:
    """‖g_u‖ <- at most threshold·max(‖w_u‖, eps) for each unit u (Brock et al. 2021, adaptive gradient clipping).

    A unit is what feeds one output: a column of a kernel (in, out), axes 0, 1, 2 of a convolution's (H, W, in,
    out), a vector as a whole. As optax.adaptive_grad_clip, every layer included (the paper spares the last).
    """

    def rule(grads: Tree, params: Tree, stacked_axes: StackedAxes) -> tuple[Tree, ClipRecord]:
        found = {}
        for key, g in grads.items():
            axes = _unit(g.shape, stacked_axes[key])
            length, weight = scaled_norms.over(g, axes), scaled_norms.over(params[key], axes)
            weight = scaled_norms.longer(weight, scaled_norms.of(eps, length))
            found[key] = (length, scaled_norms.times(scaled_norms.of(threshold, length), weight))
        return _each(grads, found)

    return stateless(rule)


def _unit(shape: tuple[int, ...], stacked_axes: int) -> tuple[int, ...]:
    """The axes that one output is fed over, by Optax's conventions: a kernel of three axes is (in, heads, out)."""
    inner = shape[stacked_axes:]
    if sum(size > 1 for size in inner) <= 1:
        return tuple(range(stacked_axes, len(shape)))
    return tuple(range(stacked_axes, len(shape) - 1)) if len(inner) > 3 else (stacked_axes,)
