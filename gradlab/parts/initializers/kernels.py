"""Initializers: (key, shape) -> array; σ_w² = fan_in·Var W.

Kernels are (fan_in, fan_out), or of a convolution (window…, channels in, channels out), fan_in = window·channels in.
"""

from collections.abc import Callable
from math import prod
from typing import Annotated, Literal

import jax
import jax.numpy as jnp
from jax import Array
from jax.nn import initializers as jax_initializers

from gradlab.parts.initializers.contract import Draw, Initializer, initializer, zero
from gradlab.recipe.bounds import Bound, NonNegative, Number, Positive
from gradlab.recipe.errors import RecipeError

Distribution = Literal["normal", "uniform", "truncated_normal"]
Fan = Literal["fan_in", "fan_out", "fan_avg"]
Edge = Annotated[float, Bound(float, words=("auto",))]
Automatic = Annotated[float, Bound(float, 0, open_low=True, words=("auto",))]


def _normal(deviation: Callable[[tuple[int, ...]], Array | float]) -> Draw:
    """Draws from N(0, deviation(shape)²)."""
    return lambda key, shape: deviation(shape) * jax.random.normal(key, shape)


@initializer
def small_normal(std: Positive) -> Initializer:
    """W ~ N(0, std²) at any width: σ_w² = fan_in·std², so that signals vanish in narrow networks."""
    return Initializer(_normal(lambda shape: std))


@initializer
def normal(sigma_w: Positive, sigma_b: NonNegative) -> Initializer:
    """W ~ N(0, σ_w²/fan_in), b ~ N(0, σ_b²): the two axes of the phase diagram (Poole et al. 2016)."""
    kernel = _normal(lambda shape: sigma_w / jnp.sqrt(prod(shape[:-1])))
    return Initializer(kernel, _normal(lambda shape: sigma_b))


@initializer
def critical(sigma_w: Automatic, sigma_b: NonNegative) -> Initializer:
    """`normal` at the σ_w where χ₁ = σ_w²·E φ'(√q* Z)² = 1 at this σ_b: the edge of chaos (Schoenholz et al. 2017).

    `auto` is computed from the activation before the run and stored in the recipe as a number. It holds for the plain
    network, without normalization and residual connection.
    """
    return normal(sigma_w, sigma_b)


def _check_limits(scale: float, low: float | str, high: float | str) -> None:
    """Refuse half an interval, and an empty one.

    Raises:
        RecipeError: only one of low and high is a number, or low is not below high.
    """
    limits = f"initializer.low={low} and initializer.high={high}"
    if isinstance(low, str) != isinstance(high, str):
        raise RecipeError(f"{limits}: give both, or neither for −scale and scale")
    if not isinstance(low, str) and not isinstance(high, str) and low >= high:
        raise RecipeError(f"{limits}: low must be below high")


@initializer.checked(_check_limits)
def uniform(scale: Positive, low: Edge, high: Edge) -> Initializer:
    """W ~ U(low, high) at any width: Var W = (high − low)²/12, mean (low + high)/2.

    `auto` is −scale and scale: Var W = scale²/3. PyTorch's Linear has scale = 1/√fan_in.
    """
    lowest = -scale if isinstance(low, str) else low
    highest = scale if isinstance(high, str) else high
    return Initializer(lambda key, shape: jax.random.uniform(key, shape, minval=lowest, maxval=highest))


@initializer
def truncated_normal(std: Positive) -> Initializer:
    """N(0, std²) truncated at two standard deviations, not rescaled: Var W = 0.7737·std², as in JAX and Keras.

    PyTorch's `trunc_normal_` does not rescale either, but truncates at −2 and 2 for every std.
    """
    return Initializer(lambda key, shape: std * jax.random.truncated_normal(key, -2.0, 2.0, shape))


@initializer
def constant(value: Number) -> Initializer:
    """W = value everywhere: the units of a layer stay equal during training, so that the width has no effect."""
    return Initializer(lambda key, shape: jnp.full(shape, value))


@initializer
def zeros() -> Initializer:
    """W = 0: no signal passes, and no gradient.

    Where φ(0) = 0 (tanh, relu) only the output's bias has a gradient, and no kernel ever moves. Where φ(0) ≠ 0
    (sigmoid, softplus) training starts at the output layer, and all units of a layer stay equal.
    """
    return Initializer(zero)


