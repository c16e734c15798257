"""Gradient clipping: (grads, state, params) -> (grads, state, record), before the optimizer sees the gradient.

A clip is `init(params) -> state` and `apply`; `record["clipped"]` is the share of entries it acted on, and a
rule that may drop a step says so by a boolean `record["skip"]`: then parameters and optimizer stay as they are.
Every rule is safe outside float32's range: norms come from `numerics`, never from a plain sum of squares.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
from jax import Array

from gradlab import numerics
from gradlab.bounds import Positive
from gradlab.parts.family import Family

Tree = dict[str, Array]


class Clip(NamedTuple):
    """A rule; `lead` tells how many leading axes of each leaf count layers, `where` what the rule is given."""

    init: Callable[[Tree], Any]
    apply: Callable[[Tree, Any, Tree, dict[str, int]], tuple[Tree, Any, dict[str, Array]]]
    where: Literal["gradient", "update"] = "gradient"


def _at(rule: Clip, where: Literal["gradient", "update"]) -> Clip:
    return rule._replace(where=where)


clip = Family("clip", common={"where": Literal["gradient", "update"]}, wrap=_at)


def _stateless(rule: Callable[[Tree, dict[str, int]], tuple[Tree, dict[str, Array]]]) -> Clip:
    def apply(grads: Tree, state: Any, params: Tree, lead: dict[str, int]) -> tuple[Tree, Any, dict]:
        clipped, record = rule(grads, lead)
        return clipped, state, record

    return Clip(lambda params: (), apply)


@clip
def none() -> Clip:
    """The gradient as it is."""
    return _stateless(lambda grads, lead: (grads, {"clipped": jnp.zeros(())}))


@clip
def value(threshold: Positive) -> Clip:
    """g_i <- min(max(g_i, −threshold), threshold): keeps signs, bends the direction."""

    def rule(grads: Tree, lead: dict[str, int]) -> tuple[Tree, dict[str, Array]]:
        entries = sum(g.size for g in grads.values())
        beyond = sum(jnp.sum(jnp.abs(g) > threshold) for g in grads.values())
        clipped = {key: jnp.clip(g, -threshold, threshold) for key, g in grads.items()}
        return clipped, {"clipped": jnp.asarray(beyond / entries)}

    return _stateless(rule)


@clip
def norm(threshold: Positive) -> Clip:
    """g <- g·min(1, threshold/‖g‖) over all parameters together (Pascanu et al. 2013): keeps the direction.

    As optax.clip_by_global_norm (no epsilon, which PyTorch has), but right where ‖g‖² overflows or underflows.
    """

    def rule(grads: Tree, lead: dict[str, int]) -> tuple[Tree, dict[str, Array]]:
        length, exponent = numerics.log2_norms(grads, lead).whole
        limit = numerics.scale(jnp.asarray(threshold, length.dtype), -exponent)
        acts = (length > limit) & jnp.isfinite(length)
        factor, shift = jnp.where(acts, threshold / length, 1.0), jnp.where(acts, exponent, 0.0)
        # the power of two first, exactly: the whole quotient may be below float32's smallest number
        clipped = {key: numerics.scale(g, -shift) * factor.astype(g.dtype) for key, g in grads.items()}
        return clipped, {"clipped": acts.astype(jnp.float32)}

    return _stateless(rule)
