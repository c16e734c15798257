"""Mean field of two inputs and of batch norm: references that gradlab itself does not need."""

import math

import numpy as np

from gradlab.theory.activations import Activation
from gradlab.theory.gaussian import REACH, Function, density, expect, panels
from gradlab.theory.meanfield import chi
from gradlab.theory.normalization import batch_statistics

STEPS = np.arange(-REACH, REACH + 1, 2.0)


def expect_pair(f: Function, q: float, c: float, kinks: tuple[float, ...] = ()) -> float:
    """E f(u₁)·f(u₂) for u₁, u₂ of variance q and correlation c, to 1e-10.

    u₂ = √q·(c·z₁ + √(1−c²)·z₂): the inner rule is split where u₂ meets a kink, the outer one
    at distances 2^-k of it, down to the width √(1−c²) within which the inner integral turns.
    """
    scale, s = math.sqrt(q), math.sqrt(max(1 - c * c, 0.0))
    if s < 1e-7:
        return expect(lambda x: f(x) * f(math.copysign(1, c) * x), q, kinks)
    powers = 2.0 ** np.arange(math.ceil(math.log2(max(scale, 1e-300) * REACH)))
    bends = np.concatenate([powers, -powers, kinks]) / scale
    near = s * 2.0 ** np.arange(-2, max(0, math.ceil(-math.log2(s))) + 1)
    turns = np.asarray(kinks)[:, None] / scale + np.concatenate([near, -near, [0.0]])
    outer = np.concatenate([STEPS, bends, turns.ravel()])
    z, w = panels(np.unique(outer[np.abs(outer) <= REACH]))
    inner = np.clip((bends - c * z[:, None]) / s, -REACH, REACH)
    steps = np.broadcast_to(STEPS, (z.size, STEPS.size))
    y, v = panels(np.sort(np.concatenate([steps, inner], axis=1)))
    second = np.sum(v * density(y) * f(scale * (c * z[:, None] + s * y)), axis=1)
    return float(np.sum(w * density(z) * f(scale * z) * second))


def correlation(act: Activation, c: float, q: float, weight: float, bias: float) -> float:
    """The c-map at the fixed length q: (σ_w²·E[φ(u₁)φ(u₂)] + σ_b²)/q for u of correlation c."""
    return (weight * expect_pair(act.phi, q, c, act.kinks) + bias) / q


def correlation_slope(act: Activation, c: float, q: float, weight: float) -> float:
    """χ_c = σ_w²·E[φ′(u₁)φ′(u₂)]: how fast two inputs approach their fixed correlation; χ_1 = χ(q)."""
    return weight * expect_pair(act.slope, q, c, act.kinks)


def fixed_correlation(act: Activation, q: float, weight: float, bias: float) -> float:
    """c*: where the correlation of two inputs settles. 1 if χ ≤ 1 (ordered), else below 1 (chaotic)."""
    if chi(act, q, weight) <= 1 + 1e-12:
        return 1.0
    low, high = 0.0, 1.0  # the map is convex on [0, 1] and lies above c before c*, below it after
    for _ in range(60):
        middle = (low + high) / 2
        above = correlation(act, middle, q, weight, bias) > middle
        low, high = (middle, high) if above else (low, middle)
        if high - low < 1e-9:
            break
    return low if low > 1e-8 else 0.0


def depth_scale(act: Activation, q: float, weight: float, bias: float) -> float:
    """ξ_c = −1/ln χ_c at c*, in layers: a network trains where depth ≲ 6·ξ_c."""
    rate = correlation_slope(act, fixed_correlation(act, q, weight, bias), q, weight)
    return math.inf if abs(1 - rate) < 1e-12 else -1 / math.log(rate)


def batch_factor(act: Activation, batch: int) -> float:
    """Squared backward factor of a layer W → batch norm → φ at batch size B, above 1 whatever W is.

    λ = B/((B−3)·s²)·E tr(P_y D C D P_y)/(B−1), s² the variance of φ(y) over the batch in one of its B − 1
    directions: (B−2)/(B−3) if linear, ReLU 1.480 at B = 128, π/(π−1) at B → ∞. For wide layers and examples that are
    all equally different from each other.
    """
    statistics = batch_statistics(act, batch)
    return batch / (batch - 3) * (statistics.own + statistics.cross) / (statistics.second - statistics.pair)


def batch_factor_limit(act: Activation) -> float:
    """The same for B → ∞: E[φ′(Z)²]/Var φ(Z); at least 1 by Poincaré's inequality, 1 only if linear."""
    mean, second = expect(act.phi, 1.0, act.kinks), expect(lambda x: act.phi(x) ** 2, 1.0, act.kinks)
    return expect(lambda x: act.slope(x) ** 2, 1.0, act.kinks) / (second - mean * mean)
