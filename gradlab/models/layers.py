"""The layers of a block: drawn together, and run in one pass with the plan's activation, normalization and dropout."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from gradlab.models import dense, normed
from gradlab.models.chain import Notes, Tree, Visit
from gradlab.models.dense import Dense, Layer
from gradlab.models.family import Plan


def draw(layers: Sequence[Dense], plan: Plan, key: Array) -> tuple[Tree, Tree]:
    """The first parameters and statistics of a block's layers, each from its own stream of the key."""
    params: Tree = {}
    stats: Tree = {}
    for k, one in enumerate(layers):
        drawn = dense.draw(one, plan, jax.random.fold_in(key, k) if k else key)
        params, stats = params | drawn[0], stats | drawn[1]
    return params, stats


class Pass:
    """One pass through the layers of a block, which remembers the slope of its last activation."""

    def __init__(self, layers: Sequence[Dense], plan: Plan, params: Tree, visit: Visit) -> None:
        self.the, self.plan, self.visit = layers, plan, visit
        self.layers: list[Layer] = [
            dense.layer(one, plan, params, visit.stats, visit.train) for one in layers
        ]
        self.slope: Array | None = None

    def notes(self) -> Notes:
        """What the block tells: new statistics, φ' at its last activation's input."""
        stats = {
            one.prefix + path: value
            for one, layer in zip(self.the, self.layers, strict=True)
            for path, value in layer.statistics().items()
        }
        return Notes(stats, self.slope, self.plan.activation.steepest)

    def weigh(self, k: int, h: Array) -> Array:
        """W h + b of layer k."""
        return self.visit.weigh(self.the[k].prefix + "linear/kernel", self.layers[k].weigh(h))

    def activate(self, k: int, z: Array) -> Array:
        """dropout(norm(φ(z))), the norm where it stands after φ; the last one in a block is measured."""
        k %= len(self.layers)
        phi, visit = self.plan.activation.phi, self.visit
        if k == len(self.layers) - 1:
            z = visit.watch(z)
            out, self.slope = jax.jvp(phi, (z,), (jnp.ones_like(z),))
        else:
            out = phi(z)
        out = self.layers[k].after(out)
        key = jax.random.fold_in(visit.key, k) if k else visit.key
        return normed.dropped(self.plan, out, key, visit.train)

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
