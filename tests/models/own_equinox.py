"""The network of `own_networks` as an Equinox module."""

import equinox as eqx
import jax
import jax.numpy as jnp

from tests.models.own_networks import WIDTH


class EquinoxNet(eqx.Module):
    entry: eqx.nn.Linear
    layers: list[eqx.nn.Linear]
    head: eqx.nn.Linear

    def __init__(self, features, depth, outputs, key):
        first, *keys, last = jax.random.split(key, depth + 2)
        self.entry = eqx.nn.Linear(features, WIDTH, key=first)
        self.layers = [eqx.nn.Linear(WIDTH, WIDTH, key=key) for key in keys]
        self.head = eqx.nn.Linear(WIDTH, outputs, key=last)

    def __call__(self, x):
        x = jnp.tanh(self.entry(x))
        for layer in self.layers:
            x = jnp.tanh(layer(x))
        return self.head(x)


class WithDropout(eqx.Module):
    """A module that takes a key."""

    layers: list[eqx.nn.Linear]
    dropout: eqx.nn.Dropout

    def __init__(self, sizes, key):
        keys = jax.random.split(key, len(sizes) - 1)
        self.layers = [
            eqx.nn.Linear(a, b, key=key) for a, b, key in zip(sizes[:-1], sizes[1:], keys, strict=True)
        ]
        self.dropout = eqx.nn.Dropout(0.5)

    def __call__(self, x, key):
        for layer, own in zip(self.layers, jax.random.split(key, len(self.layers)), strict=True):
            x = self.dropout(layer(x), key=own)
        return x
