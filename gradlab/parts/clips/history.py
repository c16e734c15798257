"""Clips whose threshold follows the norms of the run so far. A norm that is not finite is not remembered.

A norm is kept as fraction and exponent, exactly: the rules are the same at 1e-30 and at 1e30.
"""

from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from gradlab.numerics import norms
from gradlab.numerics.norms import ScaledNorm
from gradlab.numerics.tree import StackedAxes, Tree
from gradlab.parts.clips import scaled_norms
from gradlab.parts.clips.contract import Clip, ClipRecord, clip
from gradlab.parts.clips.whole_gradient import bring_all, global_norm
from gradlab.recipe.bounds import Bound, Flag, Fraction, NonNegative, Positive, Size

Percent = Annotated[float, Bound(float, 0, 100)]
LOWEST, HIGHEST = -1e4, 1e4  # exponents before and after all that a norm can have


class Past(NamedTuple):
    """A ring of norms, and how many were put in."""

    fractions: Array
    exponents: Array
    taken: Array


def _empty(params: Tree, size: int) -> Past:
    dtype = jnp.result_type(jnp.float32, *params.values())
    return Past(jnp.zeros(size, dtype), jnp.full(size, HIGHEST, dtype), jnp.zeros((), jnp.int32))


def _remember(past: Past, length: ScaledNorm, wanted: Array) -> Past:
    """One norm more in the place of the oldest, where `wanted`."""
    at = past.taken % past.fractions.size
    exponent = jnp.where(length.mantissa == 0, LOWEST, length.exponent)
    after = Past(
        past.fractions.at[at].set(length.mantissa), past.exponents.at[at].set(exponent), past.taken + 1
    )
    return jax.tree.map(lambda new, old: jnp.where(wanted, new, old), after, past)


@clip
def autoclip(percentile: Percent, window: Size) -> Clip:
    """threshold = this percentile of the last `window` norms ‖g‖, the present one included; else as `norm`.

    AutoClip (Seetharaman et al. 2020), whose window is the whole run; interpolation as np.percentile's. The first
    step is its own threshold and passes.
    """

    def apply(
        grads: Tree, past: Past, params: Tree, stacked_axes: StackedAxes
    ) -> tuple[Tree, Past, ClipRecord]:
        length = global_norm(grads, stacked_axes)
        past = _remember(past, length, jnp.isfinite(length.mantissa))
        limit = _percentile(past, percentile)
        acts = scaled_norms.above(length, limit) & (limit.mantissa > 0)  # zeros of the past do not make more
        clipped, record = bring_all(grads, length, limit, acts)
        return clipped, past, record

    return Clip(lambda params: _empty(params, window), apply)


def _percentile(past: Past, percentile: Array | float) -> ScaledNorm:
    """a + part·(b − a) between two neighbours of the sorted norms, in units of b's power of two."""
    exponents, fractions = jax.lax.sort((past.exponents, past.fractions), num_keys=2)
    known = jnp.minimum(past.taken, past.fractions.size)
    place = (known - 1).astype(fractions.dtype) * jnp.asarray(percentile, fractions.dtype) / 100
    low = jnp.clip(jnp.floor(place).astype(jnp.int32), 0, jnp.maximum(known - 1, 0))
    high = jnp.minimum(low + 1, jnp.maximum(known - 1, 0))
    a, b = (ScaledNorm(fractions[i], exponents[i]) for i in (low, high))
    below = norms.scale(a.mantissa, a.exponent - b.exponent)
    value = below + (place - low) * (b.mantissa - below)
    return scaled_norms.normal(ScaledNorm(value, jnp.where(value == 0, 0.0, b.exponent)))


class Spread(NamedTuple):
    """Mean and variance of the norms, in units of 2^exponent and 4^exponent; `past` is the warm-up's."""

    past: Past
    mean: Array
    variance: Array
    exponent: Array


@clip
def zscore(threshold: Positive, alpha: Fraction, warmup: Size, eps: NonNegative, skip: Flag) -> Clip:
    """z = (‖g‖ − μ)/(σ + eps); where z > threshold, ‖g‖ <- μ + threshold²·σ/z: the farther out, the shorter.

    ZClip (Kumar et al. 2025) without its fixed maximum: μ, σ² of the first `warmup` norms, which pass; then
    μ <- alpha·μ + (1 − alpha)·new with the norm after the clip, and σ² alike with (new − μ)². With `skip` such
    a step is dropped, and any that is not finite; after a rise that stays it would drop for ever.
    """

    def init(params: Tree) -> Spread:
        past = _empty(params, warmup)
        return Spread(past, *(jnp.zeros((), past.fractions.dtype) for _ in range(3)))

    def apply(
        grads: Tree, state: Spread, params: Tree, stacked_axes: StackedAxes
    ) -> tuple[Tree, Spread, ClipRecord]:
        length = global_norm(grads, stacked_axes)
        finite, ready = jnp.isfinite(length.mantissa), state.past.taken >= warmup
        unit = jnp.where(state.mean > 0, state.exponent, length.exponent)
        here = norms.scale(length.mantissa, length.exponent - unit)
        sigma = jnp.sqrt(state.variance)
        z = (here - state.mean) / (sigma + norms.scale(jnp.asarray(eps, here.dtype), -unit))
        # a mean of nothing but zeros is no measure: by it every gradient would become one
        acts = ready & finite & (z > threshold) & (state.mean > 0)
        target = jnp.where(acts, state.mean + threshold * threshold * sigma / z, here)
        followed = _follow(state._replace(exponent=unit), target, alpha)
        begun = _begin(_remember(state.past, length, finite & ~ready))
        after = _choose(ready, _choose(finite, followed, state), begun)
        if skip:
            dropped = acts | ~finite
            return grads, after, {"clipped": dropped.astype(jnp.float32), "skip": dropped}
        clipped, record = bring_all(grads, length, scaled_norms.normal(ScaledNorm(target, unit)), acts)
        return clipped, after, record

    return Clip(init, apply)


def _choose(first: Array, one: Spread, two: Spread) -> Spread:
    return jax.tree.map(lambda a, b: jnp.where(first, a, b), one, two)


def _begin(past: Past) -> Spread:
    """Mean and variance of the norms of the warm-up."""
    there = past.fractions > 0
    unit = jnp.max(jnp.where(there, past.exponents, LOWEST))
    seen = jnp.where(there, norms.scale(past.fractions, past.exponents - unit), 0.0)
    return _fit(past, jnp.mean(seen), jnp.var(seen), unit)


def _follow(state: Spread, new: Array, alpha: Array | float) -> Spread:
    """Both averages one norm further."""
    keep = jnp.asarray(alpha, new.dtype)
    mean = keep * state.mean + (1 - keep) * new
    variance = keep * state.variance + (1 - keep) * (new - mean) ** 2
    return _fit(state.past, mean, variance, state.exponent)


def _fit(past: Past, mean: Array, variance: Array, unit: Array) -> Spread:
    """In units of the mean's own power of two."""
    fraction, shift = jnp.frexp(mean)
    shift = shift.astype(mean.dtype)
    return Spread(past, fraction, norms.scale(variance, -2 * shift), unit + shift)
