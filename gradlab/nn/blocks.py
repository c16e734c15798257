"""The blocks of dense and convolutional networks, with the plan's activation, normalization and residual connection."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
from jax import Array

from gradlab.nn import block_layers
from gradlab.nn.block_layers import merged
from gradlab.nn.chain import Block, BlockAux, BlockContext, identity
from gradlab.nn.linear_layer import WeightLayerSpec
from gradlab.nn.plan import Plan
from gradlab.numerics.tree import Tree, prefixed, under
from gradlab.parts.residuals import Site

_RESIDUAL = "residual/"  # where the residual connection's own parameters are
SignalMap = Callable[[Array], Array]


def flatten(h: Array) -> Array:
    """Every example as a vector: (examples, …) -> (examples, numbers)."""
    return h.reshape(len(h), -1)


def normalizes_signal(plan: Plan) -> bool:
    """Whether there is a normalization of the signal, and not of a kernel."""
    return plan.normalization.place in ("before", "after")


def convolution(
    prefix: str, fan_in: int, fan_out: int, window: int, plan: Plan, stride: int = 1, **options: Any
) -> WeightLayerSpec:
    """A square convolution of a published network: without a bias where a normalization of the signal has one.

    `options` are further fields of WeightLayerSpec.
    """
    usual: dict[str, Any] = {"has_norm": True, "bias": not normalizes_signal(plan)}
    return WeightLayerSpec(
        prefix, fan_in, fan_out, window=(window, window), stride=stride, **(usual | options)
    )


def branch_specs(plan: Plan, count: int, fan_in: int | None = None, **options: Any) -> list[WeightLayerSpec]:
    """The `count` equal layers of a hidden block, as the residual connection needs them.

    fan_in: units of the block's input, where they are not those of its output.
    `options` are further fields of every layer's WeightLayerSpec.
    """
    connection, width = plan.residual, plan.width * plan.activation.width_factor
    return [
        WeightLayerSpec(
            "" if count == 1 else f"layer{k}/",
            width if fan_in is None or k > 1 else fan_in,
            plan.width,
            has_norm=True,
            bias=connection.has_bias,
            scale=connection.kernel_scale(k, count, plan.depth),
            pre_activation=connection.activation_place == "before_weights",
            **options,
        )
        for k in range(1, count + 1)
    ]


def linear_block(
    name: str,
    spec: WeightLayerSpec,
    plan: Plan,
    before: SignalMap = identity,
    after: SignalMap = identity,
    active: bool = True,
) -> Block:
    """One layer, then its activation where `active`: after(φ(norm(W before(h) + b))), or after(W before(h) + b)."""
    apply = partial(_apply_linear, spec, plan, before, after, active)
    return Block(name, partial(block_layers.draw, [spec], plan), apply, active=active)


def _apply_linear(
    spec: WeightLayerSpec,
    plan: Plan,
    before: SignalMap,
    after: SignalMap,
    active: bool,
    params: Tree,
    h: Array,
    context: BlockContext,
) -> tuple[Array, BlockAux]:
    layers = block_layers.build([spec], plan, params, context)
    if active:
        h, aux = layers.post_act_layer(0, before(h))
        return after(h), aux
    return after(layers.linear(0, before(h))), BlockAux({}, None, plan.activation.max_slope)


def pre_activation_block(
    name: str, spec: WeightLayerSpec, plan: Plan, between: SignalMap = identity, after: SignalMap = identity
) -> Block:
    """One layer that follows its activation: after(W between(φ(norm(h))) + b)."""
    apply = partial(_apply_pre_activation, spec, plan, between, after)
    return Block(name, partial(block_layers.draw, [spec], plan), apply)


def _apply_pre_activation(
    spec: WeightLayerSpec,
    plan: Plan,
    between: SignalMap,
    after: SignalMap,
    params: Tree,
    h: Array,
    context: BlockContext,
) -> tuple[Array, BlockAux]:
    layers = block_layers.build([spec], plan, params, context)
    h, aux = layers.activate(0, layers.layers[0].norm_before(h))
    return after(layers.linear(0, between(h))), aux


def classifier_head(plan: Plan, fan_in: int, units: Sequence[int]) -> list[Block]:
    """The dense layers at the end of a published network, without normalization, and its output."""
    chain = []
    for k, fan_out in enumerate(units, 1):
        spec = WeightLayerSpec("", fan_in, fan_out, has_norm=False)
        chain.append(linear_block(f"dense{k}", spec, plan, flatten))
        fan_in = fan_out * plan.activation.width_factor
    return [*chain, output_block(plan, fan_in, flatten)]


def output_block(plan: Plan, fan_in: int, before: SignalMap) -> Block:
    """The logits W before(h) + b: (examples, …) -> (examples, outputs)."""
    spec = WeightLayerSpec("", fan_in, plan.outputs, has_norm=False, scale=plan.residual.output_scale)
    return linear_block("output", spec, plan, before, active=False)


@dataclass(frozen=True)
class ResidualSpec:
    """Where residual blocks stand in their network, and what their skip does where shapes change."""

    width: int  # channels of the sum
    total: int  # residual blocks of the whole network
    preceding: int = 0  # how many of them come before
    skip: WeightLayerSpec | SignalMap = identity  # a layer without activation, or a plain function


def residual_block(
    name: str,
    specs: Sequence[WeightLayerSpec],
    plan: Plan,
    residual: ResidualSpec,
    count: int | None,
) -> Block:
    """`count` equal blocks: the residual connection around a branch of these layers."""
    skip = [residual.skip] if isinstance(residual.skip, WeightLayerSpec) else []
    init = partial(_init_residual, [*specs, *skip], len(specs), plan, residual)
    return Block(name, init, partial(_apply_residual, specs, plan, residual), count)


def _init_residual(
    specs: Sequence[WeightLayerSpec], branch_layers: int, plan: Plan, residual: ResidualSpec, key: Array
) -> tuple[Tree, Tree]:
    params, stats = block_layers.draw(specs, plan, key)
    return params | prefixed(plan.residual.init(residual.width, branch_layers), _RESIDUAL), stats


def _apply_residual(
    specs: Sequence[WeightLayerSpec],
    plan: Plan,
    residual: ResidualSpec,
    params: Tree,
    h: Array,
    context: BlockContext,
) -> tuple[Array, BlockAux]:
    layers = block_layers.build(specs, plan, params, context)
    connection, connection_params = plan.residual, under(params, _RESIDUAL)
    # dropout takes the context's key and its streams 0 … len(specs) − 1
    key = jax.random.fold_in(context.key, len(specs))
    site = Site(residual.preceding + context.layer, residual.total, key, context.train)
    skipped, skip_stats = _skip(plan, residual, params, h, context)
    shifts = connection.shifts(connection_params)
    branch, aux = layers.residual_branch(h, None if shifts is None else shifts.astype(h.dtype))
    h = connection.join(connection_params, skipped, branch, site)
    if connection.activation_place == "after_sum":
        h, outer = layers.activate(-1, h)
        aux = merged(aux, outer)
    return h, aux._replace(stats={**aux.stats, **skip_stats})


def _skip(
    plan: Plan, residual: ResidualSpec, params: Tree, h: Array, context: BlockContext
) -> tuple[Array, Tree]:
    """The skip's output, and the new statistics of its layer."""
    if not isinstance(residual.skip, WeightLayerSpec):
        return residual.skip(h), {}
    layers = block_layers.build([residual.skip], plan, params, context)
    out = layers.layers[0].norm_before(layers.linear(0, h))
    return out, dict(layers.aux(0).stats)
