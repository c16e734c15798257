"""The multilayer perceptron: an input block, `depth` equal hidden blocks run by `lax.scan`, an output block."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx, traverse_util
from jax import Array

from gradlab.models.chain import Block, Notes, Tree, Visit
from gradlab.models.family import Model, Plan, model
from gradlab.parts.initializers import Initializer, zeros

_BLANK = Initializer(zeros)  # a module whose state is about to be put in


@model
def mlp() -> Model:
    """h_0 = layer(x); h_l = residual(h_{l−1}, layer(h_{l−1})), l = 1…depth; logits = W h_depth + b."""

    def build(plan: Plan) -> list[Block]:
        hidden = partial(_layer, plan, plan.width, plan.width)
        return [
            _block("input", partial(_layer, plan, plan.features, plan.width), plan),
            _block("hidden", hidden, plan, count=plan.depth),
            _block("output", partial(_linear, plan, plan.width, plan.outputs), plan),
        ]

    return build


class Layer(nnx.Module):
    """A dense layer and, where there is one, its normalization.

    Made and used within one trace: the numbers of its parts may be traced, and no graph outlives them.
    """

    def __init__(self, linear: nnx.Linear, norm: Any) -> None:
        self.linear = linear
        self.norm = norm


def _linear(plan: Plan, fan_in: int, fan_out: int, rngs: nnx.Rngs) -> Layer:
    draw = plan.initializer
    linear = nnx.Linear(
        fan_in,
        fan_out,
        kernel_init=lambda key, shape, dtype: draw.kernel(key, shape).astype(dtype),
        bias_init=lambda key, shape, dtype: draw.bias(key, shape).astype(dtype),
        param_dtype=jnp.promote_types(plan.dtype, jnp.float32),
        dtype=plan.dtype,
        rngs=rngs,
    )
    return Layer(linear, None)


def _layer(plan: Plan, fan_in: int, fan_out: int, rngs: nnx.Rngs) -> Layer:
    layer = _linear(plan, fan_in, fan_out, rngs)
    make = plan.normalization.make
    return layer if make is None else Layer(layer.linear, make(fan_out, plan.dtype))


def _block(name: str, make: partial[Layer], plan: Plan, count: int | None = None) -> Block:
    def init(key: Array) -> tuple[Tree, Tree]:
        module = make(nnx.Rngs(key))
        return _flat(nnx.state(module, nnx.Param)), _flat(nnx.state(module, nnx.BatchStat))

    blank = partial(make.func, plan._replace(initializer=_BLANK), *make.args[1:])

    def apply(params: Tree, h: Array, visit: Visit) -> tuple[Array, Notes]:
        module = blank(nnx.Rngs(0))
        nnx.update(module, traverse_util.unflatten_dict(params | visit.stats, sep="/"))
        module.set_attributes(use_running_average=not visit.train, raise_if_not_found=False)
        out, slope = (module.linear(h), None) if name == "output" else _activate(module, h, plan, visit)
        out = plan.residual(h, out, plan.depth) if name == "hidden" else out
        return out, Notes(_flat(nnx.state(module, nnx.BatchStat)), slope, plan.activation.steepest)

    return Block(name, init, apply, count, active=name != "output")


def _activate(module: Layer, h: Array, plan: Plan, visit: Visit) -> tuple[Array, Array]:
    """dropout(norm(φ(norm(W h + b)))), one of the two norms or neither, and φ' at its input."""
    z = module.linear(h)
    z = module.norm(z) if plan.normalization.place == "before" else z
    z = visit.watch(z)
    out, slope = jax.jvp(plan.activation.phi, (z,), (jnp.ones_like(z),))
    out = module.norm(out) if plan.normalization.place == "after" else out
    if visit.train and plan.dropout is not None:
        keep = jax.random.bernoulli(visit.key, 1 - plan.dropout, out.shape)
        out = jnp.where(keep, out / jnp.asarray(1 - plan.dropout, out.dtype), 0)
    return out, slope


def _flat(state: nnx.State) -> Tree:
    return traverse_util.flatten_dict(nnx.to_pure_dict(state), sep="/")
