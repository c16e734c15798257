"""The plan's normalization by itself, over the last axis of any signal: what recurrent layers and attention use."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx, traverse_util
from jax import Array

from gradlab.nn.linear_layer import flat
from gradlab.nn.plan import Plan
from gradlab.numerics.tree import Tree
from gradlab.recipe.errors import RecipeError


def signals_only(plan: Plan) -> None:
    """Refuse a normalization of kernels."""
    if plan.normalization.place == "kernel":
        raise RecipeError(
            "normalizes signals, not kernels; choose normalization=layer, rms, batch, group or none"
        )


def draw(plan: Plan, prefix: str, width: int) -> tuple[Tree, Tree]:
    """Its first parameters and statistics; none where there is no normalization."""
    if plan.normalization.make is None:
        return {}, {}
    module = plan.normalization.make(width, plan.dtype)
    found = (flat(nnx.state(module, kind)) for kind in (nnx.Param, nnx.BatchStat))
    params, stats = ({prefix + path: value for path, value in tree.items()} for tree in found)
    return params, stats


def norm(plan: Plan, prefix: str, own: tuple[Tree, Tree, bool], h: Array) -> tuple[Array, Tree]:
    """norm(h) and its new statistics; `own` are a block's parameters and statistics, and whether it trains.

    Every position counts as an example of its own.
    """
    if plan.normalization.make is None:
        return h, {}
    params, stats, train = own
    module: Any = plan.normalization.make(h.shape[-1], plan.dtype)
    whole = params | stats
    mine = {path.removeprefix(prefix): value for path, value in whole.items() if path.startswith(prefix)}
    nnx.update(module, traverse_util.unflatten_dict(mine, sep="/"))
    module.set_attributes(use_running_average=not train, raise_if_not_found=False)
    out = module(h.reshape(-1, h.shape[-1])).reshape(h.shape)
    return out, {prefix + path: value for path, value in flat(nnx.state(module, nnx.BatchStat)).items()}


def dropped(plan: Plan, h: Array, key: Array, train: bool) -> Array:
    """h with the plan's share of entries dropped, in training."""
    if plan.dropout is None or not train:
        return h
    keep = jnp.asarray(1 - plan.dropout, h.dtype)
    return jnp.where(jax.random.bernoulli(key, 1 - plan.dropout, h.shape), h / keep, 0)
