"""One network, written as users write it: a class of each library, and a plain function; all with 30 equal blocks."""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import nnx

WIDTH = 6


class NnxBlock(nnx.Module):
    def __init__(self, width, rngs):
        self.linear = nnx.Linear(width, width, rngs=rngs)

    def __call__(self, h):
        return jnp.tanh(self.linear(h))


class NnxNet(nnx.Module):
    """Attributes in any order, a list, and a loop."""

    def __init__(self, features, depth, outputs, rngs):
        self.head = nnx.Linear(WIDTH, outputs, rngs=rngs)
        self.blocks = nnx.List([NnxBlock(WIDTH, rngs) for _ in range(depth)])
        self.entry = nnx.Linear(features, WIDTH, rngs=rngs)

    def __call__(self, x):
        h = jnp.tanh(self.entry(x))
        for block in self.blocks:
            h = block(h)
        return self.head(h)


class LinenCompact(nn.Module):
    depth: int
    outputs: int

    @nn.compact
    def __call__(self, x):
        for _ in range(self.depth + 1):
            x = jnp.tanh(nn.Dense(WIDTH)(x))
        return nn.Dense(self.outputs)(x)


class LinenSetup(nn.Module):
    depth: int
    outputs: int

    def setup(self):
        self.entry = nn.Dense(WIDTH)
        self.layers = [nn.Dense(WIDTH) for _ in range(self.depth)]
        self.head = nn.Dense(self.outputs)

    def __call__(self, x):
        h = jnp.tanh(self.entry(x))
        for layer in self.layers:
            h = jnp.tanh(layer(h))
        return self.head(h)


class Transformed(NamedTuple):
    """What `hk.transform` returns."""

    init: Any
    apply: Any


def haiku_like(depth, outputs):
    names = ["linear", *(f"linear_{index}" for index in range(1, depth + 2))]

    def init(rng, x):
        sizes = [x.shape[-1], *[WIDTH] * (depth + 1), outputs]
        keys = jax.random.split(rng, len(names))
        return {
            f"net/~/{name}": {"w": jax.random.normal(key, (a, b)) / a**0.5, "b": jnp.zeros(b)}
            for name, key, a, b in zip(names, keys, sizes[:-1], sizes[1:], strict=True)
        }

    def apply(params, rng, x):
        for name in names[:-1]:
            x = jnp.tanh(x @ params[f"net/~/{name}"]["w"] + params[f"net/~/{name}"]["b"])
        return x @ params[f"net/~/{names[-1]}"]["w"] + params[f"net/~/{names[-1]}"]["b"]

    return Transformed(init, apply)


def plain(params, x):
    *hidden, last = params
    for w, b in hidden:
        x = jnp.tanh(x @ w + b)
    return x @ last[0] + last[1]


def plain_params(weights):
    return [(jnp.asarray(w), jnp.asarray(b)) for w, b in weights]
