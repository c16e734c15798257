"""A threshold that differs by parameter and that warms up: three keys of every clip with a fixed threshold."""

import inspect
from collections.abc import Callable
from functools import partial, wraps
from typing import Annotated, Any

import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from gradlab.numerics.tree import RowNames, StackedAxes, Tree, matches
from gradlab.parts.clips.contract import Clip, ClipRecord, count_entries
from gradlab.recipe.bounds import Bound, Many, NonNegative

Number = Array | float
Thresholds = Annotated[dict[str, float], Many(Bound(float, 0, open_low=True), named=True)]
WarmupFactor = Annotated[float, Bound(float, 1e-6, finite=False)]
_ADDED = {"thresholds": Thresholds, "warmup": NonNegative, "warmup_from": WarmupFactor}
# of each path: the indices of a stack's layers, (layers of the group,), or None for an array that is in it as a whole
Group = dict[str, NDArray[np.intp] | None]


def with_thresholds(maker: Callable[..., Clip]) -> Callable[..., Clip]:
    """The maker of a clip without a state, with the keys `thresholds`, `warmup` and `warmup_from` in addition.

    thresholds: {pattern: number}. The parameters that a pattern matches (of several patterns the last counts) are a
    group, clipped as if there were no others, by the pattern's threshold; `threshold` is that of the other parameters,
    which are a group too. A clip by the global norm takes the norm of each group.
    warmup, warmup_from: in update t = 0, 1, … every threshold C is C·warmup_from^max(0, 1 − t/warmup): it starts at
    warmup_from·C and is C from t = warmup on. With warmup_from=inf nothing is clipped before.
    """

    @wraps(maker)
    def make(
        threshold: Number, thresholds: dict[str, Number], warmup: Number, warmup_from: Number, **numbers: Any
    ) -> Clip:
        rule = partial(maker, **numbers)
        factor = partial(warmup_factor, warmup=warmup, warmup_from=warmup_from)
        return _adjusted(rule, threshold, thresholds, factor)

    signature = inspect.signature(maker)
    added = [
        inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, annotation=annotation)
        for key, annotation in _ADDED.items()
    ]
    make.__signature__ = signature.replace(  # type: ignore[attr-defined]  # what inspect.signature looks for
        parameters=[*signature.parameters.values(), *added]
    )
    return make


def warmup_factor(step: Array, warmup: Number, warmup_from: Number) -> Array:
    """warmup_from^max(0, 1 − step/warmup), (), exactly 1 from step = warmup on."""
    dtype = jnp.result_type(jnp.float32, warmup)
    remaining = 1 - step.astype(dtype) / warmup
    return jnp.where(step < warmup, jnp.asarray(warmup_from, dtype) ** remaining, 1.0)


def _adjusted(
    rule: Callable[..., Clip],
    threshold: Number,
    thresholds: dict[str, Number],
    factor: Callable[[Array], Array],
    rows: RowNames | None = None,
) -> Clip:
    """The clip `rule(threshold=…)` with a count of the steps as its state, in groups of parameters where `rows`."""

    def apply(
        grads: Tree, step: Array, params: Tree, stacked_axes: StackedAxes
    ) -> tuple[Tree, Array, ClipRecord]:
        now = factor(step)
        if not thresholds:
            clipped, _, record = rule(threshold=now * threshold).apply(grads, (), params, stacked_axes)
            return clipped, step + 1, record
        assert rows is not None, "a clip with thresholds by pattern is bound to a network before it is used"
        numbers = [threshold, *thresholds.values()]
        groups = _groups(list(thresholds), grads, stacked_axes, rows)
        rules = [(rule(threshold=now * numbers[index]), group) for index, group in groups.items()]
        clipped, record = _clip_groups(rules, grads, params, stacked_axes)
        return clipped, step + 1, record

    return rule(threshold=threshold)._replace(
        init=lambda params: jnp.zeros((), jnp.int32),
        apply=apply,
        bind=partial(_adjusted, rule, threshold, thresholds, factor),
    )


def _groups(patterns: list[str], grads: Tree, stacked_axes: StackedAxes, rows: RowNames) -> dict[int, Group]:
    """The parameters of each pattern, numbered from 1, and of no pattern, 0; a group without parameters is left out."""
    groups: dict[int, Group] = {}
    for path, g in grads.items():
        flags = [matches(pattern, path, g, stacked_axes[path], rows).reshape(-1) for pattern in patterns]
        layers = len(g) if stacked_axes[path] else 1
        # the last pattern that matches a layer counts
        last = np.max([np.zeros(layers, int), *(i * flag for i, flag in enumerate(flags, 1))], axis=0)
        for index in np.unique(last):
            indices = np.flatnonzero(last == index)
            groups.setdefault(int(index), {})[path] = None if len(indices) == layers else indices
    return groups


def _clip_groups(
    rules: list[tuple[Clip, Group]], grads: Tree, params: Tree, stacked_axes: StackedAxes
) -> tuple[Tree, ClipRecord]:
    """Each group clipped by its own rule; the record is of all entries."""
    clipped, records = dict(grads), []
    for rule, group in rules:
        part = _part(grads, group)
        after, _, record = rule.apply(part, (), _part(params, group), stacked_axes)
        for path, indices in group.items():
            clipped[path] = after[path] if indices is None else clipped[path].at[indices].set(after[path])
        records.append((record, count_entries(part) / count_entries(grads)))
    if "skip" in records[0][0]:
        dropped = jnp.stack([record["skip"] for record, _ in records]).any()
        return clipped, {"clipped": dropped.astype(jnp.float32), "skip": dropped}
    # a fraction of 1 stays 1: the shares of the groups are rounded
    acted = sum(share * record["clipped"] for record, share in records)
    return clipped, {"clipped": jnp.minimum(jnp.asarray(acted, jnp.float32), 1.0)}


def _part(tree: Tree, group: Group) -> Tree:
    return {path: tree[path] if indices is None else tree[path][indices] for path, indices in group.items()}