@initializer
def identity(gain: Positive) -> Initializer:
    """gain on the diagonal, 0 elsewhere (rectangular: the first units; Le et al. 2015): nothing is random.

    In a convolution this matrix stands at the middle position of the window.
    """
    return Initializer(lambda key, shape: gain * _centred(shape, jnp.eye(shape[-2], shape[-1])))


@initializer
def article_xavier() -> Initializer:
    """W ~ N(0, fan_in/fan_out): a formula that articles print for Xavier's initializer; it is wrong.

    σ_w² = fan_in²/fan_out is the width for square layers, where Glorot & Bengio have 1: the gradient explodes.
    """
    return Initializer(_normal(lambda shape: (shape[-2] / shape[-1]) ** 0.5))


def _centred(shape: tuple[int, ...], matrix: Array) -> Array:
    """A kernel that is `matrix` (channels in, channels out) at the middle of its window and zero elsewhere."""
    middle = tuple((k - 1) // 2 for k in shape[:-2])
    return jnp.zeros(shape, matrix.dtype).at[middle].set(matrix) if middle else matrix


def _scaled(variance: Array | float, fan: Fan, distribution: Distribution) -> Initializer:
    draw = jax_initializers.variance_scaling(variance, fan, distribution)
    return Initializer(lambda key, shape: draw(key, shape))


@initializer
def xavier(distribution: Distribution, gain: Positive) -> Initializer:
    """Var W = gain²·2/(fan_in + fan_out) (Glorot & Bengio 2010): σ_w² = gain² for square layers.

    The truncated normal is truncated at two standard deviations and rescaled to the exact variance, as in JAX and
    Keras; PyTorch has none. `gain` is that of PyTorch, which takes 5/3 for tanh.
    """
    return _scaled(gain**2, "fan_avg", distribution)


@initializer
def he(distribution: Distribution, mode: Literal["fan_in", "fan_out"], slope: NonNegative) -> Initializer:
    """Var W = 2/((1 + slope²)·fan) (He et al. 2015), `slope` is that of leaky_relu for z < 0.

    fan_in keeps E h² constant through ReLU layers, fan_out the squared gradient; for square layers they are equal.
    PyTorch's `kaiming_uniform_` calls the slope `a`; its Linear uses a = √5: Var W = 1/(3·fan_in).
    """
    return _scaled(2 / (1 + slope**2), mode, distribution)


@initializer
def lecun(distribution: Distribution) -> Initializer:
    """Var W = 1/fan_in (LeCun et al. 1998), Flax's default."""
    return _scaled(1.0, "fan_in", distribution)


@initializer
def orthogonal(gain: Positive) -> Initializer:
    """gain times a random orthogonal matrix (rows or columns orthonormal where not square; Saxe et al. 2013).

    A convolution's kernel is treated as its matrix fan_in × fan_out; use `delta_orthogonal` to keep an image's norm.
    """
    draw = jax_initializers.orthogonal()
    return Initializer(lambda key, shape: gain * draw(key, shape))


@initializer
def looks_linear(gain: Positive) -> Initializer:
    """[W0; −W0] after activation=crelu, W0 = gain times orthogonal (Balduzzi et al. 2017).

    W0ᵀ·max(z, 0) − W0ᵀ·max(−z, 0) = W0ᵀz: the network is exactly linear at the start, and for gain 1 an isometry.
    """
    return orthogonal(gain)._replace(mirrored=True)


@initializer
def delta_orthogonal(sigma_w: Positive, sigma_b: NonNegative) -> Initializer:
    """σ_w times a random orthogonal matrix at the middle position of the window, zeros elsewhere (Xiao et al. 2018).

    A circular convolution with σ_w = 1 is an isometry of the whole image. It needs at least as many channels out as in;
    kernels of dense layers are σ_w times orthogonal. b ~ N(0, σ_b²).

    Its `kernel` raises RecipeError for a convolution with fewer channels out than in.
    """
    draw = jax_initializers.delta_orthogonal()

    def kernel(key: Array, shape: tuple[int, ...]) -> Array:
        if len(shape) == 2:
            return orthogonal(sigma_w).kernel(key, shape)
        if shape[-1] < shape[-2]:
            raise RecipeError(
                "initializer=delta_orthogonal needs as many channels out of a convolution as go in, or more; "
                f"one here takes {shape[-2]} to {shape[-1]}"
            )
        return sigma_w * draw(key, shape)

    return Initializer(kernel, _normal(lambda shape: sigma_b))
