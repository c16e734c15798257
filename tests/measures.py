"""Every column of the store's layers, parameters and steps, in float64, slowly, from its definition."""

import math
from typing import Any

import numpy as np

from tests.reference import Array, Pass, Tree, function, layers


def length(*arrays: Array) -> float:
    """The Euclidean norm of all entries together, beyond the range where squares fit."""
    flat = np.concatenate([np.ravel(np.asarray(array, np.float64)) for array in arrays])
    top = np.abs(flat).max()
    return float(top * math.sqrt(((flat / top) ** 2).sum())) if 0 < top < math.inf else float(top)


def log10(value: float) -> float:
    return -math.inf if value == 0 else math.log10(value)


def likeness(h: Array) -> float:
    """The mean cosine over all pairs of different examples; a zero is orthogonal to all."""
    unit = [example / (length(example) or 1.0) for example in h]
    return float(np.mean([unit[i] @ unit[j] for i in range(len(h)) for j in range(len(h)) if i != j]))


def differences(h: Array) -> dict[str, float]:
    """The fraction of the energy in the differences between examples, and their effective rank, by singular values."""
    flat = h.reshape(len(h), -1) / (np.abs(h).max() or 1.0)  # squares stay in range
    energies = np.linalg.svd(flat - flat.mean(0), compute_uv=False) ** 2
    return {
        "centred": float(energies.sum() / (flat**2).sum()),
        "effective_rank": float(energies.sum() ** 2 / (energies**2).sum()),
    }


def signals(recipe: Any, found: Pass) -> dict[str, Array]:
    """The layers' columns of forward and backward, an entry a layer; NaN where a layer has no activation."""
    phi = function(recipe.activation)
    batch = len(found.h[0])
    rows = []
    for layer, h in enumerate(found.h):
        row = {
            "log10_forward": log10(length(h) / math.sqrt(h.size)),
            "log10_backward": log10(math.sqrt(batch) * length(found.dh[layer])),
            "log10_backward_z": math.nan,
            "cosine": likeness(h),
            **differences(h),
            "mean": float(h.mean()),
            "var": float(((h - h.mean()) ** 2).mean()),
            "saturated": math.nan,
            "dead": math.nan,
        }
        if layer < len(found.z):
            slope = np.abs(phi.slope(found.z[layer]))
            limit = 0.05 * phi.max_slope if phi.max_slope else 0.0
            row["log10_backward_z"] = log10(math.sqrt(batch) * length(found.dz[layer]))
            row["saturated"] = float((slope < limit).mean())
            row["dead"] = float((slope == 0).all(0).mean())
        rows.append(row)
    return {column: np.array([row[column] for row in rows]) for column in rows[0]}


def entries(depth: int, tree: Tree) -> dict[tuple[int, str], Array]:
    """A tree's arrays by (layer, parameter)."""
    return {
        (number, path.partition("/")[2]): value if layer.index is None else value[layer.index]
        for number, layer in enumerate(layers(depth))
        for path, value in tree.items()
        if path.startswith(f"{layer.prefix}/")
    }


def parameters(
    depth: int, params: Tree, grads: Tree, updates: Tree, dtype: str
) -> dict[tuple[int, str], Any]:
    """The parameters' columns by (layer, parameter)."""
    params, grads, updates = (entries(depth, tree) for tree in (params, grads, updates))
    return {key: _columns([params[key]], [grads[key]], [updates[key]], dtype) for key in params}


def kernels(depth: int, params: Tree, grads: Tree, updates: Tree, dtype: str) -> list[dict[str, float]]:
    """The layers' columns of weight, gradient and update: each layer's kernels together."""
    params, grads, updates = (entries(depth, tree) for tree in (params, grads, updates))
    found = []
    for layer in range(depth + 2):
        own = [key for key in params if key[0] == layer and np.ndim(params[key]) >= 2]
        found.append(_columns(*([tree[key] for key in own] for tree in (params, grads, updates)), dtype))
    return found


def _columns(params: list[Array], grads: list[Array], updates: list[Array], dtype: str) -> dict[str, float]:
    flat = np.concatenate([np.ravel(g) for g in grads])
    lost = [
        np.ravel(w.astype(dtype) + u.astype(dtype) == w.astype(dtype))
        for w, u in zip(params, updates, strict=True)
    ]
    return {
        "log10_gradient": log10(length(*grads)),
        "log10_weight": log10(length(*params)),
        "log10_update": log10(length(*updates)),
        "update_lost": float(np.concatenate(lost).mean()),
        "zeros": int((flat == 0).sum()),
        "infs": int(np.isinf(flat).sum()),
        "nans": int(np.isnan(flat).sum()),
    }


def clipping(grads: Tree, clipped: Tree) -> dict[str, float]:
    """The steps' columns of a clip of the gradient: norms before and after, their cosine, the share changed."""
    before, after = (
        np.concatenate([np.ravel(tree[key]) for key in sorted(tree)]) for tree in (grads, clipped)
    )
    return {
        "log10_gradient": log10(length(before)),
        "log10_unclipped": log10(length(before)),
        "log10_clipped": log10(length(after)),
        "clip_cosine": float(before / length(before) @ (after / length(after))),
        "clipped": float((before != after).mean()),
    }
