"""Activations φ. Each maker returns an Activation: φ and its steepest slope, where flat pieces mean saturation."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from gradlab.parts.family import Family, UserFunction
from gradlab.recipe.bounds import Flag, NonNegative, Number, Positive


class Activation(NamedTuple):
    """φ, and max|φ'|: an input is saturated where |φ'| is below a twentieth of it.

    `steepest` is None where flat pieces are switched off rather than saturated (relu's kin), or φ' has no bound.
    `widen`: how many entries φ makes of one; the last axis grows by it.
    """

    phi: Callable[[Array], Array]
    max_slope: float | Array | None
    width_factor: int = 1


# a function of one's own, z -> φ(z): gradlab does not know its steepest slope
activation = Family("activation", user_function=UserFunction(1, lambda phi: Activation(phi, None)))


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
def gelu(approximate: Flag) -> Activation:
    """φ(z) = z·Φ(z), Φ the normal distribution function; approximate: by a tanh (Hendrycks & Gimpel 2016)."""
    return Activation(lambda z: jax.nn.gelu(z, approximate), 1.1289931 if approximate else 1.1289042)


@activation
def selu() -> Activation:
    """φ(z) = λz for z > 0, else λα(e^z − 1): mean 0, variance 1 is a fixed point (Klambauer et al. 2017)."""
    return Activation(jax.nn.selu, 1.7580993)


@activation
def elu(alpha: NonNegative) -> Activation:
    """φ(z) = z for z > 0, else α(e^z − 1): negative values pull the mean to 0 (Clevert et al. 2015)."""
    return Activation(lambda z: jax.nn.elu(z, jnp.asarray(alpha, z.dtype)), jnp.maximum(1.0, alpha))


@activation
def silu() -> Activation:
    """φ(z) = z·σ(z), also called swish (Elfwing et al. 2017; Ramachandran et al. 2017)."""
    return Activation(jax.nn.silu, 1.0998393)


@activation
def mish() -> Activation:
    """φ(z) = z·tanh(ln(1 + e^z)) (Misra 2019)."""
    return Activation(jax.nn.mish, 1.0884982)


@activation
def softplus() -> Activation:
    """φ(z) = ln(1 + e^z): a smooth relu, whose slope is the sigmoid (Dugas et al. 2001)."""
    return Activation(jax.nn.softplus, 1.0)


@activation
def erf() -> Activation:
    """φ(z) = erf(z): like tanh, and its mean field has closed forms (Williams 1998); φ' ≤ 2/√π."""
    return Activation(jax.lax.erf, 1.1283792)


@activation
def hard_tanh() -> Activation:
    """φ(z) = z kept within [−1, 1]: tanh in three straight pieces, of which the outer two are saturated."""
    return Activation(jax.nn.hard_tanh, 1.0)


@activation
def softsign() -> Activation:
    """φ(z) = z/(1 + |z|): saturates as a power where tanh does exponentially (Glorot & Bengio 2010)."""
    return Activation(jax.nn.soft_sign, 1.0)


@activation
def squared_relu() -> Activation:
    """φ(z) = max(z, 0)²: a signal's size is squared by each layer, so depth needs a norm (So et al. 2021)."""
    return Activation(lambda z: jnp.square(jax.nn.relu(z)), None)


@activation
def crelu() -> Activation:
    """φ(z) = (max(z, 0), max(−z, 0)): loses nothing, and doubles the width (Shang et al. 2016)."""
    return Activation(lambda z: jax.nn.relu(jnp.concatenate([z, -z], axis=-1)), None, width_factor=2)


@activation
def sine(frequency: Positive) -> Activation:
    """φ(z) = sin(frequency·z): periodic, never saturated for good (Sitzmann et al. 2020)."""
    return Activation(lambda z: jnp.sin(jnp.asarray(frequency, z.dtype) * z), frequency)


@activation
def step(low: Number) -> Activation:
    """φ(z) = 1 for z > 0, else `low`: −1 is the sign, 0 Heaviside's threshold neuron.

    Its true slope is 0 everywhere. A straight-through estimator stands in for it: the slope (1 − low)/2 of the
    straight line from `low` to 1 over |z| ≤ 1, and 0 beyond (Bengio et al. 2013; Courbariaux et al. 2016).
    """

    def phi(z: Array) -> Array:
        floor = jnp.asarray(low, z.dtype)
        ramp = (1 - floor) / 2 * jax.nn.hard_tanh(z)
        return jnp.where(z > 0, jnp.ones((), z.dtype), floor) + (ramp - jax.lax.stop_gradient(ramp))

    return Activation(phi, abs(1 - low) / 2)
