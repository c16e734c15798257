"""What a clip is, and the family that the makers of clips are registered in."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
from jax import Array

from gradlab.numerics.tree import RowNames, StackedAxes, Tree
from gradlab.parts.family import Family

ClipRecord = dict[str, Array]  # scalars by name


class Clip(NamedTuple):
    """A clipping rule.

    init: (params) -> state before the first step.
    apply: (grads, state, params, stacked axes) -> (clipped grads, state, record); both trees of gradients have the
    parameters' shapes. record["clipped"] is the fraction of entries that the rule acted on; a rule that may drop a
    step says so by a boolean record["skip"], and then parameters and optimizer stay as they are.
    where: whether the rule is given the gradient or the optimizer's update.
    scope: whether it is given the gradient of the batch, or that of each example, before their mean.
    bind: (names of each block's layers) -> the rule for this network, where it tells parameters apart by their paths.
    names: of a chain, the names of its clips; the record has the fraction of each as "clipped_<name>".
    """

    init: Callable[[Tree], Any]
    apply: Callable[[Tree, Any, Tree, StackedAxes], tuple[Tree, Any, ClipRecord]]
    where: Literal["gradient", "update"] = "gradient"
    scope: Literal["batch", "example"] = "batch"
    bind: Callable[[RowNames], "Clip"] | None = None
    names: tuple[str, ...] = ()


def _place(rule: Clip, where: Literal["gradient", "update"]) -> Clip:
    if rule.bind is None:
        return rule._replace(where=where)
    bind = rule.bind
    return rule._replace(where=where, bind=lambda rows: _place(bind(rows), where))


clip = Family("clip", "gradlab.parts.clips", common={"where": Literal["gradient", "update"]}, wrap=_place)


def stateless(rule: Callable[[Tree, Tree, StackedAxes], tuple[Tree, ClipRecord]]) -> Clip:
    """The clip of a rule (grads, params, stacked axes) -> (clipped grads, record), which has no state."""

    def apply(
        grads: Tree, state: Any, params: Tree, stacked_axes: StackedAxes
    ) -> tuple[Tree, Any, ClipRecord]:
        clipped, record = rule(grads, params, stacked_axes)
        return clipped, state, record

    return Clip(lambda params: (), apply)


def count_entries(tree: Tree) -> int:
    """How many numbers the tree holds."""
    return sum(x.size for x in tree.values())


def fraction_record(acted: Tree, grads: Tree) -> ClipRecord:
    """The record of a rule that acted where `acted` is true: the fraction of the entries of `grads`.

    A flag of `acted` counts for all entries that it is broadcast over: one per entry, unit, array or layer.
    """
    count = sum(jnp.sum(flags) * (grads[key].size // flags.size) for key, flags in acted.items())
    return {"clipped": jnp.asarray(count / count_entries(grads), jnp.float32)}
