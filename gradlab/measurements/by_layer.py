"""From what is measured of parameters, by path, to layers and to the whole network: norms and cosines."""

from collections.abc import Callable
from functools import partial
from typing import Protocol

import jax
import jax.numpy as jnp
from jax import Array

from gradlab.numerics.norms import largest_exponent, log2_hypot, log2_norms, scale
from gradlab.numerics.tree import StackedAxes, Tree


class Places(Protocol):
    """Where the parameters of a network stand; the inputs of probes and of snapshots have it.

    layers_of: by path, the layers that a parameter belongs to, several of a stack; kernels: the paths of the kernels.
    """

    @property
    def stacked_axes(self) -> StackedAxes: ...
    @property
    def layers_of(self) -> dict[str, range]: ...
    @property
    def kernels(self) -> frozenset[str]: ...
    @property
    def layers(self) -> int: ...


def of_kernels(places: Places, log2: Tree) -> Array:
    """From log2 of norms by path, those of each layer's kernels together, (layers,); NaN where it has none."""
    groups: dict[range, list[str]] = {}
    for path in sorted(places.kernels):
        groups.setdefault(places.layers_of[path], []).append(path)
    joined = jnp.full(places.layers, jnp.nan)
    for layers, paths in groups.items():
        stacked = jnp.stack([log2[path].reshape(-1) for path in paths], -1)
        joined = joined.at[jnp.asarray(layers)].set(jax.vmap(log2_hypot)(stacked))
    return joined


def of_all(log2: Tree) -> Array:
    """log2 of the norm of all parameters together, (), from those by path."""
    return log2_hypot(jnp.concatenate([value.reshape(-1) for value in log2.values()]))


def cosines(places: Places, a: Tree, b: Tree) -> tuple[Array, Array]:
    """Of two trees of the parameters' shapes: the cosine of each layer's kernels, and that of all, NaN for a zero."""
    axes = places.stacked_axes
    lengths_a, lengths_b = (log2_norms(tree, axes).leaves for tree in (a, b))
    products = {path: _unit_product(a[path], b[path], axes[path]) for path in a}
    of_layers = of_kernels(places, lengths_a) + of_kernels(places, lengths_b)
    of_network = of_all(lengths_a) + of_all(lengths_b)
    layers, whole = jnp.zeros(places.layers), jnp.zeros(())
    for path in a:
        at = jnp.asarray(places.layers_of[path])
        length = (lengths_a[path] + lengths_b[path]).reshape(-1)
        share: Callable[[Array], Array] = partial(_share, products[path].reshape(-1), length)
        whole += jnp.sum(share(of_network))
        if path in places.kernels:
            layers = layers.at[at].add(share(of_layers[at]))
    return _where_defined(layers, of_layers), _where_defined(whole, of_network)


def _share(cosine: Array, length: Array, total: Array) -> Array:
    """A leaf's part of a cosine, (layers,): its dot product, of log2 `length`, relative to the product of the norms."""
    return jnp.where(length == -jnp.inf, 0.0, cosine * jnp.exp2(length - total))


def _where_defined(cosine: Array, length: Array) -> Array:
    """NaN where one of the two is exactly zero, or where a norm is not finite."""
    return jnp.where(jnp.isfinite(length), jnp.clip(cosine, -1, 1), jnp.nan)


def _unit_product(a: Array, b: Array, stacked: int) -> Array:
    """The cosine of two arrays over all but the first `stacked` axes; NaN where one is exactly zero."""
    axes = tuple(range(stacked, a.ndim))
    a, b = (scale(x, -largest_exponent(x, stacked)) for x in (a, b))
    return jnp.sum(a * b, axes) / jnp.sqrt(jnp.sum(a * a, axes) * jnp.sum(b * b, axes))
