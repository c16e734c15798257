"""The blocks that dense and convolutional networks are made of, each with its layers in the plan's own manner."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
from jax import Array

from gradlab.nn import block_layers
from gradlab.nn.block_layers import Pass
from gradlab.nn.chain import Block, BlockAux, BlockContext
from gradlab.nn.linear_layer import LayerSpec
from gradlab.nn.model import Plan
from gradlab.numerics.tree import Tree
from gradlab.parts.residuals import Site

_OWN = "residual/"
Map = Callable[[Array], Array]


def flat(h: Array) -> Array:
    """Every example as a vector."""
    return h.reshape(len(h), -1)


def same(h: Array) -> Array:
    """What stands where nothing is done."""
    return h


def convolution(
    prefix: str, fan_in: int, fan_out: int, window: int, plan: Plan, stride: int = 1, **more: Any
) -> LayerSpec:
    """A square convolution of a named network: no bias where a normalization of the signal has one."""
    options: dict[str, Any] = {"normed": True, "bias": not signal(plan)} | more
    return LayerSpec(prefix, fan_in, fan_out, window=(window, window), stride=stride, **options)


def branch(plan: Plan, count: int, **more: Any) -> list[LayerSpec]:
    """The `count` equal layers of a hidden block, as its residual connection wants them; `more` is of each layer."""
    joined = plan.residual
    return [
        LayerSpec(
            "" if count == 1 else f"layer{k}/",
            plan.width * plan.activation.width_factor,
            plan.width,
            normed=True,
            bias=joined.bias,
            scale=joined.shrink(k, count, plan.depth),
            ahead=joined.form == "first",
            **more,
        )
        for k in range(1, count + 1)
    ]


def weighted(
    name: str, the: LayerSpec, plan: Plan, before: Map = same, after: Map = same, active: bool = True
) -> Block:
    """One layer with its activation, or without where not `active`: after(φ(norm(W before(h) + b)))."""

    def apply(params: Tree, h: Array, context: BlockContext) -> tuple[Array, BlockAux]:
        run = Pass([the], plan, params, context)
        if active:
            return after(run.inside(0, before(h))), run.notes()
        return after(run.weigh(0, before(h))), BlockAux({}, None, plan.activation.max_slope)

    return Block(name, partial(block_layers.draw, [the], plan), apply, active=active)


def ahead(name: str, the: LayerSpec, plan: Plan, between: Map = same, after: Map = same) -> Block:
    """One layer behind its activation: after(W between(φ(norm(h))) + b)."""

    def apply(params: Tree, h: Array, context: BlockContext) -> tuple[Array, BlockAux]:
        run = Pass([the], plan, params, context)
        h = between(run.activate(0, run.layers[0].before(h)))
        return after(run.weigh(0, h)), run.notes()

    return Block(name, partial(block_layers.draw, [the], plan), apply)


def dense(plan: Plan, fan_in: int, units: Sequence[int]) -> list[Block]:
    """The dense layers that close a named network, without normalization, and its output."""
    found = []
    for k, count in enumerate(units, 1):
        the = LayerSpec("", fan_in, count, normed=False)
        found.append(weighted(f"dense{k}", the, plan, flat))
        fan_in = count * plan.activation.width_factor
    last = LayerSpec("", fan_in, plan.outputs, normed=False, scale=plan.residual.head)
    return [*found, weighted("output", last, plan, flat, active=False)]


def signal(plan: Plan) -> bool:
    """Whether there is a normalization of the signal, and not of a kernel."""
    return plan.normalization.place in ("before", "after")


@dataclass(frozen=True)
class Joint:
    """Where residual blocks stand in their network, and what their skip does where shapes change."""

    wide: int  # channels of the sum
    total: int  # residual blocks of the whole network
    passed: int = 0  # how many of them stand before
    skip: LayerSpec | Map = same  # a layer without activation, or a plain function


def joined(
    name: str, the: Sequence[LayerSpec], plan: Plan, joint: Joint, count: int | None, after: Map = same
) -> Block:
    """`count` equal blocks: the residual connection around a branch of these layers."""
    skip = [joint.skip] if isinstance(joint.skip, LayerSpec) else []

    def init(key: Array) -> tuple[Tree, Tree]:
        params, stats = block_layers.draw([*the, *skip], plan, key)
        started = plan.residual.own(joint.wide, len(the))
        return params | {_OWN + path: value for path, value in started.items()}, stats

    return Block(name, init, partial(_join, the, plan, joint), count)


def _join(
    the: Sequence[LayerSpec], plan: Plan, joint: Joint, params: Tree, h: Array, context: BlockContext
) -> tuple[Array, BlockAux]:
    run = Pass(the, plan, params, context)
    own = {path.removeprefix(_OWN): value for path, value in params.items() if path.startswith(_OWN)}
    # the dropout of a layer has the key itself
    key = jax.random.fold_in(context.key, len(the))
    site = Site(joint.passed + context.layer, joint.total, key, context.train)
    carried, stats = _carried(plan, joint, params, h, context)
    out = plan.residual.join(own, carried, lambda _, shifts=None: run.branch(h, shifts), site)
    out = run.activate(-1, out) if plan.residual.form == "outside" else out
    notes = run.notes()
    return out, notes._replace(stats={**notes.stats, **stats})


def _carried(plan: Plan, joint: Joint, params: Tree, h: Array, context: BlockContext) -> tuple[Array, Tree]:
    """What the skip hands on, and the new statistics of its layer."""
    if not isinstance(joint.skip, LayerSpec):
        return joint.skip(h), {}
    run = Pass([joint.skip], plan, params, context)
    out = run.weigh(0, h)
    return run.layers[0].before(out), dict(run.notes().stats)
