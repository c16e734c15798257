"""What a clip is, and the family that its makers stand in."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
from jax import Array

from gradlab.numerics.tree import StackedAxes, Tree
from gradlab.parts.family import Family

ClipRecord = dict[str, Array]


class Clip(NamedTuple):
    """A rule; `lead` tells how many leading axes of each leaf count layers, `where` what the rule is given.

    `record["clipped"]` is the share of entries it acted on. A rule that may drop a step says so by a boolean
    `record["skip"]`: then parameters and optimizer stay as they are.
    """

    init: Callable[[Tree], Any]
    apply: Callable[[Tree, Any, Tree, StackedAxes], tuple[Tree, Any, ClipRecord]]
    where: Literal["gradient", "update"] = "gradient"


def _at(rule: Clip, where: Literal["gradient", "update"]) -> Clip:
    return rule._replace(where=where)


clip = Family("clip", "gradlab.parts.clips", common={"where": Literal["gradient", "update"]}, wrap=_at)


def stateless(rule: Callable[[Tree, Tree, StackedAxes], tuple[Tree, ClipRecord]]) -> Clip:
    """A rule (grads, params, lead) -> (grads, record) that remembers nothing."""

    def apply(
        grads: Tree, state: Any, params: Tree, stacked_axes: StackedAxes
    ) -> tuple[Tree, Any, ClipRecord]:
        clipped, record = rule(grads, params, stacked_axes)
        return clipped, state, record

    return Clip(lambda params: (), apply)


def entries(tree: Tree) -> int:
    """How many numbers the tree holds."""
    return sum(x.size for x in tree.values())


def share(acted: Tree, grads: Tree) -> ClipRecord:
    """The record of a rule that acted on these groups of entries; a flag stands for all that it is spread over."""
    count = sum(jnp.sum(flags) * (grads[key].size // flags.size) for key, flags in acted.items())
    return {"clipped": jnp.asarray(count / entries(grads), jnp.float32)}
