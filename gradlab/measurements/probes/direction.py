"""Do successive gradients point the same way, and does the update follow the gradient?"""

from collections.abc import Callable
from functools import partial

import jax.numpy as jnp
from jax import Array

from gradlab.measurements.columns import Column
from gradlab.measurements.probe import Probe, UpdateColumns, UpdateSignal, probe
from gradlab.numerics.norms import largest_exponent, log2_norms, scale
from gradlab.numerics.tree import Tree


@probe
def direction() -> Probe:
    """Cosines over the kernels of a layer, and over all parameters of the network.

    gradient_cosine: between this minibatch's gradient and that of the row measured before it, before penalty and clip;
    null in the first row. descent_cosine: between the gradient and −Δθ; 1 for gradient descent. Both are null where
    one of the two is exactly zero. They are computed of arrays whose largest entry is near 1, so that no product
    leaves the number format. The state is the last gradient, as large as the parameters.
    """

    def ask(update: UpdateSignal, before: Tree) -> tuple[UpdateColumns, Tree]:
        layer, whole = _cosines(update, update.grads, before)
        descent, whole_descent = _cosines(update, update.grads, update.direction)
        columns = {
            "gradient_cosine": layer,
            "network_gradient_cosine": whole,
            "descent_cosine": descent,
            "network_descent_cosine": whole_descent,
        }
        return columns, update.grads

    with_before = "cosine between this minibatch's gradient and that of the row measured before"
    with_update = "cosine between the gradient and −Δθ"
    texts = {"gradient_cosine": with_before, "descent_cosine": with_update}
    columns = [
        Column(
            prefix + name,
            f"{text}, over {over}",
            kind=kind,
            nan_is_null=True,
            needs_update=name == "descent_cosine",
        )
        for name, text in texts.items()
        for prefix, over, kind in (
            ("", "the layer's kernels", "layer"),
            ("network_", "all parameters", "step"),
        )
    ]
    zeros = lambda params: {path: jnp.zeros_like(w) for path, w in params.items()}
    return Probe(tuple(columns), update=ask, init=zeros)


def _cosines(update: UpdateSignal, a: Tree, b: Tree) -> tuple[Array, Array]:
    """Of two trees of the parameters' shapes: the cosine of each layer's kernels, and that of all, NaN for a zero."""
    axes = update.stacked_axes
    lengths_a, lengths_b = (log2_norms(tree, axes).leaves for tree in (a, b))
    products = {path: _unit_product(a[path], b[path], axes[path]) for path in a}
    of_layers = update.of_kernels(lengths_a) + update.of_kernels(lengths_b)
    of_all = update.of_all(lengths_a) + update.of_all(lengths_b)
    layers, whole = jnp.zeros(update.layers), jnp.zeros(())
    for path in a:
        at = jnp.asarray(update.layers_of[path])
        length = (lengths_a[path] + lengths_b[path]).reshape(-1)
        share: Callable[[Array], Array] = partial(_share, products[path].reshape(-1), length)
        whole += jnp.sum(share(of_all))
        if path in update.kernels:
            layers = layers.at[at].add(share(of_layers[at]))
    return _where_defined(layers, of_layers), _where_defined(whole, of_all)


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
