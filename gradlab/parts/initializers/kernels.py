"""Initializers: (key, shape) -> array; σ_w² = fan_in·Var W.

Kernels are (fan_in, fan_out), or of a convolution (window…, channels in, channels out), fan_in = window·channels in.
"""

from collections.abc import Callable
from math import prod
from typing import Annotated, Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.nn import initializers as jax_initializers

from gradlab.numerics.tree import Tree
from gradlab.parts.family import Family
from gradlab.recipe.bounds import Bound, NonNegative, Number, Positive
from gradlab.recipe.errors import RecipeError

initializer = Family("initializer", "gradlab.parts.initializers")
Draw = Callable[[Array, tuple[int, ...]], Array]
# one block as a function of (parameters, input, on_linear), which may replace each kernel's W h + b
Run = Callable[[Tree, Any, Callable[[str, Array], Array]], Any]
# visits block after block with a step (run, parameters, input) -> (output, parameters); gives all parameters
Walk = Callable[[Callable[[Run, Tree, Any], tuple[Any, Tree]]], Tree]
Adjust = Callable[[Walk], Tree]
Distribution = Literal["normal", "uniform", "truncated_normal"]
Fan = Literal["fan_in", "fan_out", "fan_avg"]
Automatic = Annotated[float, Bound(float, 0, open_low=True, words=("auto",))]


def blank(key: Array, shape: tuple[int, ...]) -> Array:
    """All zero, as biases start unless an initializer says otherwise."""
    return jnp.zeros(shape)


class Initializer(NamedTuple):
    """How a block's kernels and biases are drawn; `adjust` may then change them by what it sees of a batch.

    `mirrored`: behind an activation that doubles its layer, a kernel is [W0; −W0] with W0 drawn.
    """

    kernel: Draw
    bias: Draw = blank
    adjust: Adjust | None = None
    mirrored: bool = False


def _normal(deviation: Callable[[tuple[int, ...]], Array | float]) -> Draw:
    return lambda key, shape: deviation(shape) * jax.random.normal(key, shape)


@initializer
def small_normal(std: Positive) -> Initializer:
    """W ~ N(0, std²) whatever the width: σ_w² = fan_in·std², which vanishes in narrow nets."""
    return Initializer(_normal(lambda shape: std))


@initializer
def normal(sigma_w: Positive, sigma_b: NonNegative) -> Initializer:
    """W ~ N(0, σ_w²/fan_in), b ~ N(0, σ_b²): the plane of the phase diagram (Poole et al. 2016)."""
    root = lambda shape: jnp.sqrt(prod(shape[:-1]))
    return Initializer(_normal(lambda shape: sigma_w / root(shape)), _normal(lambda shape: sigma_b))


@initializer
def critical(sigma_w: Automatic, sigma_b: NonNegative) -> Initializer:
    """`normal` at the σ_w where χ₁ = σ_w²·E φ'(√q* Z)² = 1 at this σ_b: the edge of chaos (Schoenholz et al. 2017).

    `auto` is computed from the activation before the run, and stands in its recipe as a number. It holds for
    the plain network, without normalization and residual connection.
    """
    return normal(sigma_w, sigma_b)


@initializer
def uniform(scale: Positive) -> Initializer:
    """W ~ U(−scale, scale) whatever the width: Var W = scale²/3. PyTorch's Linear has scale = 1/√fan_in."""
    return Initializer(lambda key, shape: jax.random.uniform(key, shape, minval=-scale, maxval=scale))


@initializer
def truncated_normal(std: Positive) -> Initializer:
    """N(0, std²) cut at two deviations and not rescaled: Var W = 0.7737·std², as JAX's and Keras's of this name.

    PyTorch's `trunc_normal_` does not rescale either, but cuts at −2 and 2 whatever its std is.
    """
    return Initializer(lambda key, shape: std * jax.random.truncated_normal(key, -2.0, 2.0, shape))


@initializer
def constant(value: Number) -> Initializer:
    """W = value everywhere: the units of a layer stay copies of each other, so that width counts for nothing."""
    return Initializer(lambda key, shape: jnp.full(shape, value))


