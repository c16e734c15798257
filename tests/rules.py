"""Reference for clips, penalties, optimizers and schedules: each as its formula, in float64 NumPy."""

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
    """½·strength·Σ w², or strength·Σ|w| for l1, over kernels (or all)."""
    entrywise = (lambda w: np.abs(w)) if part["name"] == "l1" else (lambda w: w**2 / 2)
    penalized = [value for path, value in params.items() if part.get("mask") == "all" or is_kernel(path)]
    return part.get("strength", 0.0) * sum(float(entrywise(w).sum()) for w in penalized)


def penalized(part: dict[str, Any], params: Tree, grads: Tree) -> Tree:
    """The gradient of loss and penalty, where the penalty is part of the loss."""
    strength = part.get("strength", 0.0) * (part["name"] != "decoupled" and not part.get("proximal"))
    slope = np.sign if part["name"] == "l1" else (lambda w: w)
    counts = lambda path: part.get("mask") == "all" or is_kernel(path)
    return {path: g + strength * slope(params[path]) * counts(path) for path, g in grads.items()}


def factor(
    part: dict[str, Any],
    step: int,
    total_steps: int,
    losses: Sequence[float] = (),
    gradient: float = 1.0,
    lr: float = 1.0,
) -> float:
    """The schedule's factor at the update number `step`, counted from 0; `losses` of it and all before it."""
    warmup, horizon = part.get("warmup", 0.0), part.get("horizon", 0.0)
    remaining = max((horizon or total_steps) - warmup, 0.0)
    rise = min(1.0, (step + 1) / (warmup + 1))
    after_warmup = losses[math.ceil(warmup) :]
    last = remaining if part["name"] in ("linear", "polynomial", "cosine") else max(remaining - 1, 0.0)
    t = min(max(step - warmup, 0.0), last)
    return rise * _without_warmup(part, t, remaining, after_warmup, losses, gradient, lr)


def _without_warmup(
    part: dict[str, Any],
    t: float,
    total_steps: float,
    after_warmup: Sequence[float],
    losses: Sequence[float],
    gradient: float,
    lr: float,
) -> float:
    """The factor without a warm-up."""
    falls = part["name"] in ("linear", "polynomial", "cosine")  # over T updates, the others over T − 1
    u = min(1.0, t / (total_steps or 1)) if falls else min(1.0, t / max(total_steps - 1, 1))
    half_cosine = lambda start, end, x: end + (start - end) * (1 + math.cos(math.pi * x)) / 2
    match part["name"]:
        case "linear":
            return 1 + (part["end"] - 1) * u
        case "polynomial":
            return part["end"] + (1 - part["end"]) * (1 - u) ** part["power"]
        case "cosine":
            return half_cosine(1.0, part["end"], u)
        case "one_cycle":
            rise = part["rise"]
            if u < rise:
                return half_cosine(part["start"], 1.0, u / rise)
            return half_cosine(1.0, part["end"], (u - rise) / (1 - rise))
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
            return _plateau(part, after_warmup)
        case "loss_power":
            return min(max(math.pow(part["rate"], losses[-1]), part["low"]), part["high"])
        case "polyak":
            return min(1.0, max(losses[-1] - part["f_star"], 0.0) / gradient**2 / lr)
    return 1.0


def _plateau(part: dict[str, Any], losses: Sequence[float]) -> float:
    """All windows from the start: their means, the best so far, how many in a row were not better."""
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
    """A rule with its state; `delta` gives Δθ."""

    def __init__(self, part: dict[str, Any]) -> None:
        self.part = part
        self.steps = 0
        self.first: Tree = {}
        self.second: Tree = {}

    def delta(self, grads: Tree, rate: float, params: Tree | None = None) -> Tree:
        self.steps += 1
        delta = {path: -rate * self._direction(path, g) for path, g in grads.items()}
        if decay := self.part["decay"] if self.part["name"] in ("adamw", "lion") else 0.0:
            assert params is not None
            decays = lambda path: self.part["mask"] == "all" or is_kernel(path)
            delta = {path: d - rate * decay * params[path] * decays(path) for path, d in delta.items()}
        return delta

    def _direction(self, path: str, g: np.ndarray) -> np.ndarray:
        part, m, v = self.part, self.first.get(path, 0.0), self.second.get(path, 0.0)
        match part["name"]:
            case "momentum" | "sam":
                self.first[path] = g + part["decay"] * m
                return self.first[path]
            case "nesterov":
                self.first[path] = g + part["decay"] * m
                return g + part["decay"] * self.first[path]
            case "adam" | "adamw":
                b1, b2 = part["b1"], part["b2"]
                self.first[path], self.second[path] = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
                unbiased = self.second[path] / (1 - b2**self.steps)
                return self.first[path] / (1 - b1**self.steps) / (np.sqrt(unbiased) + part["eps"])
            case "adagrad":
                self.second[path] = (v if path in self.second else part["initial"]) + g * g
                return g / np.sqrt(self.second[path] + part["eps"])
            case "rmsprop":
                self.second[path] = part["decay"] * v + (1 - part["decay"]) * g * g
                if part["eps_in_sqrt"]:
                    return g / np.sqrt(self.second[path] + part["eps"])
                return g / (np.sqrt(self.second[path]) + part["eps"])
            case "lion":
                self.first[path] = part["b2"] * m + (1 - part["b2"]) * g
                return np.sign(part["b1"] * m + (1 - part["b1"]) * g)
            case "sign":
                return np.sign(g)
            case "ascent":
                return -g
        return g
