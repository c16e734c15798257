"""Mean field of a wide random network: length of its signals, factor of its gradients, critical weights.

z = W·φ(z_before) + b with Var W = σ_w²/n, Var b = σ_b². The weight and bias variances σ_w², σ_b² are
arguments; φ, φ′ come as an `Activation`. Poole et al. 2016 (arXiv:1606.05340), Schoenholz et al. 2017
(arXiv:1611.01232).
"""

import math

from gradlab.theory.activations import Activation
from gradlab.theory.gaussian import expect


def length(act: Activation, q: float, weight: float, bias: float) -> float:
    """The length map V(q) = σ_w²·E[φ(√q Z)²] + σ_b²: the next pre-activation's variance."""
    return weight * expect(lambda x: act.phi(x) ** 2, q, act.kinks) + bias


def chi(act: Activation, q: float, weight: float) -> float:
    """χ(q) = σ_w²·E[φ′(√q Z)²]: a layer's factor of the *squared* backward norm; χ = 1 is critical."""
    return weight * expect(lambda x: act.slope(x) ** 2, q, act.kinks)


def length_slope(act: Activation, q: float, weight: float) -> float:
    """V′(q) = σ_w²·E[Z φ φ′]/√q, also valid at kinks; below 1 the length returns to q*."""
    root = math.sqrt(q)
    return weight * expect(lambda x: x * act.phi(x) * act.slope(x), q, act.kinks) / root**2


def fixed_length(
    act: Activation, weight: float, bias: float, start: float = 1.0, steps: int = 10_000
) -> float:
    """q* = V(q*), reached from `start`; 0 if the length vanishes, inf if it grows without bound.

    Iterates, then Newton on V(q) − q. A marginal case (|V′ − 1| < 1e-9 and no bias) ends after `steps` iterations.
    """
    q = start
    for _ in range(steps):
        after = length(act, q, weight, bias)
        if after > 1e12 or after < 1e-250:
            return math.inf if after > 1 else 0.0
        if abs(after - q) < 1e-14 * q:
            return after
        gain = length_slope(act, q, weight)
        jump = q + (after - q) / (1 - gain) if abs(1 - gain) > 1e-9 else after
        # Newton only where the map contracts and the jump is small: else it may reach another fixed point
        q = jump if gain < 1 and abs(jump - q) < 0.1 * q else after
    return q


def critical_weight(act: Activation, bias: float) -> float:
    """σ_w² with χ(q*) = 1 at this σ_b²: the edge of chaos, where gradients neither vanish nor explode.

    On that line σ_w² = 1/E[φ′²] at q, so one root in q is left: q·E[φ′²] = E[φ²] + σ_b²·E[φ′²].
    The length map reaches the largest root from above; the scan runs down to q = 1e-12.
    """
    from scipy.optimize import brentq

    def excess(log_q: float) -> float:
        q = math.exp(log_q)
        return 1 - length(act, q, 1 / chi(act, q, 1.0), bias) / q

    grid = [math.log(1e4) - 0.5 * k for k in range(74)]
    signs = [excess(x) for x in grid]
    for k in range(len(grid) - 1):
        if signs[k] * signs[k + 1] < 0:
            log_q = brentq(excess, grid[k + 1], grid[k], xtol=1e-13, rtol=1e-14)
            return 1 / chi(act, math.exp(log_q), 1.0)
    return 1 / chi(act, 1e-12, 1.0)  # no root: the length vanishes on the line, and the slope at 0 decides
