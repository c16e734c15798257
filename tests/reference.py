"""The mlp in float64 NumPy with its derivative written by hand: what gradlab's measures are compared with.

It shares no line with gradlab; parameters come by gradlab's paths, a stack's on a leading axis.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy.special import erf

Array = np.ndarray
Tree = dict[str, Array]
LAMBDA, ALPHA = 1.0507009873554805, 1.6732632423543772  # Klambauer et al. 2017


class Function(NamedTuple):
    """φ, φ' and max|φ'|, the last where the flat pieces mean saturation."""

    value: Callable[[Array], Array]
    slope: Callable[[Array], Array]
    max_slope: float | None


def _logistic(z: Array) -> Array:
    return np.where(z >= 0, 1 / (1 + np.exp(-np.abs(z))), np.exp(-np.abs(z)) / (1 + np.exp(-np.abs(z))))


def _bell(z: Array) -> Array:
    return np.exp(-z * z / 2) / math.sqrt(2 * math.pi)


def _below(z: Array) -> Array:
    return (1 + erf(z / math.sqrt(2))) / 2


def function(part: dict[str, Any]) -> Function:
    """The activation of a recipe."""
    a = part.get("slope", 0.0)
    rises = lambda z: (z > 0).astype(float)
    return {
        "linear": Function(lambda z: z, np.ones_like, None),
        "sigmoid": Function(_logistic, lambda z: _logistic(z) * _logistic(-z), 0.25),
        "tanh": Function(np.tanh, lambda z: 1 / np.cosh(z) ** 2, 1.0),
        "relu": Function(lambda z: z * rises(z), rises, None),
        "leaky_relu": Function(
            lambda z: z * rises(z) + a * z * (1 - rises(z)), lambda z: rises(z) + a * (1 - rises(z)), None
        ),
        "gelu": Function(lambda z: z * _below(z), lambda z: _below(z) + z * _bell(z), 1.128904145),
        "selu": Function(
            lambda z: LAMBDA * np.where(z > 0, z, ALPHA * np.expm1(np.minimum(z, 0))),
            lambda z: LAMBDA * np.where(z > 0, 1.0, ALPHA * np.exp(np.minimum(z, 0))),
            LAMBDA * ALPHA,
        ),
    }[part["name"]]


class Normalized(NamedTuple):
    """The normalized x̂, its statistics, and how ∂L/∂x̂ becomes ∂L/∂x."""

    value: Array
    mean: Array
    variance: Array
    back: Callable[[Array], Array]


def normalized(part: dict[str, Any], x: Array) -> Normalized:
    """(x − mean)/√(var + ε) over the batch or over an example's units; rms has no mean."""
    axis = 0 if part["name"] == "batch" else 1
    count = x.shape[axis]
    mean = x.mean(axis, keepdims=True) * (part["name"] != "rms")
    variance = ((x - mean) ** 2).sum(axis, keepdims=True) / count
    sigma = np.sqrt(variance + part["epsilon"])
    y = (x - mean) / sigma

    def back(g: Array) -> Array:
        from_sigma = -(g * (x - mean)).sum(axis, keepdims=True) / sigma**2  # ∂/∂σ
        through = g / sigma + from_sigma * (x - mean) / (count * sigma)
        return through - through.sum(axis, keepdims=True) / count * (part["name"] != "rms")

    return Normalized(y, mean.ravel(), variance.ravel(), back)


class Pass(NamedTuple):
    """All of one forward and backward pass; an entry a layer: 0 the input block, L+1 the output."""

    h: list[Array]
    z: list[Array]  # the activation's input, without the output block
    loss: float
    dh: list[Array]  # ∂(mean loss)/∂h
    dz: list[Array]
    grads: Tree
    stats: Tree


class _Layer(NamedTuple):
    prefix: str
    index: int | None  # within a stack

    def of(self, tree: Tree, path: str) -> Array:
        value = tree[f"{self.prefix}/{path}"]
        return np.asarray(value if self.index is None else value[self.index], np.float64)


def layers(depth: int) -> list[_Layer]:
    """Where each layer's parameters are."""
    return [
        _Layer("input", None),
        *(_Layer("hidden", index) for index in range(depth)),
        _Layer("output", None),
    ]


