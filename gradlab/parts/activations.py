"""Activations φ. Each maker returns an Activation: φ, and max |φ'| where small slopes mean saturation."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from gradlab.parts.family import Family, UserFunction
from gradlab.recipe.bounds import Flag, NonNegative, Number, Positive


class Activation(NamedTuple):
    """φ with what the measures need to know of it.

    phi: (…, units) -> (…, width_factor·units).
    max_slope: max |φ'|; a unit is saturated where |φ'| is below max_slope/20. None where a zero slope means an inactive
    unit and not a saturated one (relu and its variants), or where φ' has no bound.
    """

    phi: Callable[[Array], Array]
    max_slope: float | Array | None
    width_factor: int = 1


# a user-defined function z -> φ(z), whose largest slope is not known
activation = Family("activation", user_function=UserFunction(1, lambda phi: Activation(phi, None)))


@activation
def linear() -> Activation:
    """φ(z) = z: a deep linear network (Saxe et al. 2013)."""
    return Activation(lambda z: z, None)


@activation
def sigmoid() -> Activation:
    """φ(z) = 1/(1 + e^−z); φ' ≤ 1/4: each layer divides the gradient by 4 or more unless its weights are large."""
    return Activation(jax.nn.sigmoid, 0.25)


@activation
def tanh() -> Activation:
    """φ(z) = tanh z; φ' = 1 − tanh² ≤ 1."""
    return Activation(jnp.tanh, 1.0)


@activation
def relu() -> Activation:
    """φ(z) = max(z, 0); E φ'² = 1/2 for symmetric z, hence the factor 2 of He's initializer."""
    return Activation(jax.nn.relu, None)


@activation
def leaky_relu(slope: NonNegative) -> Activation:
    """φ(z) = z for z > 0, else slope·z: no unit is ever inactive; E φ'² = (1 + slope²)/2."""
    return Activation(lambda z: jnp.where(z > 0, z, jnp.asarray(slope, z.dtype) * z), None)


@activation
def gelu(approximate: Flag) -> Activation:
    """φ(z) = z·Φ(z), Φ the normal distribution function; with `approximate` by a tanh (Hendrycks & Gimpel 2016)."""
    return Activation(lambda z: jax.nn.gelu(z, approximate), 1.1289931 if approximate else 1.1289042)


@activation
def selu() -> Activation:
    """φ(z) = λz for z > 0, else λα(e^z − 1): mean 0 and variance 1 are a fixed point (Klambauer et al. 2017)."""
    return Activation(jax.nn.selu, 1.7580993)


@activation
def elu(alpha: NonNegative) -> Activation:
    """φ(z) = z for z > 0, else α(e^z − 1): negative outputs keep the mean near 0 (Clevert et al. 2015)."""
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
    """φ(z) = ln(1 + e^z): a smooth relu; its slope is the sigmoid (Dugas et al. 2001)."""
    return Activation(jax.nn.softplus, 1.0)


@activation
def erf() -> Activation:
    """φ(z) = erf(z): similar to tanh, with a mean field in closed form (Williams 1998); φ' ≤ 2/√π."""
    return Activation(jax.lax.erf, 1.1283792)


@activation
def hard_tanh() -> Activation:
    """φ(z) = min(max(z, −1), 1): a piecewise linear tanh, saturated for |z| > 1."""
    return Activation(jax.nn.hard_tanh, 1.0)


@activation
def softsign() -> Activation:
    """φ(z) = z/(1 + |z|): saturates as a power of z, where tanh does exponentially (Glorot & Bengio 2010)."""
    return Activation(jax.nn.soft_sign, 1.0)


@activation
def squared_relu() -> Activation:
    """φ(z) = max(z, 0)²: each layer squares the signal, so depth needs a normalization (So et al. 2021)."""
    return Activation(lambda z: jnp.square(jax.nn.relu(z)), None)


@activation
def crelu() -> Activation:
    """φ(z) = (max(z, 0), max(−z, 0)): keeps all information and doubles the width (Shang et al. 2016)."""
    return Activation(lambda z: jax.nn.relu(jnp.concatenate([z, -z], axis=-1)), None, width_factor=2)


@activation
def sine(frequency: Positive) -> Activation:
    """φ(z) = sin(frequency·z): periodic, so that it does not saturate for large z (Sitzmann et al. 2020)."""
    return Activation(lambda z: jnp.sin(jnp.asarray(frequency, z.dtype) * z), frequency)


@activation
def step(low: Number) -> Activation:
    """φ(z) = 1 for z > 0, else `low`: −1 gives the sign function, 0 Heaviside's step.

    Its true slope is 0 everywhere. A straight-through estimator replaces it: the slope (1 − low)/2 of the
    straight line from `low` to 1 for |z| ≤ 1, and 0 beyond (Bengio et al. 2013; Courbariaux et al. 2016).
    """

    def phi(z: Array) -> Array:
        floor = jnp.asarray(low, z.dtype)
        ramp = (1 - floor) / 2 * jax.nn.hard_tanh(z)
        return jnp.where(z > 0, jnp.ones((), z.dtype), floor) + (ramp - jax.lax.stop_gradient(ramp))

    return Activation(phi, abs(1 - low) / 2)
