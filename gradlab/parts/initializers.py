"""Initializers: (key, shape) -> array. Kernels are (fan_in, fan_out); σ_w² = fan_in·Var W."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.nn import initializers as jax_initializers

from gradlab.bounds import NonNegative, Positive
from gradlab.parts.family import Family

initializer = Family("initializer")
Draw = Callable[[Array, tuple[int, ...]], Array]
Adjust = Callable[
    [Any, dict[str, Array], dict[str, Array], Array], dict[str, Array]
]  # chain, params, stats, x
Distribution = Literal["normal", "uniform", "truncated_normal"]


def zeros(key: Array, shape: tuple[int, ...]) -> Array:
    """All zero, as biases start unless an initializer says otherwise."""
    return jnp.zeros(shape)


class Initializer(NamedTuple):
    """How a block's kernels and biases are drawn; `adjust` may then change them by what it sees of a batch."""

    kernel: Draw
    bias: Draw = zeros
    adjust: Adjust | None = None


def _normal(deviation: Callable[[tuple[int, ...]], Array | float]) -> Draw:
    return lambda key, shape: deviation(shape) * jax.random.normal(key, shape)


@initializer
def small_normal(std: Positive) -> Initializer:
    """W ~ N(0, std²) whatever the width: σ_w² = fan_in·std², which vanishes in narrow nets."""
    return Initializer(_normal(lambda shape: std))


@initializer
def normal(sigma_w: Positive, sigma_b: NonNegative) -> Initializer:
    """W ~ N(0, σ_w²/fan_in), b ~ N(0, σ_b²): the plane of the phase diagram (Poole et al. 2016)."""
    return Initializer(_normal(lambda shape: sigma_w / jnp.sqrt(shape[-2])), _normal(lambda shape: sigma_b))


def _scaled(variance: float, fan: Literal["fan_in", "fan_avg"], distribution: Distribution) -> Initializer:
    draw = jax_initializers.variance_scaling(variance, fan, distribution)
    return Initializer(lambda key, shape: draw(key, shape))


@initializer
def xavier(distribution: Distribution) -> Initializer:
    """Var W = 2/(fan_in + fan_out) (Glorot & Bengio 2010): σ_w² = 1 for square layers.

    The truncated normal is rescaled so that its variance is exact, as in JAX; PyTorch's has no such factor.
    """
    return _scaled(1.0, "fan_avg", distribution)


@initializer
def he(distribution: Distribution) -> Initializer:
    """Var W = 2/fan_in (He et al. 2015): keeps E h² through ReLU layers."""
    return _scaled(2.0, "fan_in", distribution)


@initializer
def lecun(distribution: Distribution) -> Initializer:
    """Var W = 1/fan_in (LeCun et al. 1998), Flax's default."""
    return _scaled(1.0, "fan_in", distribution)


@initializer
def orthogonal(gain: Positive) -> Initializer:
    """gain times a random orthogonal matrix (rows or columns orthonormal where not square; Saxe et al. 2013)."""
    draw = jax_initializers.orthogonal()
    return Initializer(lambda key, shape: gain * draw(key, shape))