@initializer
def zeros() -> Initializer:
    """W = 0: no signal passes and, but for the output's bias, no gradient; training never starts."""
    return Initializer(blank)


@initializer
def identity(gain: Positive) -> Initializer:
    """gain on the diagonal, 0 elsewhere (rectangular: the first units; Le et al. 2015): no randomness.

    Of a convolution the middle place of the window has it.
    """
    return Initializer(lambda key, shape: gain * _centred(shape, jnp.eye(shape[-2], shape[-1])))


@initializer
def article_xavier() -> Initializer:
    """W ~ N(0, fan_in/fan_out): a formula that articles print for Xavier's, and a counter-example.

    σ_w² = fan_in²/fan_out, the width itself for square layers, where Glorot & Bengio have 1: it explodes.
    """
    return Initializer(_normal(lambda shape: (shape[-2] / shape[-1]) ** 0.5))


def _centred(shape: tuple[int, ...], matrix: Array) -> Array:
    """A kernel that is `matrix` in the middle of its window and zero elsewhere."""
    middle = tuple((k - 1) // 2 for k in shape[:-2])
    return jnp.zeros(shape, matrix.dtype).at[middle].set(matrix) if middle else matrix


def _scaled(variance: Array | float, fan: Fan, distribution: Distribution) -> Initializer:
    draw = jax_initializers.variance_scaling(variance, fan, distribution)
    return Initializer(lambda key, shape: draw(key, shape))


@initializer
def xavier(distribution: Distribution, gain: Positive) -> Initializer:
    """Var W = gain²·2/(fan_in + fan_out) (Glorot & Bengio 2010): σ_w² = gain² for square layers.

    The truncated normal is cut at two deviations of its parent and rescaled so that its variance is exact, as
    in JAX and Keras; PyTorch has none. `gain` is PyTorch's, 5/3 for tanh there.
    """
    return _scaled(gain**2, "fan_avg", distribution)


@initializer
def he(distribution: Distribution, mode: Literal["fan_in", "fan_out"], slope: NonNegative) -> Initializer:
    """Var W = 2/((1 + slope²)·fan) (He et al. 2015), `slope` that of leaky_relu's negative side.

    fan_in keeps E h² through ReLU layers, fan_out the gradient's; square layers do not tell them apart.
    PyTorch's `kaiming_uniform_` has the same slope as `a`, but its Linear asks for a = √5: Var W = 1/(3·fan_in).
    """
    return _scaled(2 / (1 + slope**2), mode, distribution)


@initializer
def lecun(distribution: Distribution) -> Initializer:
    """Var W = 1/fan_in (LeCun et al. 1998), Flax's default."""
    return _scaled(1.0, "fan_in", distribution)


@initializer
def orthogonal(gain: Positive) -> Initializer:
    """gain times a random orthogonal matrix (rows or columns orthonormal where not square; Saxe et al. 2013).

    A convolution's kernel is the matrix fan_in × fan_out of its patches: `delta_orthogonal` keeps the image's norm.
    """
    draw = jax_initializers.orthogonal()
    return Initializer(lambda key, shape: gain * draw(key, shape))


@initializer
def looks_linear(gain: Positive) -> Initializer:
    """[W0; −W0] behind activation=crelu, W0 = gain times orthogonal (Balduzzi et al. 2017).

    W0ᵀ·max(z, 0) − W0ᵀ·max(−z, 0) = W0ᵀz: the network is exactly linear at the start, and an isometry.
    """
    return orthogonal(gain)._replace(mirrored=True)


@initializer
def delta_orthogonal(sigma_w: Positive, sigma_b: NonNegative) -> Initializer:
    """σ_w times a random orthogonal matrix in the middle of the window, zeros around it (Xiao et al. 2018).

    A circular convolution with σ_w = 1 is an isometry of the whole image. It needs at least as many channels out as
    in; kernels of dense layers are σ_w times orthogonal. b ~ N(0, σ_b²).
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
