"""Clips, penalties, optimizers and schedules once more, each as its formula, in float64 NumPy."""

import math
from typing import Any

import numpy as np

from tests.clipping import clip as clip
from tests.clipping import order_norm as order_norm
from tests.reference import Tree


def is_kernel(path: str) -> bool:
    return path.endswith("kernel")


def penalty(part: dict[str, Any], params: Tree) -> float:
    """½·strength·Σ w² over kernels."""
    kernels = [value for path, value in params.items() if is_kernel(path)]
    return part.get("strength", 0.0) / 2 * sum(float((w**2).sum()) for w in kernels)


def penalized(part: dict[str, Any], params: Tree, grads: Tree) -> Tree:
    """The gradient of loss and penalty."""
    strength = part.get("strength", 0.0)
    return {path: g + strength * params[path] * is_kernel(path) for path, g in grads.items()}


def factor(part: dict[str, Any], step: int, horizon: int) -> float:
    """The schedule's factor at the update number `step`, counted from 0."""
    match part["name"]:
        case "linear":
            return 1 + (part["end"] - 1) * min(1.0, step / max(horizon - 1, 1))
        case "exponential":
            return math.pow(part["rate"], step / part["period"])
    return 1.0


class Optimizer:
    """A rule with its memory; `move` gives Δθ."""

    def __init__(self, part: dict[str, Any]) -> None:
        self.part = part
        self.steps = 0
        self.first: Tree = {}
        self.second: Tree = {}

    def move(self, grads: Tree, rate: float) -> Tree:
        self.steps += 1
        return {path: -rate * self._direction(path, g) for path, g in grads.items()}

    def _direction(self, path: str, g: np.ndarray) -> np.ndarray:
        m, v = self.first.get(path, 0.0), self.second.get(path, 0.0)
        match self.part["name"]:
            case "momentum":
                self.first[path] = g + self.part["decay"] * m
                return self.first[path]
            case "adam":
                b1, b2 = self.part["b1"], self.part["b2"]
                self.first[path], self.second[path] = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
                unbiased = self.second[path] / (1 - b2**self.steps)
                return self.first[path] / (1 - b1**self.steps) / (np.sqrt(unbiased) + self.part["eps"])
        return g
