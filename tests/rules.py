"""Clips, penalties, optimizers and schedules once more, each as its formula, in float64 NumPy."""

import math
from collections.abc import Sequence
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


def factor(
    part: dict[str, Any],
    step: int,
    horizon: int,
    losses: Sequence[float] = (),
    gradient: float = 1.0,
    lr: float = 1.0,
) -> float:
    """The schedule's factor at the update number `step`, counted from 0; `losses` of it and all before it."""
    warmup, own = part.get("warmup", 0.0), part.get("horizon", 0.0)
    rest = max((own or horizon) - warmup, 0.0)
    rise = min(1.0, (step + 1) / (warmup + 1))
    seen = losses[math.ceil(warmup) :]
    return rise * _unhurried(
        part, min(max(step - warmup, 0.0), max(rest - 1, 0.0)), rest, seen, losses, gradient, lr
    )


def _unhurried(
    part: dict[str, Any],
    t: float,
    horizon: float,
    seen: Sequence[float],
    losses: Sequence[float],
    gradient: float,
    lr: float,
) -> float:
    """The factor without a warm-up."""
    u = min(1.0, t / max(horizon - 1, 1))
    bow = lambda start, end, share: end + (start - end) * (1 + math.cos(math.pi * share)) / 2
    match part["name"]:
        case "linear":
            return 1 + (part["end"] - 1) * u
        case "polynomial":
            return part["end"] + (1 - part["end"]) * (1 - u) ** part["power"]
        case "cosine":
            return bow(1.0, part["end"], u)
        case "one_cycle":
            rise = part["rise"]
            if u < rise:
                return bow(part["start"], 1.0, u / rise)
            return bow(1.0, part["end"], (u - rise) / (1 - rise))
        case "exponential":
            periods = t / part["period"]
            return math.pow(part["rate"], math.floor(periods) if part["staircase"] else periods)
        case "step":
            return math.pow(part["rate"], t // part["period"])
        case "milestones":
            return math.prod(part["rate"] for milestone in part["milestones"] if milestone <= t)
        case "inverse_sqrt":
            return (1 + t / part["period"]) ** -0.5
        case "range":
            return math.pow(part["low"], 1 - u)
        case "plateau":
            return _plateau(part, seen)
        case "loss_power":
            return min(max(math.pow(part["rate"], losses[-1]), part["low"]), part["high"])
        case "polyak":
            return min(1.0, max(losses[-1] - part["f_star"], 0.0) / gradient**2 / lr)
    return 1.0


def _plateau(part: dict[str, Any], losses: Sequence[float]) -> float:
    """All from the start: means of windows, the best so far, how many in a row were no better."""
    size = math.ceil(part["window"])
    factor, best, bad, rest = 1.0, math.inf, 0, 0.0
    for end in range(size, len(losses) + 1, size):
        mean = math.fsum(losses[end - size : end]) / size
        better = mean < (1 - part["threshold"]) * best
        best = mean if better else best
        if rest > 0:
            rest, bad = rest - 1, 0
            continue
        bad = 0 if better else bad + 1
        if bad >= part["patience"]:
            factor, bad, rest = max(factor * part["rate"], part["low"]), 0, part["cooldown"]
    return factor


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
