"""The mlp forward once more in float64 NumPy, for every residual connection, normalization and branch."""

from typing import Any

import numpy as np

Array = np.ndarray
Tree = dict[str, Array]


def standard(x: Array, axis: int, epsilon: float) -> Array:
    """Mean 0 and variance about 1 along an axis."""
    return (x - x.mean(axis, keepdims=True)) / np.sqrt(x.var(axis, keepdims=True) + epsilon)


def signal_norm(part: dict[str, Any], own: Tree, x: Array) -> Array:
    """Batch norm by the batch's own statistics; layer, group and RMS norm by the example's."""
    name, epsilon = part["name"], part["epsilon"]
    if name == "rms":
        y = x / np.sqrt((x**2).mean(1, keepdims=True) + epsilon)
    elif name == "group":
        cut = x.reshape(len(x), part["groups"], -1)
        y = standard(cut, 2, epsilon).reshape(x.shape)
    else:
        y = standard(x, 0 if name == "batch" else 1, epsilon)
    return y * own["norm/scale"] + own.get("norm/bias", 0.0)


def used_kernel(part: dict[str, Any], own: Tree) -> Array:
    """The kernel that multiplies: its normalization's, where that is of the kernel."""
    w = own["linear/kernel"]
    match part["name"]:
        case "weight_norm":
            return own["norm/scale"] * w / np.linalg.norm(w, axis=0)
        case "weight_standardization":
            return standard(w, 0, part["epsilon"])
        case "scaled_standardization":
            centred = w - w.mean(0)
            return part["gain"] * own["norm/scale"] * centred / np.sqrt((centred**2).sum(0) + part["epsilon"])
    return w


class Layer:
    """One dense layer: W h + b, and the normalization on its own side of φ."""

    def __init__(self, part: dict[str, Any], own: Tree, phi: Any) -> None:
        self.part, self.own, self.phi = part, own, phi
        self.normed = (
            any(path.startswith("norm/") for path in own) or part["name"] == "weight_standardization"
        )

    def weigh(self, h: Array) -> Array:
        kernel = used_kernel(self.part, self.own) if self.normed else self.own["linear/kernel"]
        return h @ kernel + self.own.get("linear/bias", 0.0)

    def at(self, place: str, x: Array) -> Array:
        there = self.normed and self.part.get("place") == place
        return signal_norm(self.part, self.own, x) if there else x

    def act(self, z: Array) -> Array:
        return self.at("after", self.phi(z))

    def __call__(self, h: Array) -> Array:
        return self.act(self.at("before", self.weigh(h)))


def block(recipe: Any, layers: list[Layer], own: Tree, h: Array, l: int) -> Array:
    """One hidden block, evaluated (the mean branch of a random depth)."""
    part, depth = recipe.residual, recipe.depth

    def inside(x: Array) -> Array:
        for layer in layers:
            x = layer(x)
        return x

    def first(x: Array, shifts: Array) -> Array:
        for k, layer in enumerate(layers):
            x = layer.weigh(layer.act(layer.at("before", x + shifts[2 * k])) + shifts[2 * k + 1])
        return x

    nothing = np.zeros(2 * len(layers))
    match part["name"]:
        case "none":
            return inside(h)
        case "plain":
            return h + inside(h)
        case "scaled":
            return h + inside(h) / np.sqrt(depth)
        case "rezero":
            return h + own["residual/alpha"] * inside(h)
        case "layer_scale":
            return h + own["residual/gamma"] * inside(h)
        case "stochastic_depth":
            return h + (1 - l / depth * (1 - part["survival"])) * inside(h)
        case "deepnorm":
            whole = standard((2 * depth) ** 0.25 * h + inside(h), 1, part["epsilon"])
            return whole * own["residual/scale"] + own["residual/bias"]
        case "pre_activation":
            return h + first(h, nothing)
        case "fixup":
            return h + own["residual/multiplier"] * first(h, own["residual/biases"])
        case "post_activation":
            x = h
            for layer in layers[:-1]:
                x = layer(x)
            last = layers[-1]
            return last.act(h + last.at("before", last.weigh(x)))
    raise KeyError(part["name"])


def logits(recipe: Any, params: Tree, x: Array, phi: Any = np.tanh) -> Array:
    """The network's output; parameters by gradlab's paths."""
    many = recipe.model["branch"]

    def of(start: str) -> Tree:
        return {path.removeprefix(start): v for path, v in params.items() if path.startswith(start)}

    first = Layer(recipe.normalization, of("input/"), phi)
    linear = recipe.residual["name"] in ("pre_activation", "fixup")
    h = x @ first.own["linear/kernel"] + first.own["linear/bias"] if linear else first(x)
    for l in range(recipe.depth):
        own = {path: value[l] for path, value in of("hidden/").items()}
        trees = [
            {path.removeprefix(start): value for path, value in own.items() if path.startswith(start)}
            for start in ([""] if many == 1 else [f"layer{k}/" for k in range(1, many + 1)])
        ]
        layers = [
            Layer(recipe.normalization, {p: v for p, v in tree.items() if not p.startswith("residual/")}, phi)
            for tree in trees
        ]
        h = block(recipe, layers, own, h, l + 1)
    head = of("output/")
    return h @ head["linear/kernel"] + head["linear/bias"]
