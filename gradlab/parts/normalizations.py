"""Normalizations: of a layer's signal, before or after the activation, or of its kernel.

Each is a module made for a width. The output block has none.
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
    """Where it stands, and how it is made for (width, compute dtype): a module of the signal or of the kernel.

    `place`: before or after the activation, or kernel. A kernel's module maps a kernel to the one that is used,
    and begins by `start(kernel)`, which sets what it takes from the drawn one.
    """

    place: str
    make: Callable[[int, jnp.dtype], nnx.Module] | None


class _Keyless:
    """Stands for random keys where Flax asks for one and what it makes is not random: a real one costs trace time."""

    def params(self) -> None:
        """No key."""


KEYLESS: Any = _Keyless()


def _made(kind: Callable[..., Any], width: int, dtype: jnp.dtype, **options: Any) -> Any:
    """A layer that computes in `dtype`; its own parameters are float32, or float64 where that is."""
    wide = jnp.promote_types(dtype, jnp.float32)
    return kind(width, dtype=dtype, param_dtype=wide, rngs=KEYLESS, **options)


def _wide_averages(norm: nnx.BatchNorm) -> nnx.BatchNorm:
    """Flax keeps running averages in float32 whatever the parameters are in."""
    shape, dtype = (norm.num_features,), norm.param_dtype
    norm.mean, norm.var = nnx.BatchStat(jnp.zeros(shape, dtype)), nnx.BatchStat(jnp.ones(shape, dtype))
    return norm


@normalization
def none() -> Normalization:
    """No normalization."""
    return Normalization("none", None)


@normalization
def batch(place: Place, momentum: Fraction, epsilon: Positive) -> Normalization:
    """y = γ(z − μ_B)/√(σ_B² + ε) + β over the batch (Ioffe & Szegedy 2015); running averages in evaluation.

    A channel of an image is one unit: its mean is over the batch and all places.

    In a plain network the squared gradient grows by E φ'²/Var φ a layer, π/(π − 1) for ReLU (Yang et al. 2019).
    `momentum` is the share that the running averages keep, Flax's convention (PyTorch's is 1 − momentum); they
    average σ_B² over B, as Flax does, where PyTorch averages Bσ_B²/(B − 1).
    """
    return Normalization(
        place,
        lambda width, dtype: _wide_averages(
            _made(nnx.BatchNorm, width, dtype, momentum=momentum, epsilon=epsilon, use_fast_variance=False)
        ),
    )


@normalization
def layer(place: Place, epsilon: Positive) -> Normalization:
    """y = γ(z − mean z)/√(var z + ε) + β over an example's units (Ba et al. 2016); of an image at each place by itself.

    Before a ReLU the squared gradient keeps its size, after it grows by 1.467 a layer.
    """
    return Normalization(
        place,
        lambda width, dtype: _made(nnx.LayerNorm, width, dtype, epsilon=epsilon, use_fast_variance=False),
    )


@normalization
def rms(place: Place, epsilon: Positive) -> Normalization:
    """y = γz/√(mean z² + ε) over an example's units (Zhang & Sennrich 2019); of an image at each place by itself."""
    return Normalization(place, lambda width, dtype: _made(nnx.RMSNorm, width, dtype, epsilon=epsilon))


@normalization
def group(place: Place, groups: Size, epsilon: Positive) -> Normalization:
    """Layer normalization of each of `groups` equal groups of units (Wu & He 2018); 1 group is `layer`.

    A group of an image's channels is normalized over all places together.
    """

    def make(width: int, dtype: jnp.dtype) -> nnx.GroupNorm:
        if width % groups:
            raise RecipeError(
                f"normalization.groups={groups} does not divide the {width} channels of a layer; give a divisor of it"
            )
        return _made(nnx.GroupNorm, width, dtype, num_groups=groups, epsilon=epsilon, use_fast_variance=False)

    return Normalization(place, make)


class _InstanceNorm(nnx.InstanceNorm):
    """Refuses to take a mean over one place, which would leave nothing of the signal."""

    def __call__(self, x: Array, **options: Any) -> Array:
        if prod(x.shape[1:-1]) < 2:
            raise RecipeError(
                "normalization=instance is over the places of an image or a sequence, and a layer here has only one; "
                "choose layer or batch"
            )
        return super().__call__(x, **options)


