"""The mlp in float64 NumPy with a hand-written backward pass: what theory is compared with."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from gradlab.theory.activations import activation

DATA = {"features": 64, "outputs": 10, "second_moment": 1.0, "cosine": 0.0}  # standard normal inputs
SCALE = 2 * math.log(10)  # log10‖·‖ -> ln‖·‖²
Array = np.ndarray


def part(name: str, **numbers: Any) -> dict[str, Any]:
    return {"name": name, **numbers}


def norm(name: str, place: str) -> dict[str, Any]:
    return part(name, place=place, epsilon=1e-5)


def recipe(**changes: Any) -> dict[str, Any]:
    """A small mlp, 20 blocks of 100 units, batch 32, with what the test changes."""
    defaults: dict[str, Any] = {
        "model": part("mlp"),
        "activation": part("tanh"),
        "initializer": part("normal", sigma_w=1.0, sigma_b=0.0),
        "normalization": part("none"),
        "residual": part("none"),
        "loss": part("cross_entropy"),
        "depth": 20,
        "width": 100,
        "batch_size": 32,
        "dropout": 0.0,
    }
    return defaults | changes


def kernel(rng: np.random.Generator, initializer: dict[str, Any], fan_in: int, fan_out: int) -> Array:
    name = initializer["name"]
    if name == "orthogonal":
        tall = rng.standard_normal((max(fan_in, fan_out), min(fan_in, fan_out)))
        q, r = np.linalg.qr(tall)
        q = q * np.sign(np.diag(r)) * initializer["gain"]
        return q if fan_in >= fan_out else q.T
    if name == "truncated_normal":
        drawn = rng.standard_normal((8 * fan_in * fan_out,))
        return initializer["std"] * drawn[np.abs(drawn) < 2][: fan_in * fan_out].reshape(fan_in, fan_out)
    if name == "uniform":
        return rng.uniform(-1, 1, (fan_in, fan_out)) * initializer["scale"]
    deviations = {
        "small_normal": lambda: initializer["std"],
        "normal": lambda: initializer["sigma_w"] / math.sqrt(fan_in),
        "critical": lambda: initializer["sigma_w"] / math.sqrt(fan_in),
        "article_xavier": lambda: math.sqrt(fan_in / fan_out),
        "xavier": lambda: initializer.get("gain", 1.0) * math.sqrt(2 / (fan_in + fan_out)),
        "he": lambda: math.sqrt(
            2
            / (1 + initializer.get("slope", 0.0) ** 2)
            / (fan_out if initializer.get("mode") == "fan_out" else fan_in)
        ),
        "lecun": lambda: math.sqrt(1 / fan_in),
    }
    deviation = deviations[name]()
    if initializer.get("distribution") == "uniform":
        return rng.uniform(-1, 1, (fan_in, fan_out)) * deviation * math.sqrt(3)
    return rng.standard_normal((fan_in, fan_out)) * deviation


def normalize(x: Array, name: str, epsilon: float) -> tuple[Array, Callable[[Array], Array]]:
    axis, centred = (0 if name == "batch" else 1), name != "rms"
    x = x - x.mean(axis, keepdims=True) * centred
    sigma = np.sqrt((x * x).mean(axis, keepdims=True) + epsilon)
    y = x / sigma

    def back(g: Array) -> Array:
        along = (g * y).mean(axis, keepdims=True) * y
        return (g - g.mean(axis, keepdims=True) * centred - along) / sigma

    return y, back


def block(
    rng: np.random.Generator, settings: dict[str, Any], h: Array, first: bool
) -> tuple[Array, Callable[[Array], Array]]:
    """One block and its backward pass."""
    act, how, p = activation(settings["activation"]), settings["normalization"], settings["dropout"]
    alphas = {"none": 0.0, "plain": 1.0, "scaled": settings["depth"] ** -0.5, "rezero": 0.0}
    alpha = settings["residual"].get("start", alphas.get(settings["residual"]["name"], 0.0))
    skip = settings["residual"]["name"] != "none" and not first
    w = kernel(rng, settings["initializer"], h.shape[1], settings["width"])
    z = h @ w + settings["initializer"].get("sigma_b", 0.0) * rng.standard_normal(settings["width"])
    before = after = lambda g: g
    if how.get("place") == "before":
        z, before = normalize(z, how["name"], how["epsilon"])
    f, slope = act.phi(z), act.slope(z)
    if how.get("place") == "after":
        f, after = normalize(f, how["name"], how["epsilon"])
    mask = (rng.random(f.shape) >= p) / (1 - p)
    scale = alpha if skip else 1.0

    def back(g: Array) -> Array:
        return before(after(scale * g * mask) * slope) @ w.T + (g if skip else 0)

    return (h if skip else 0) + scale * f * mask, back


def signals(seed: int, settings: dict[str, Any], x: Array | None = None) -> tuple[Array, Array]:
    """ln of the mean squares: forward per unit, backward per example; blocks 0…L+1."""
    rng = np.random.default_rng([7, seed])
    batch, classes = settings["batch_size"], DATA["outputs"]
    h = rng.standard_normal((batch, DATA["features"])) if x is None else x
    forward, backs = [], []
    for number in range(settings["depth"] + 1):
        h, back = block(rng, settings, h, number == 0)
        forward.append(np.mean(h * h))
        backs.append(back)
    w = kernel(rng, settings["initializer"], settings["width"], classes)
    logits = h @ w
    p = np.exp(logits - logits.max(1, keepdims=True))
    g = p / p.sum(1, keepdims=True) - np.eye(classes)[rng.integers(0, classes, batch)]
    backward = [np.mean(np.sum(g * g, 1))]
    g = g @ w.T
    for back in [None, *backs[:0:-1]]:
        g = back(g) if back else g
        backward.append(np.mean(np.sum(g * g, 1)))
    return np.log([*forward, np.mean(logits**2)]), np.log(backward[::-1])


def draw_networks(settings: dict[str, Any], networks: int = 24) -> tuple[Array, Array]:
    """Forward and backward (relative to the last hidden block) of random networks, shape (networks, blocks)."""
    pairs = [signals(seed, settings) for seed in range(networks)]
    forward, backward = (np.array(rows) for rows in zip(*pairs, strict=True))
    return forward, backward - backward[:, settings["depth"]][:, None]
