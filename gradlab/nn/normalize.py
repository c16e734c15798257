"""The plan's normalization alone, over the last axis of any signal (for recurrent layers and attention); dropout."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx, traverse_util
from jax import Array

from gradlab.nn.chain import BlockContext
from gradlab.nn.linear_layer import state_by_path
from gradlab.nn.plan import Plan
from gradlab.numerics.tree import Tree, prefixed, under


def draw(plan: Plan, prefix: str, width: int) -> tuple[Tree, Tree]:
    """Its first parameters and statistics over `width` units; both empty where there is no normalization."""
    if plan.normalization.make is None:
        return {}, {}
    module: Any = plan.normalization.make(width, plan.dtype)
    params, stats = (state_by_path(nnx.state(module, variable)) for variable in (nnx.Param, nnx.BatchStat))
    return prefixed(params, prefix), prefixed(stats, prefix)


def norm(plan: Plan, prefix: str, params: Tree, h: Array, context: BlockContext) -> tuple[Array, Tree]:
    """norm(h) of h (…, units), and its new statistics; every position counts as one example.

    `params` are the whole block's; the normalization's own begin with `prefix`.
    """
    if plan.normalization.make is None:
        return h, {}
    module: Any = plan.normalization.make(h.shape[-1], plan.dtype)
    nnx.update(module, traverse_util.unflatten_dict(under(params | context.stats, prefix), sep="/"))
    module.set_attributes(use_running_average=not context.train, raise_if_not_found=False)
    normalized = module(h.reshape(-1, h.shape[-1])).reshape(h.shape)
    return normalized, prefixed(state_by_path(nnx.state(module, nnx.BatchStat)), prefix)


def dropout(plan: Plan, h: Array, key: Array, train: bool) -> Array:
    """h (any shape) with the plan's fraction of entries set to zero and the others scaled up, in training."""
    if plan.dropout is None or not train:
        return h
    keep = jnp.asarray(1 - plan.dropout, h.dtype)
    return jnp.where(jax.random.bernoulli(key, 1 - plan.dropout, h.shape), h / keep, 0)
