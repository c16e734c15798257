"""Normalizations: layers put before or after the activation, each a Flax module made for a width."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
from flax import nnx

from gradlab.bounds import Fraction, Positive
from gradlab.parts.family import Family

normalization = Family("normalization")
Place = Literal["before", "after"]


class Normalization(NamedTuple):
    """Where the layer stands, seen from the activation, and how it is made for (width, compute dtype)."""

    place: str
    make: Callable[[int, jnp.dtype], nnx.Module] | None


def _made(kind: Callable[..., Any], width: int, dtype: jnp.dtype, **options: Any) -> Any:
    """A layer that computes in `dtype`; its own parameters are float32, or float64 where that is."""
    wide = jnp.promote_types(dtype, jnp.float32)
    return kind(width, dtype=dtype, param_dtype=wide, rngs=nnx.Rngs(0), **options)


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

    In a plain network the squared gradient grows by E φ'²/Var φ a layer, π/(π − 1) for ReLU (Yang et al. 2019).
    `momentum` is the share that the running averages keep, Flax's convention (PyTorch's is 1 − momentum).
    """
    return Normalization(
        place,
        lambda width, dtype: _wide_averages(
            _made(nnx.BatchNorm, width, dtype, momentum=momentum, epsilon=epsilon, use_fast_variance=False)
        ),
    )


@normalization
def layer(place: Place, epsilon: Positive) -> Normalization:
    """y = γ(z − mean z)/√(var z + ε) + β over an example's units (Ba et al. 2016).

    Before a ReLU the squared gradient keeps its size, after it grows by 1.467 a layer.
    """
    return Normalization(
        place,
        lambda width, dtype: _made(nnx.LayerNorm, width, dtype, epsilon=epsilon, use_fast_variance=False),
    )


@normalization
def rms(place: Place, epsilon: Positive) -> Normalization:
    """y = γz/√(mean z² + ε) over an example's units (Zhang & Sennrich 2019)."""
    return Normalization(place, lambda width, dtype: _made(nnx.RMSNorm, width, dtype, epsilon=epsilon))
