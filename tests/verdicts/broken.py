"""Activations that are not defined everywhere."""

import jax.numpy as jnp
from jax import Array


def logarithm(z: Array) -> Array:
    """ln |z|: −inf at 0."""
    return jnp.log(jnp.abs(z))


def ratio(z: Array) -> Array:
    """z/z: NaN at 0."""
    return z / z


def root(z: Array) -> Array:
    """√max(z, 0), whose derivative at 0 is 0·∞: NaN for every negative z."""
    return jnp.sqrt(jnp.maximum(z, 0.0))
