"""Normalizations: of the signal of a layer, before or after its activation, or of its kernel.

The output block has none.
"""

from collections.abc import Callable
from math import prod
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from gradlab.numerics import norms
from gradlab.parts.family import Family
from gradlab.recipe.bounds import Fraction, Positive, Size
from gradlab.recipe.errors import RecipeError

normalization = Family("normalization")
Place = Literal["before", "after"]


class Normalization(NamedTuple):
    """What is normalized, and the module that does it.

    place: "before" or "after" the activation, "kernel", or "none".
    make: (width, compute dtype) -> a module; of a signal it maps (examples, …, width) to the same shape. A module of
    kernels is a KernelNorm.
    """

    place: str
    make: Callable[[int, jnp.dtype], nnx.Module] | None


class _NoRandomKeys:
    """Replaces `nnx.Rngs` where a module draws nothing at random: real keys cost trace time."""

    def params(self) -> None:
        """No key."""


NO_RANDOM_KEYS: Any = _NoRandomKeys()


def _module(layer_type: Callable[..., Any], width: int, dtype: jnp.dtype, **options: Any) -> Any:
    """A layer that computes in `dtype`; its parameters are float32, or float64 where `dtype` is."""
    wide = jnp.promote_types(dtype, jnp.float32)
    return layer_type(width, dtype=dtype, param_dtype=wide, rngs=NO_RANDOM_KEYS, **options)


def _wide_averages(norm: nnx.BatchNorm) -> nnx.BatchNorm:
    """`norm` with running averages in the dtype of its parameters; Flax always keeps them in float32."""
    shape, dtype = (norm.num_features,), norm.param_dtype
    norm.mean, norm.var = nnx.BatchStat(jnp.zeros(shape, dtype)), nnx.BatchStat(jnp.ones(shape, dtype))
    return norm


@normalization
def none() -> Normalization:
    """No normalization."""
    return Normalization("none", None)


@normalization
def batch(place: Place, momentum: Fraction, epsilon: Positive) -> Normalization:
    """y = γ(z − μ_B)/√(σ_B² + ε) + β over the batch (Ioffe & Szegedy 2015); evaluation uses running averages.

    A channel of an image is one unit: its mean is over the batch and all positions.
    In a plain network the squared gradient grows by E φ'²/Var φ per layer, π/(π − 1) for ReLU (Yang et al. 2019).
    `momentum` is the fraction of their old value that the running averages keep, as in Flax (PyTorch's momentum is
    1 − this); they average σ_B² over B, as Flax does, where PyTorch averages Bσ_B²/(B − 1).
    """
    return Normalization(
        place,
        lambda width, dtype: _wide_averages(
            _module(nnx.BatchNorm, width, dtype, momentum=momentum, epsilon=epsilon, use_fast_variance=False)
        ),
    )


@normalization
def layer(place: Place, epsilon: Positive) -> Normalization:
    """y = γ(z − mean z)/√(var z + ε) + β over an example's units (Ba et al. 2016), of an image at each position.

    Placed before a ReLU it keeps the size of the squared gradient; placed after, that grows by 1.467 per layer.
    """
    return Normalization(
        place,
        lambda width, dtype: _module(nnx.LayerNorm, width, dtype, epsilon=epsilon, use_fast_variance=False),
    )


@normalization
def rms(place: Place, epsilon: Positive) -> Normalization:
    """y = γz/√(mean z² + ε) over an example's units (Zhang & Sennrich 2019), of an image at each position."""
    return Normalization(place, lambda width, dtype: _module(nnx.RMSNorm, width, dtype, epsilon=epsilon))


@normalization
def group(place: Place, groups: Size, epsilon: Positive) -> Normalization:
    """Layer normalization of each of `groups` equal groups of units (Wu & He 2018); 1 group is `layer`.

    A group of channels of an image is normalized over all its positions together. `make` raises RecipeError where the
    number of groups does not divide the width.
    """

    def make(width: int, dtype: jnp.dtype) -> nnx.GroupNorm:
        if width % groups:
            raise RecipeError(
                f"normalization.groups={groups} does not divide the {width} channels of a layer; give a divisor of it"
            )
        norm: nnx.GroupNorm = _module(
            nnx.GroupNorm, width, dtype, num_groups=groups, epsilon=epsilon, use_fast_variance=False
        )
        return norm

    return Normalization(place, make)


class _InstanceNorm(nnx.InstanceNorm):
    """Refuses to normalize over a single position, which would make every signal zero."""

    def __call__(self, x: Array, **options: Any) -> Array:
        if prod(x.shape[1:-1]) < 2:
            raise RecipeError(
                "normalization=instance averages over the positions of an image or a sequence; one layer here "
                "has only one: choose layer or batch"
            )
        normalized: Array = super().__call__(x, **options)
        return normalized