@normalization
def instance(place: Place, epsilon: Positive) -> Normalization:
    """y = γ(z − mean z)/√(var z + ε) + β of each channel over its places, example by example (Ulyanov et al. 2016)."""
    return Normalization(
        place,
        lambda width, dtype: _made(_InstanceNorm, width, dtype, epsilon=epsilon, use_fast_variance=False),
    )


class KernelNorm(nnx.Module):
    """A rule from the kernel that is trained to the one that is used, with a factor for each output unit.

    It sees a kernel as (fan_in, fan_out).
    """

    def __init__(self, width: int, dtype: jnp.dtype, rule: Callable[[Array], Array], learned: bool) -> None:
        wide = jnp.promote_types(dtype, jnp.float32)
        self.rule = rule
        self.scale = nnx.Param(jnp.ones((width,), wide)) if learned else nnx.data(None)

    def start(self, kernel: Array) -> None:
        """The factor stays 1 whatever was drawn."""

    def __call__(self, kernel: Array) -> Array:
        flat = kernel.reshape(-1, kernel.shape[-1])
        used = self.rule(flat) if self.scale is None else self.scale[...] * self.rule(flat)
        return used.reshape(kernel.shape)


class _OwnLength(KernelNorm):
    """Begins as the drawn kernel itself."""

    def start(self, kernel: Array) -> None:
        self.scale = nnx.Param(_direction(kernel.reshape(-1, kernel.shape[-1]))[1])


def _direction(kernel: Array) -> tuple[Array, Array]:
    """v/‖v‖ and ‖v‖ of every column v, also where squares leave the dtype; a column of zeros stays one."""
    v = kernel.T
    power = jax.lax.stop_gradient(norms.largest_exponent(v, 1))
    v = norms.scale(v, -power)
    squares = norms.square_sum(v, 1)[:, None]
    length = jnp.sqrt(jnp.where(squares > 0, squares, 1.0))
    return (v / length).T, norms.scale(jnp.where(squares > 0, length, 0.0), power)[:, 0]


def _standard(kernel: Array, epsilon: Any, times: int) -> Array:
    """Every output unit's weights with mean 0, over the root of `times` their variance, plus ε."""
    centred = kernel - jnp.mean(kernel, axis=0, keepdims=True)
    return centred / jnp.sqrt(times * jnp.mean(centred**2, axis=0, keepdims=True) + epsilon)


@normalization
def weight_norm() -> Normalization:
    """W = g·V/‖V‖ for each output unit, g learned apart from V and ‖V‖ at the start (Salimans & Kingma 2016).

    At the start nothing is changed by it; V then only turns: ⟨V, ∂L/∂V⟩ = 0. PyTorch's `weight_norm` with dim=0.
    """
    rule = lambda kernel: _direction(kernel)[0]
    return Normalization("kernel", lambda width, dtype: _OwnLength(width, dtype, rule, learned=True))


@normalization
def weight_standardization(epsilon: Positive) -> Normalization:
    """Ŵ = (W − μ)/√(σ² + ε) for each output unit over its inputs, nothing learned (Qiao et al. 2019).

    Its weights have variance 1, σ_w² = fan_in: it is made for a normalization of the signal behind it. Alone it
    multiplies the signal by about √fan_in a layer; `scaled_standardization` is the one that stands alone.
    """
    rule = lambda kernel: _standard(kernel, epsilon, 1)
    return Normalization("kernel", lambda width, dtype: KernelNorm(width, dtype, rule, learned=False))


@normalization
def scaled_standardization(gain: Positive, epsilon: Positive) -> Normalization:
    """Ŵ = gain·g·(W − μ)/√(fan_in·σ² + ε) for each output unit, g = 1 learned (Brock et al. 2021).

    σ_w² = gain² at the start and Σ_i Ŵ_ij = 0 always: no mean shift. The article's gain for ReLU is
    √(2/(1 − 1/π)) = 1.7128, which keeps the variance of the pre-activations.
    """
    rule = lambda kernel: gain * _standard(kernel, epsilon, kernel.shape[0])
    return Normalization("kernel", lambda width, dtype: KernelNorm(width, dtype, rule, learned=True))
