"""Reference for clips: each as its formula, in float64 NumPy, from the gradients of all steps so far."""

import math
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from tests.measures import length
from tests.reference import Tree


def clip(
    part: dict[str, Any],
    grads: Tree,
    params: Tree | None = None,
    stacked_axes: dict[str, int] | None = None,
    past: Sequence[Tree] = (),
) -> Tree:
    """The gradient after the clip; `past` are the gradients of the steps before."""
    stacked_axes = stacked_axes or dict.fromkeys(grads, 0)
    if part["name"] == "chain":
        return chain(part["clips"], grads, params or grads, stacked_axes, past)
    if part.get("warmup") and part["name"] != "zscore":  # whose warm-up is another
        part = warmed_up(part, len(past))
    if part.get("thresholds"):
        return by_pattern(part, grads, params or grads, stacked_axes)
    c = part.get("threshold", math.nan)
    match part["name"]:
        case "value":
            low, high = (-c if part.get("low", "auto") == "auto" else part["low"]), part.get("high", "auto")
            high = c if high == "auto" else high
            return {path: np.minimum(np.maximum(g, low), high) for path, g in grads.items()}
        case "zero":
            return {path: np.where(np.abs(g) > c, 0.0, g) for path, g in grads.items()}
        case "norm" | "per_example":  # of one example
            return scaled(grads, order_norm(part.get("p", 2.0), grads), c)
        case "normalize":
            norm = length(*grads.values())
            return {path: g * (c / norm if norm else 1.0) for path, g in grads.items()}
        case "autoclip":
            norms = [length(*tree.values()) for tree in [*past, grads]][-part["window"] :]
            limit = float(np.percentile(norms, part["percentile"]))
            return scaled(grads, norms[-1], limit)
        case "zscore":
            return scaled(grads, length(*grads.values()), z_limit(part, [*past, grads]))
        case "layer_norm" | "tensor_norm" | "block_rms" | "agc":
            return by_layer(part, grads, params or grads, stacked_axes)
    return grads


def scaled(grads: Tree, norm: float, limit: float) -> Tree:
    """g·min(1, limit/norm)."""
    factor = limit / norm if norm > limit else 1.0
    return {path: g * factor for path, g in grads.items()}


def order_norm(p: float, grads: Tree) -> float:
    """(Σ |g|^p)^(1/p), the largest entry for p = inf."""
    flat = np.abs(np.concatenate([np.ravel(g) for g in grads.values()]))
    top = flat.max()
    return float(top) if math.isinf(p) or top == 0 else float(top * ((flat / top) ** p).sum() ** (1 / p))


def by_layer(part: dict[str, Any], grads: Tree, params: Tree, stacked_axes: dict[str, int]) -> Tree:
    """Each layer's arrays taken out of the stack, clipped, and put back."""
    clipped = {path: np.array(g, np.float64) for path, g in grads.items()}
    blocks = {path.partition("/")[0]: (len(g) if stacked_axes[path] else None) for path, g in grads.items()}
    for block, count in blocks.items():
        paths = [path for path in grads if path.partition("/")[0] == block]
        for index in [...] if count is None else range(count):
            layer_grads = {path: clipped[path][index] for path in paths}
            weights = {path: np.asarray(params[path], np.float64)[index] for path in paths}
            for path, g in layer(part, layer_grads, weights).items():
                clipped[path][index] = g
    return clipped


def layer(part: dict[str, Any], grads: Tree, weights: Tree) -> Tree:
    """One layer's arrays after the clip."""
    c = part["threshold"]
    match part["name"]:
        case "layer_norm":
            return scaled(grads, length(*grads.values()), c)
        case "tensor_norm":
            return {path: scaled({path: g}, length(g), c)[path] for path, g in grads.items()}
        case "block_rms":
            return {
                path: scaled({path: g}, length(g), c * math.sqrt(g.size))[path] for path, g in grads.items()
            }
    return {path: unitwise(g, weights[path], c, part["eps"]) for path, g in grads.items()}


def unitwise(g: np.ndarray, w: np.ndarray, c: float, eps: float) -> np.ndarray:
    """Each last index of a kernel by itself, a vector as a whole."""
    if g.ndim < 2:
        return scaled({"": g}, length(g), c * max(length(w), eps))[""]
    columns = [unitwise(g[..., i].ravel(), w[..., i].ravel(), c, eps) for i in range(g.shape[-1])]
    return np.stack(columns, axis=-1).reshape(g.shape)


def z_limit(part: dict[str, Any], steps: Sequence[Tree]) -> float:
    """ZClip's threshold for the last of these steps, all before it replayed."""
    norms = [length(*tree.values()) for tree in steps]
    warm, rest, limit = norms[: part["warmup"]], norms[part["warmup"] :], math.inf
    mean, variance = float(np.mean(warm)), float(np.var(warm))
    for norm in rest:
        sigma = math.sqrt(variance)
        z = (norm - mean) / (sigma + part["eps"])
        limit = (
            mean + part["threshold"] * sigma / (z / part["threshold"]) if z > part["threshold"] else math.inf
        )
        new = min(norm, limit)
        mean = part["alpha"] * mean + (1 - part["alpha"]) * new
        variance = part["alpha"] * variance + (1 - part["alpha"]) * (new - mean) ** 2
    return limit


def chain(
    links: dict[str, Any], grads: Tree, params: Tree, stacked_axes: dict[str, int], past: Sequence[Tree]
) -> Tree:
    """Each clip on what the one before left, now and in all steps before."""
    for link in links.values():
        before = list(past)
        past = [clip(link, g, params, stacked_axes, before[:step]) for step, g in enumerate(before)]
        grads = clip(link, grads, params, stacked_axes, before)
    return grads


def warmed_up(part: dict[str, Any], step: int) -> dict[str, Any]:
    """The clip with the thresholds that it has in this step, in equal ratios down to its own."""
    left = max(0.0, 1.0 - step / part["warmup"])
    factor = part["warmup_from"] ** left if left else 1.0
    thresholds = {pattern: factor * number for pattern, number in part.get("thresholds", {}).items()}
    return part | {"warmup": 0.0, "threshold": factor * part["threshold"], "thresholds": thresholds}


def by_pattern(part: dict[str, Any], grads: Tree, params: Tree, stacked_axes: dict[str, int]) -> Tree:
    """Every layer's arrays under names of their own, those of each threshold clipped as if there were no others."""
    clipped = {path: np.array(g, np.float64) for path, g in grads.items()}
    groups: dict[str, dict[str, tuple[str, Any]]] = {}
    for path, g in grads.items():
        block, _, parameter = path.partition("/")
        for index in range(len(g)) if stacked_axes[path] else [...]:
            name = f"{block}/{parameter}" if index is ... else f"{block} {index + 1}/{parameter}"
            last = [pattern for pattern in part["thresholds"] if fnmatchcase(name, pattern)][-1:]
            groups.setdefault("".join(last), {})[name] = (path, index)
    for pattern, places in groups.items():
        of_group = part | {"threshold": part["thresholds"].get(pattern, part["threshold"]), "thresholds": {}}
        group_grads, group_params = (
            {name: np.asarray(tree[path], np.float64)[index] for name, (path, index) in places.items()}
            for tree in (grads, params)
        )
        for name, g in clip(of_group, group_grads, group_params).items():
            path, index = places[name]
            clipped[path][index] = g
    return clipped
