"""Clips whose threshold follows the norms of the run so far. A norm that is not finite is not remembered.

A norm is kept as fraction and exponent, exactly: the rules are the same at 1e-30 and at 1e30.
"""

from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from gradlab.numerics import norms
from gradlab.numerics.norms import ScaledNorm
from gradlab.numerics.tree import StackedAxes, Tree, select
from gradlab.parts.clips import scaled_norms
from gradlab.parts.clips.contract import Clip, ClipRecord, clip
from gradlab.parts.clips.whole_gradient import global_norm, rescale_all
from gradlab.recipe.bounds import Bound, Count, Flag, Fraction, NonNegative, Positive, Size

Percent = Annotated[float, Bound(float, 0, 100)]
LOWEST, HIGHEST = -1e4, 1e4  # below and above every exponent that a norm can have


class NormHistory(NamedTuple):
    """A ring of norms, fractions and exponents of shape (size,), and how many norms it has taken so far, ()."""

    fractions: Array
    exponents: Array
    taken: Array


def _empty(params: Tree, size: int) -> NormHistory:
    dtype = jnp.result_type(jnp.float32, *params.values())
    return NormHistory(jnp.zeros(size, dtype), jnp.full(size, HIGHEST, dtype), jnp.zeros((), jnp.int32))


def _append(past: NormHistory, norm: ScaledNorm, condition: Array) -> NormHistory:
    """The history with this norm in the place of the oldest one, where `condition`."""
    oldest = past.taken % past.fractions.size
    exponent = jnp.where(norm.mantissa == 0, LOWEST, norm.exponent)
    after = NormHistory(
        fractions=past.fractions.at[oldest].set(norm.mantissa),
        exponents=past.exponents.at[oldest].set(exponent),
        taken=past.taken + 1,
    )
    return select(condition, after, past)


@clip
def autoclip(percentile: Percent, window: Size) -> Clip:
    """threshold = this percentile of the last `window` norms ‖g‖, the present one included; else as `norm`.

    AutoClip (Seetharaman et al. 2020), whose window is the whole run; interpolation as np.percentile's. The first
    step is its own threshold and passes.
    """

    def apply(
        grads: Tree, past: NormHistory, params: Tree, stacked_axes: StackedAxes
    ) -> tuple[Tree, NormHistory, ClipRecord]:
        grad_norm = global_norm(grads, stacked_axes)
        past = _append(past, grad_norm, jnp.isfinite(grad_norm.mantissa))
        limit = _percentile(past, percentile)
        # a limit of 0, where all norms before were 0, must not make this gradient 0 too
        acts = scaled_norms.exceeds(grad_norm, limit) & (limit.mantissa > 0)
        clipped, record = rescale_all(grads, grad_norm, limit, acts)
        return clipped, past, record

    return Clip(lambda params: _empty(params, window), apply)


def _percentile(past: NormHistory, percentile: Array | float) -> ScaledNorm:
    """a + w·(b − a) between two neighbours a, b of the sorted norms, in units of b's power of two."""
    exponents, fractions = jax.lax.sort((past.exponents, past.fractions), num_keys=2)
    count = jnp.minimum(past.taken, past.fractions.size)
    position = (count - 1).astype(fractions.dtype) * jnp.asarray(percentile, fractions.dtype) / 100
    low = jnp.clip(jnp.floor(position).astype(jnp.int32), 0, jnp.maximum(count - 1, 0))
    high = jnp.minimum(low + 1, jnp.maximum(count - 1, 0))
    a, b = (ScaledNorm(fractions[index], exponents[index]) for index in (low, high))
    a_in_units_of_b = norms.scale(a.mantissa, a.exponent - b.exponent)
    value = a_in_units_of_b + (position - low) * (b.mantissa - a_in_units_of_b)
    return scaled_norms.normalized(ScaledNorm(value, jnp.where(value == 0, 0.0, b.exponent)))