@normalization
def instance(place: Place, epsilon: Positive) -> Normalization:
    """y = γ(z − mean z)/√(var z + ε) + β of each channel over its positions, per example (Ulyanov et al. 2016)."""
    return Normalization(
        place,
        lambda width, dtype: _module(_InstanceNorm, width, dtype, epsilon=epsilon, use_fast_variance=False),
    )


class KernelNorm(nnx.Module):
    """Maps the trained kernel to the one that is used: `rule`, with a factor for each output unit where `learned`.

    `rule` takes and returns (fan_in, fan_out); the module takes and returns (…, fan_out), whose other axes are fan_in.
    """

    def __init__(self, width: int, dtype: jnp.dtype, rule: Callable[[Array], Array], learned: bool) -> None:
        wide = jnp.promote_types(dtype, jnp.float32)
        self.rule = rule
        self.scale = nnx.Param(jnp.ones((width,), wide)) if learned else nnx.data(None)

    def start(self, kernel: Array) -> None:
        """Set the factor from the initial kernel (…, fan_out): here it stays 1."""

    def __call__(self, kernel: Array) -> Array:
        flat = kernel.reshape(-1, kernel.shape[-1])
        used = self.rule(flat) if self.scale is None else self.scale[...] * self.rule(flat)
        return used.reshape(kernel.shape)


class _WeightNorm(KernelNorm):
    """A factor that starts as the norm of each column, so that the first kernel in use is the initial one."""

    def start(self, kernel: Array) -> None:
        """Set the factor from the initial kernel (…, fan_out)."""
        self.scale = nnx.Param(_direction(kernel.reshape(-1, kernel.shape[-1]))[1])


def _direction(kernel: Array) -> tuple[Array, Array]:
    """v/‖v‖ (fan_in, fan_out) and ‖v‖ (fan_out,) of every column v, in any range; a column of zeros stays zero."""
    v = kernel.T
    power = jax.lax.stop_gradient(norms.largest_exponent(v, 1))
    v = norms.scale(v, -power)
    squares = norms.square_sum(v, 1)[:, None]
    length = jnp.sqrt(jnp.where(squares > 0, squares, 1.0))
    return (v / length).T, norms.scale(jnp.where(squares > 0, length, 0.0), power)[:, 0]


def _standard(kernel: Array, epsilon: Any, times: int) -> Array:
    """(W − μ)/√(times·σ² + ε) with the mean μ and the variance σ² of each output unit over its inputs."""
    centred = kernel - jnp.mean(kernel, axis=0, keepdims=True)
    return centred / jnp.sqrt(times * jnp.mean(centred**2, axis=0, keepdims=True) + epsilon)


@normalization
def weight_norm() -> Normalization:
    """W = g·V/‖V‖ for each output unit; g is learned and starts as ‖V‖ (Salimans & Kingma 2016).

    It changes nothing at the start. The gradient of V is orthogonal to V: ⟨V, ∂L/∂V⟩ = 0.
    PyTorch: `weight_norm` with dim=0.
    """
    rule = lambda kernel: _direction(kernel)[0]
    return Normalization("kernel", lambda width, dtype: _WeightNorm(width, dtype, rule, learned=True))


@normalization
def weight_standardization(epsilon: Positive) -> Normalization:
    """Ŵ = (W − μ)/√(σ² + ε) for each output unit over its inputs, without learned parameters (Qiao et al. 2019).

    Its weights have variance 1, σ_w² = fan_in: it is meant to be followed by a normalization of the signal. Alone it
    multiplies the signal by about √fan_in per layer; `scaled_standardization` is the one to use alone.
    """
    rule = lambda kernel: _standard(kernel, epsilon, 1)
    return Normalization("kernel", lambda width, dtype: KernelNorm(width, dtype, rule, learned=False))


@normalization
def scaled_standardization(gain: Positive, epsilon: Positive) -> Normalization:
    """Ŵ = gain·g·(W − μ)/√(fan_in·σ² + ε) for each output unit, g learned, 1 at the start (Brock et al. 2021).

    σ_w² = gain² at the start, and Σ_i Ŵ_ij = 0 always: there is no mean shift. The article's gain for ReLU is
    √(2/(1 − 1/π)) = 1.7129, which keeps the variance of the pre-activations.
    """
    rule = lambda kernel: gain * _standard(kernel, epsilon, kernel.shape[0])
    return Normalization("kernel", lambda width, dtype: KernelNorm(width, dtype, rule, learned=True))
