"""The layers of a block: drawn together, and run with the plan's activation, normalization and dropout."""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import Array

from gradlab.nn import linear_layer, normalize
from gradlab.nn.chain import BlockAux, BlockContext
from gradlab.nn.linear_layer import Layer, WeightLayerSpec
from gradlab.nn.plan import Plan
from gradlab.numerics.tree import Tree, prefixed


def draw(specs: Sequence[WeightLayerSpec], plan: Plan, key: Array) -> tuple[Tree, Tree]:
    """The first parameters and statistics of a block's layers, each layer from its own stream of the key."""
    params: Tree = {}
    stats: Tree = {}
    for k, spec in enumerate(specs):
        layer_params, layer_stats = linear_layer.draw(spec, plan, jax.random.fold_in(key, k) if k else key)
        params |= layer_params
        stats |= layer_stats
    return params, stats


@dataclass(frozen=True)
class WeightLayers:
    """The layers of one block within one trace. Signals are (examples, …, units).

    What runs an activation returns (h, aux): aux holds the new statistics of its layers and, where the block's last
    activation is among them, φ' at its input. `merged` joins them.
    """

    specs: Sequence[WeightLayerSpec]
    layers: Sequence[Layer]
    plan: Plan
    context: BlockContext

    def linear(self, k: int, h: Array) -> Array:
        """W h + b of layer k: (examples, …, fan_in) -> (examples, …, fan_out)."""
        return self.context.on_linear(self.specs[k].prefix + "linear/kernel", self.layers[k].affine(h))

    def activate(self, k: int, z: Array) -> tuple[Array, BlockAux]:
        """dropout(norm(φ(z))), with the norm where it acts after φ; the slope is that of the block's last layer."""
        k %= len(self.layers)
        activation, context, slope = self.plan.activation, self.context, None
        if k == len(self.layers) - 1:
            z = context.tap(z)
            h, slope = jax.jvp(activation.phi, (z,), (jnp.ones_like(z),))
        else:
            h = activation.phi(z)
        h = self.layers[k].norm_after(h)
        key = jax.random.fold_in(context.key, k) if k else context.key
        return normalize.dropout(self.plan, h, key, context.train), self.aux(k, slope)

    def aux(self, k: int, slope: Array | None = None) -> BlockAux:
        """The statistics of layer k after its normalization has run, with the slopes φ'(z), of z's shape."""
        stats = prefixed(self.layers[k].statistics(), self.specs[k].prefix)
        return BlockAux(stats, slope, self.plan.activation.max_slope)

    def post_act_layer(self, k: int, h: Array) -> tuple[Array, BlockAux]:
        """φ(norm(W h + b)), or norm(φ(W h + b)): (examples, …, fan_in) -> (examples, …, fan_out)."""
        return self.activate(k, self.layers[k].norm_before(self.linear(k, h)))

    def pre_act_layer(self, k: int, h: Array) -> tuple[Array, BlockAux]:
        """W φ(norm(h)) + b."""
        h, aux = self.activate(k, self.layers[k].norm_before(h))
        return self.linear(k, h), aux

    def residual_branch(self, h: Array, shifts: Array | None = None) -> tuple[Array, BlockAux]:
        """f(h): all layers, with the activation where the residual connection has it.

        `shifts` (2·layers,): scalars that are added before every φ and every W of a pre-activation branch.
        """
        place, last = self.plan.residual.activation_place, len(self.layers) - 1
        auxes = []
        for k, layer in enumerate(self.layers):
            if place == "before_weights":
                h = h if shifts is None else h + shifts[2 * k]
                h, aux = self.activate(k, layer.norm_before(h))
                h = self.linear(k, h if shifts is None else h + shifts[2 * k + 1])
            elif place == "after_sum" and k == last:
                # its activation follows the sum
                h, aux = layer.norm_before(self.linear(k, h)), self.aux(k)
            else:
                h, aux = self.post_act_layer(k, h)
            auxes.append(aux)
        return h, merged(*auxes)


def build(specs: Sequence[WeightLayerSpec], plan: Plan, params: Tree, context: BlockContext) -> WeightLayers:
    """The layers, filled with their entries of a block's parameters and statistics."""
    layers = [linear_layer.layer(spec, plan, params, context.stats, context.train) for spec in specs]
    return WeightLayers(specs, layers, plan, context)


def merged(first: BlockAux, *others: BlockAux) -> BlockAux:
    """All statistics together, a later one in the place of an earlier one; the last slope that there is."""
    for aux in others:
        slope = first.slope if aux.slope is None else aux.slope
        first = first._replace(stats={**first.stats, **aux.stats}, slope=slope)
    return first