class NormStatistics(NamedTuple):
    """Mean and variance of the norms, in units of 2^exponent and 4^exponent; `past` holds the warm-up's norms."""

    past: NormHistory
    mean: Array
    variance: Array
    exponent: Array


@clip
def zscore(
    threshold: Positive, alpha: Fraction, warmup: Size, eps: NonNegative, skip: Flag, patience: Count
) -> Clip:
    """z = (‖g‖ − μ)/(σ + eps); where z > threshold, ‖g‖ <- μ + threshold²·σ/z: the larger z, the smaller the norm.

    ZClip (Kumar et al. 2025) without its fixed maximum: μ, σ² of the first `warmup` norms, which pass; then
    μ <- alpha·μ + (1 − alpha)·new with the norm after the clip, and σ² alike with (new − μ)². With `skip` such
    a step is dropped, and any that is not finite; if the norms rise and stay high, it drops every step from then on,
    until `patience` of them in a row end the run (0: never).
    """

    def init(params: Tree) -> NormStatistics:
        past = _empty(params, warmup)
        return NormStatistics(past, *(jnp.zeros((), past.fractions.dtype) for _ in range(3)))

    def apply(
        grads: Tree, state: NormStatistics, params: Tree, stacked_axes: StackedAxes
    ) -> tuple[Tree, NormStatistics, ClipRecord]:
        grad_norm = global_norm(grads, stacked_axes)
        finite, ready = jnp.isfinite(grad_norm.mantissa), state.past.taken >= warmup
        unit = jnp.where(state.mean > 0, state.exponent, grad_norm.exponent)
        value = norms.scale(grad_norm.mantissa, grad_norm.exponent - unit)
        sigma = jnp.sqrt(state.variance)
        z = (value - state.mean) / (sigma + norms.scale(jnp.asarray(eps, value.dtype), -unit))
        # where all norms before were 0, so is the mean, and every gradient would be made 0
        acts = ready & finite & (z > threshold) & (state.mean > 0)
        target = jnp.where(acts, state.mean + threshold * threshold * sigma / z, value)
        running = _updated(state._replace(exponent=unit), target, alpha)
        warming_up = _statistics(_append(state.past, grad_norm, finite & ~ready))
        after = select(ready, select(finite, running, state), warming_up)
        if skip:
            dropped = acts | ~finite
            return grads, after, {"clipped": dropped.astype(jnp.float32), "skip": dropped}
        limit = scaled_norms.normalized(ScaledNorm(target, unit))
        clipped, record = rescale_all(grads, grad_norm, limit, acts)
        return clipped, after, record

    return Clip(init, apply)


def _statistics(past: NormHistory) -> NormStatistics:
    """Mean and variance of the norms of the warm-up."""
    nonzero = past.fractions > 0
    unit = jnp.max(jnp.where(nonzero, past.exponents, LOWEST))
    values = jnp.where(nonzero, norms.scale(past.fractions, past.exponents - unit), 0.0)
    return _in_units_of_mean(past, jnp.mean(values), jnp.var(values), unit)


def _updated(state: NormStatistics, new: Array, alpha: Array | float) -> NormStatistics:
    """Both running averages with one more norm, `new`, in units of 2^exponent."""
    keep = jnp.asarray(alpha, new.dtype)
    mean = keep * state.mean + (1 - keep) * new
    variance = keep * state.variance + (1 - keep) * (new - mean) ** 2
    return _in_units_of_mean(state.past, mean, variance, state.exponent)


def _in_units_of_mean(past: NormHistory, mean: Array, variance: Array, unit: Array) -> NormStatistics:
    """The statistics, given in units of 2^unit, in units of the mean's own power of two."""
    fraction, shift = jnp.frexp(mean)
    shift = shift.astype(mean.dtype)
    return NormStatistics(past, fraction, norms.scale(variance, -2 * shift), unit + shift)
