"""Activations φ. Each maker returns an Activation: φ and its steepest slope, where flat pieces mean saturation."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from gradlab.bounds import NonNegative
from gradlab.parts.family import Family

activation = Family("activation")


class Activation(NamedTuple):
    """φ, and max|φ'|: an input is saturated where |φ'| is below a twentieth of it.

    `steepest` is None for piecewise linear φ, whose flat pieces are switched off rather than saturated.
    `widen`: how many entries φ makes of one; the last axis grows by it.
    """

    phi: Callable[[Array], Array]
    steepest: float | None
    widen: int = 1


@activation
def linear() -> Activation:
    """φ(z) = z: what depth does without an activation (Saxe et al. 2013)."""
    return Activation(lambda z: z, None)


@activation
def sigmoid() -> Activation:
    """φ(z) = 1/(1 + e^−z); φ' ≤ 1/4, so that each layer takes at least that from an O(1) gradient."""
    return Activation(jax.nn.sigmoid, 0.25)


@activation
def tanh() -> Activation:
    """φ(z) = tanh z; φ' = 1 − tanh² ≤ 1."""
    return Activation(jnp.tanh, 1.0)


@activation
def relu() -> Activation:
    """φ(z) = max(z, 0); E φ'² = 1/2 for symmetric z, hence He's factor 2."""
    return Activation(jax.nn.relu, None)


@activation
def leaky_relu(slope: NonNegative) -> Activation:
    """φ(z) = z for z > 0, else slope·z: no unit can die; E φ'² = (1 + slope²)/2."""
    return Activation(lambda z: jnp.where(z > 0, z, jnp.asarray(slope, z.dtype) * z), None)


@activation
def gelu() -> Activation:
    """φ(z) = z·Φ(z), with the exact normal distribution function Φ (Hendrycks & Gimpel 2016)."""
    return Activation(lambda z: jax.nn.gelu(z, approximate=False), 1.1289042)


@activation
def selu() -> Activation:
    """φ(z) = λz for z > 0, else λα(e^z − 1): mean 0, variance 1 is a fixed point (Klambauer et al. 2017)."""
    return Activation(jax.nn.selu, 1.7580993)
