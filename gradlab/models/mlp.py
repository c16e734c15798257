"""The multilayer perceptron: an input block, `depth` equal hidden blocks run by `lax.scan`, an output block."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from gradlab.bounds import Size
from gradlab.models import dense
from gradlab.models.chain import Block, Notes, Tree, Visit
from gradlab.models.dense import Dense, Layer
from gradlab.models.family import Model, Plan, model
from gradlab.parts.residuals import Site

_OWN = "residual/"


@model
def mlp(branch: Size) -> Model:
    """h_0 = layer(x); h_l = residual(h_{l−1}, f), f of `branch` layers, l = 1…depth; logits = W h_depth + b.

    Where the activation comes first in a branch, h_0 = W x + b, as He et al. 2016b have it.
    """

    def build(plan: Plan) -> list[Block]:
        wide = plan.width * plan.activation.widen
        joined = plan.residual
        hidden = [
            Dense(
                "" if branch == 1 else f"layer{k}/",
                wide,
                plan.width,
                normed=True,
                bias=joined.bias,
                scale=joined.shrink(k, branch, plan.depth),
            )
            for k in range(1, branch + 1)
        ]
        linear = joined.form == "first"
        first = Dense("", plan.features, plan.width, normed=not linear, behind=False)
        last = Dense("", wide, plan.outputs, normed=False, scale=joined.head)
        return [
            Block(
                "input",
                partial(_draw, [first], plan),
                partial(_linear if linear else _input, first, plan),
                active=not linear,
            ),
            Block(
                "hidden", partial(_draw, hidden, plan, own=True), partial(_hidden, hidden, plan), plan.depth
            ),
            Block("output", partial(_draw, [last], plan), partial(_linear, last, plan), active=False),
        ]

    return build


def _draw(layers: list[Dense], plan: Plan, key: Array, own: bool = False) -> tuple[Tree, Tree]:
    params: Tree = {}
    stats: Tree = {}
    for k, one in enumerate(layers):
        drawn = dense.draw(one, plan, jax.random.fold_in(key, k) if k else key)
        params, stats = params | drawn[0], stats | drawn[1]
    if own:
        started = plan.residual.own(plan.width * plan.activation.widen, len(layers))
        params |= {_OWN + name: value for name, value in started.items()}
    return params, stats


def _input(first: Dense, plan: Plan, params: Tree, x: Array, visit: Visit) -> tuple[Array, Notes]:
    run = _Run([first], plan, params, visit)
    return run.inside(0, x.reshape(len(x), -1)), run.notes()


def _hidden(layers: list[Dense], plan: Plan, params: Tree, h: Array, visit: Visit) -> tuple[Array, Notes]:
    run = _Run(layers, plan, params, visit)
    own = {path.removeprefix(_OWN): value for path, value in params.items() if path.startswith(_OWN)}
    # the dropout of a layer has the key itself
    site = Site(visit.layer, plan.depth, jax.random.fold_in(visit.key, len(layers)), visit.train)
    out = plan.residual.join(own, h, run.branch, site)
    return run.activate(-1, out) if plan.residual.form == "outside" else out, run.notes()


def _linear(the: Dense, plan: Plan, params: Tree, h: Array, visit: Visit) -> tuple[Array, Notes]:
    run = _Run([the], plan, params, visit)
    return run.weigh(0, h.reshape(len(h), -1)), Notes({}, None, plan.activation.steepest)


class _Run:
    """One pass through the layers of a block, which remembers the slope of its last activation."""

    def __init__(self, layers: list[Dense], plan: Plan, params: Tree, visit: Visit) -> None:
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
        if visit.train and self.plan.dropout is not None:
            key = jax.random.fold_in(visit.key, k) if k else visit.key
            keep = jax.random.bernoulli(key, 1 - self.plan.dropout, out.shape)
            out = jnp.where(keep, out / jnp.asarray(1 - self.plan.dropout, out.dtype), 0)
        return out

    def inside(self, k: int, h: Array) -> Array:
        """φ(norm(W h + b)), or norm(φ(W h + b))."""
        return self.activate(k, self.layers[k].before(self.weigh(k, h)))

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