def network(
    recipe: Any, params: Tree, stats: Tree, x: Array, y: Array, masks: list[Array] | None = None
) -> Pass:
    """Forward and backward in training mode; `masks` are the kept units of dropout, a layer an entry."""
    phi, norm = function(recipe.activation), recipe.normalization
    place = norm["place"] if norm["name"] != "none" else "none"
    alpha = {"none": 0.0, "plain": 1.0, "scaled": 1 / math.sqrt(recipe.depth)}[recipe.residual["name"]]
    where = layers(recipe.depth)
    grads = {path: np.zeros(np.shape(value)) for path, value in params.items()}
    new_stats = {path: np.array(value, np.float64) for path, value in stats.items()}
    h, hs, zs, backs = np.asarray(x, np.float64), [], [], []

    for number, layer in enumerate(where[:-1]):
        skip = alpha if number else 0.0
        mask = np.ones(1) if masks is None else masks[number] / (1 - recipe.dropout)
        out, z, back = _block(layer, params, phi, norm, place, h, mask, grads, new_stats)
        h = h + skip * out if skip else out
        hs.append(h)
        zs.append(z)
        backs.append((back, skip))

    kernel, bias = (where[-1].of(params, f"linear/{name}") for name in ("kernel", "bias"))
    logits = h @ kernel + bias
    top = logits.max(1, keepdims=True)
    chances = np.exp(logits - top) / np.exp(logits - top).sum(1, keepdims=True)
    target = np.eye(logits.shape[1])[y]
    loss = float(np.mean(np.log(np.exp(logits - top).sum(1)) + top[:, 0] - (logits * target).sum(1)))
    g = (chances - target) / len(y)
    dh, dz = [g], []
    grads["output/linear/kernel"], grads["output/linear/bias"] = h.T @ g, g.sum(0)
    g = g @ kernel.T
    for back, skip in backs[::-1]:
        dh.append(g)
        through, at_z = back(g * (skip or 1.0))
        g = through + g if skip else through
        dz.append(at_z)
    return Pass([*hs, logits], zs, loss, dh[::-1], dz[::-1], grads, new_stats)


def evaluated(recipe: Any, params: Tree, stats: Tree, x: Array, y: Array) -> tuple[float, float]:
    """Loss and accuracy in evaluation mode: running statistics, no dropout; batch norm before, if any."""
    phi, h = function(recipe.activation), np.asarray(x, np.float64)
    alpha = {"none": 0.0, "plain": 1.0, "scaled": 1 / math.sqrt(recipe.depth)}[recipe.residual["name"]]
    where = layers(recipe.depth)
    for number, layer in enumerate(where):
        z = h @ layer.of(params, "linear/kernel") + layer.of(params, "linear/bias")
        if number == len(where) - 1:
            break
        if recipe.normalization["name"] == "batch":
            mean, var = layer.of(stats, "norm/mean"), layer.of(stats, "norm/var")
            z = (z - mean) / np.sqrt(var + recipe.normalization["epsilon"])
            z = z * layer.of(params, "norm/scale") + layer.of(params, "norm/bias")
        h = h + alpha * phi.value(z) if number and alpha else phi.value(z)
    z = z - z.max(1, keepdims=True)
    log_chances = z - np.log(np.exp(z).sum(1, keepdims=True))
    return float(-log_chances[np.arange(len(y)), y].mean()), float((z.argmax(1) == y).mean())


def _block(
    layer: _Layer,
    params: Tree,
    phi: Function,
    norm: dict[str, Any],
    place: str,
    h: Array,
    mask: Array,
    grads: Tree,
    stats: Tree,
) -> tuple[Array, Array, Callable[[Array], tuple[Array, Array]]]:
    """One layer without its residual: its output, its activation's input, and its backward pass."""
    kernel = layer.of(params, "linear/kernel")
    linear = h @ kernel + layer.of(params, "linear/bias")
    put = lambda path, value: _put(grads, layer, path, value)

    def norm_of(x: Array) -> tuple[Array, Callable[[Array], Array]]:
        found = normalized(norm, x)
        gamma = layer.of(params, "norm/scale")
        shift = layer.of(params, "norm/bias") if norm["name"] != "rms" else 0.0
        if norm["name"] == "batch":
            for path, value in (("norm/mean", found.mean), ("norm/var", found.variance)):
                kept = norm["momentum"] * layer.of(stats, path) + (1 - norm["momentum"]) * value
                _put(stats, layer, path, kept)

        def back(g: Array) -> Array:
            put("norm/scale", (g * found.value).sum(0))
            if norm["name"] != "rms":
                put("norm/bias", g.sum(0))
            return found.back(g * gamma)

        return found.value * gamma + shift, back

    same = (lambda x: (x, lambda g: g), norm_of)
    z, before = same[place == "before"](linear)
    out, after = same[place == "after"](phi.value(z))

    def back(g: Array) -> tuple[Array, Array]:
        at_z = after(g * mask) * phi.slope(z)
        at_linear = before(at_z)
        put("linear/kernel", h.T @ at_linear)
        put("linear/bias", at_linear.sum(0))
        return at_linear @ kernel.T, at_z

    return out * mask, z, back


def _put(tree: Tree, layer: _Layer, path: str, value: Array) -> None:
    """Into the layer's own entry; the tree's arrays are this pass's own."""
    tree[f"{layer.prefix}/{path}"][() if layer.index is None else layer.index] = value
