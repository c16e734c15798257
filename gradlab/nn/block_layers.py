"""The layers of a block: drawn together, and run in one pass with the plan's activation, normalization and dropout."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from gradlab.nn import linear_layer, normalize
from gradlab.nn.chain import BlockAux, BlockContext
from gradlab.nn.linear_layer import Layer, LayerSpec
from gradlab.nn.model import Plan
from gradlab.numerics.tree import Tree


def draw(layers: Sequence[LayerSpec], plan: Plan, key: Array) -> tuple[Tree, Tree]:
    """The first parameters and statistics of a block's layers, each from its own stream of the key."""
    params: Tree = {}
    stats: Tree = {}
    for k, one in enumerate(layers):
        drawn = linear_layer.draw(one, plan, jax.random.fold_in(key, k) if k else key)
        params, stats = params | drawn[0], stats | drawn[1]
    return params, stats


class Pass:
    """One pass through the layers of a block, which remembers the slope of its last activation."""

    def __init__(self, layers: Sequence[LayerSpec], plan: Plan, params: Tree, context: BlockContext) -> None:
        self.the, self.plan, self.context = layers, plan, context
        self.layers: list[Layer] = [
            linear_layer.layer(one, plan, params, context.stats, context.train) for one in layers
        ]
        self.slope: Array | None = None

    def notes(self) -> BlockAux:
        """What the block tells: new statistics, φ' at its last activation's input."""
        stats = {
            one.prefix + path: value
            for one, layer in zip(self.the, self.layers, strict=True)
            for path, value in layer.statistics().items()
        }
        return BlockAux(stats, self.slope, self.plan.activation.max_slope)

    def weigh(self, k: int, h: Array) -> Array:
        """W h + b of layer k."""
        return self.context.on_linear(self.the[k].prefix + "linear/kernel", self.layers[k].weigh(h))

    def activate(self, k: int, z: Array) -> Array:
        """dropout(norm(φ(z))), the norm where it stands after φ; the last one in a block is measured."""
        k %= len(self.layers)
        phi, context = self.plan.activation.phi, self.context
        if k == len(self.layers) - 1:
            z = context.tap(z)
            out, self.slope = jax.jvp(phi, (z,), (jnp.ones_like(z),))
        else:
            out = phi(z)
        out = self.layers[k].after(out)
        key = jax.random.fold_in(context.key, k) if k else context.key
        return normalize.dropped(self.plan, out, key, context.train)

    def inside(self, k: int, h: Array) -> Array:
        """φ(norm(W h + b)), or norm(φ(W h + b))."""
        return self.activate(k, self.layers[k].before(self.weigh(k, h)))

    def first(self, k: int, h: Array) -> Array:
        """W φ(norm(h)) + b."""
        return self.weigh(k, self.activate(k, self.layers[k].before(h)))

    def branch(self, h: Array, shifts: Any = None) -> Array:
        """f(h): all layers, in the residual connection's form; `shifts` are added before every φ and every W."""
        form, last = self.plan.residual.form, len(self.layers) - 1
        for k, layer in enumerate(self.layers):
            if form == "first":
                h = h if shifts is None else h + shifts[2 * k]
                h = self.activate(k, layer.before(h))
                h = self.weigh(k, h if shifts is None else h + shifts[2 * k + 1])
            elif form == "outside" and k == last:
                h = layer.before(self.weigh(k, h))
            else:
                h = self.inside(k, h)
        return h
