"""Clips by group: layer by layer, array by array, unit by unit. A group that is not finite passes as it is."""

import math

from jax import Array

from gradlab.bounds import Positive
from gradlab.numerics import Length
from gradlab.parts.clips import lengths
from gradlab.parts.clips.rule import Clip, Lead, Record, Tree, clip, share, stateless


def _inner(x: Array, lead: int) -> tuple[int, ...]:
    """The axes of one layer's array."""
    return tuple(range(lead, x.ndim))


def _each(grads: Tree, found: dict[str, tuple[Length, Length]]) -> tuple[Tree, Record]:
    """Every group whose (length, limit) says so brought to its limit."""
    acted = {key: lengths.above(*pair) for key, pair in found.items()}
    clipped = {key: lengths.bring(g, *found[key], acted[key]) for key, g in grads.items()}
    return clipped, share(acted, grads)


@clip
def layer_norm(threshold: Positive) -> Clip:
    """g_l <- g_l·min(1, threshold/‖g_l‖), g_l all parameters of layer l together."""

    def rule(grads: Tree, params: Tree, lead: Lead) -> tuple[Tree, Record]:
        own = {key: lengths.over(g, _inner(g, lead[key])) for key, g in grads.items()}
        found = {}
        for block in dict.fromkeys(key.partition("/")[0] for key in grads):
            paths = [key for key in grads if key.partition("/")[0] == block]
            # one entry a layer of a stack, whatever the shape of the array
            flat = [Length(*(part.reshape(-1) for part in own[key])) for key in paths]
            joint = lengths.together(flat)
            for key in paths:
                length = Length(*(part.reshape(own[key].fraction.shape) for part in joint))
                found[key] = (length, lengths.of(threshold, length))
        return _each(grads, found)

    return stateless(rule)


@clip
def tensor_norm(threshold: Positive) -> Clip:
    """g_W <- g_W·min(1, threshold/‖g_W‖) for each array W of each layer by itself.

    Keras's clipnorm and tf.clip_by_norm, which are not global; Keras's global_clipnorm is gradlab's `norm`.
    """

    def rule(grads: Tree, params: Tree, lead: Lead) -> tuple[Tree, Record]:
        own = {key: lengths.over(g, _inner(g, lead[key])) for key, g in grads.items()}
        return _each(grads, {key: (length, lengths.of(threshold, length)) for key, length in own.items()})

    return stateless(rule)


@clip
def block_rms(threshold: Positive) -> Clip:
    """g_W <- g_W/max(1, rms(g_W)/threshold), rms = ‖g_W‖/√size, for each array of each layer (Adafactor's).

    As optax.clip_by_block_rms, but right outside float32's range of squares.
    """

    def rule(grads: Tree, params: Tree, lead: Lead) -> tuple[Tree, Record]:
        found = {}
        for key, g in grads.items():
            length = lengths.over(g, _inner(g, lead[key]))
            root = lengths.of(math.sqrt(math.prod(g.shape[lead[key] :])), length)
            found[key] = (length, lengths.times(lengths.of(threshold, length), root))
        return _each(grads, found)

    return stateless(rule)


@clip
def agc(threshold: Positive, eps: Positive) -> Clip:
    """‖g_u‖ <- at most threshold·max(‖w_u‖, eps) for each unit u (Brock et al. 2021, adaptive gradient clipping).

    A unit is what feeds one output: a column of a kernel (in, out), axes 0, 1, 2 of a convolution's (H, W, in,
    out), a vector as a whole. As optax.adaptive_grad_clip, every layer included (the paper spares the last).
    """

    def rule(grads: Tree, params: Tree, lead: Lead) -> tuple[Tree, Record]:
        found = {}
        for key, g in grads.items():
            axes = _unit(g.shape, lead[key])
            length, weight = lengths.over(g, axes), lengths.over(params[key], axes)
            weight = lengths.longer(weight, lengths.of(eps, length))
            found[key] = (length, lengths.times(lengths.of(threshold, length), weight))
        return _each(grads, found)

    return stateless(rule)


def _unit(shape: tuple[int, ...], lead: int) -> tuple[int, ...]:
    """The axes that one output is fed over, by Optax's conventions: a kernel of three axes is (in, heads, out)."""
    inner = shape[lead:]
    if sum(size > 1 for size in inner) <= 1:
        return tuple(range(lead, len(shape)))
    return tuple(range(lead, len(shape) - 1)) if len(inner) > 3 else (lead,)
