"""The plan's normalization alone, over the last axis of any signal (for recurrent layers and attention); dropout."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx, traverse_util
from jax import Array

from gradlab.nn.chain import BlockContext
from gradlab.nn.linear_layer import state_by_path
from gradlab.nn.plan import Plan
from gradlab.numerics import norms
from gradlab.numerics.tree import Tree, prefixed, under

SELU_FLOOR = -1.7580993408473766  # selu(−∞) = −λα


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
    """h (any shape) after the plan's dropout, in training; plain dropout sets entries to 0 and scales up the others."""
    if plan.dropout is None or not train:
        return h
    if plan.has_alpha_dropout:
        return alpha_dropout(h, plan.dropout, key)
    keep = jnp.asarray(1 - plan.dropout, h.dtype)
    return jnp.where(jax.random.bernoulli(key, 1 - plan.dropout, h.shape), h / keep, 0)


def alpha_dropout(h: Array, rate: Array | float, key: Array) -> Array:
    """a·(h·d + s·(1 − d)) + b of h (any shape), d = 1 with probability q = 1 − rate (Klambauer et al. 2017).

    s = −λα = −1.7581 is the value that selu saturates at, a = (q + s²·q·(1 − q))^−1/2 and b = −a·(1 − q)·s: of entries
    with mean 0 and variance 1, as selu's are, mean and variance stay so. As torch.nn.AlphaDropout.
    """
    keep = jnp.asarray(1 - rate, norms.compute_dtype(h))
    factor = (keep + SELU_FLOOR**2 * keep * (1 - keep)) ** -0.5
    shift = -factor * (1 - keep) * SELU_FLOOR
    kept = jax.random.bernoulli(key, 1 - rate, h.shape)
    return (factor * jnp.where(kept, h.astype(keep.dtype), SELU_FLOOR) + shift).astype(h.dtype)
