"""The statistics of a batch-normalized layer and its backward factor, at any batch size.

At initialization deep layers get batches whose examples are all equally different from each other: within a unit, the
centred pre-activations x = (x_1 … x_B) are isotropic in the B − 1 directions orthogonal to 1, so the
normalized y = x/σ̂ is uniform on a sphere (the fixed point of Yang et al. 2019, arXiv:1902.08129).
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from gradlab.theory.activations import Activation
from gradlab.theory.gaussian import panels
from gradlab.theory.kernel import Sample

SMALLEST = 4  # E[1/σ̂²] is infinite for three examples or fewer


@dataclass(frozen=True)
class BatchStatistics:
    """Moments of φ(y) for batch-normalized y, and the trace by which the backward pass multiplies."""

    mean: float  # E φ(y)
    second: float  # E φ(y)²
    pair: float  # E φ(y_i)·φ(y_j), i ≠ j
    own: float  # E tr of the squared slopes of one example, over B − 1
    cross: float  # the same between two examples


def _angles(power: float, breaks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nodes a and weights of the density ∝ cos(a)^power, over the angles within 10 standard deviations."""
    reach = min(math.pi / 2, 10 / math.sqrt(power + 1))
    steps = np.linspace(-reach, reach, 9)
    inner = np.clip(breaks, -reach, reach)
    steps = np.broadcast_to(steps, (*inner.shape[:-1], 9))
    angles, weights = panels(np.sort(np.concatenate([steps, inner], axis=-1)))
    weights = weights * np.cos(angles) ** power
    return angles, weights / weights.sum(-1, keepdims=True)


@lru_cache(1024)
def _sphere(batch: int) -> tuple[np.ndarray, ...]:
    """Nodes and weights of one example y₁, and for each of a second one y₂, on the sphere |y|² = B, Σy = 0.

    y₁ = √(B−1)·sin a, y₂ = √(B−1)·(ρ sin a + √(1−ρ²)·cos a·sin b), ρ = −1/(B−1), a and b independent with
    densities cos^(B−3), cos^(B−4); both rules are split at y = 0, where activations have kinks.
    """
    rho = -1 / (batch - 1)
    side = math.sqrt(1 - rho * rho)
    a, weights = _angles(batch - 3, np.zeros(1))
    zero = np.arcsin(np.clip(-rho * np.tan(a) / side, -1, 1))
    b, inner = _angles(batch - 4, zero[:, None])
    radius = math.sqrt(batch - 1)
    other = radius * (rho * np.sin(a)[:, None] + side * np.cos(a)[:, None] * np.sin(b))
    return radius * np.sin(a), weights, other, inner


def batch_statistics(act: Activation, batch: int, share: float = 1.0) -> BatchStatistics:
    """Moments of φ(√share·y) and the backward trace E tr(P_y D C D P_y)/(B − 1), for B ≥ 4, to 1e-8.

    D = diag φ′(y), C = P = 1 − 11ᵀ/B the incoming gradient's covariance over the batch, P_y the derivative of
    the normalization without its 1/σ̂. `share` = σ̂²/(σ̂² + ε) is below 1 where ε counts: then y has that
    variance and P_y keeps part of y's own direction. `own` is i = j (dropout multiplies it by 1/(1 − p)).
    """
    y, w, other, v = _sphere(batch)
    y, other = math.sqrt(share) * y, math.sqrt(share) * other
    phi, slope = act.phi(y), act.slope(y)
    slope_after = np.sum(v * act.slope(other), axis=1)
    tilted = np.sum(v * act.slope(other) * other, axis=1)
    kept = (2 - share) / batch  # P_y² = P − (2 − share)·yyᵀ/B for |y|² = share·B
    own = w @ (slope**2 * (1 - 1 / batch) * (1 - 1 / batch - kept * y * y)) * batch
    cross = w @ (slope * slope_after + kept * batch * slope * y * tilted) * (batch - 1) / batch
    return BatchStatistics(
        mean=float(w @ phi),
        second=float(w @ phi**2),
        pair=float(w @ (phi * np.sum(v * act.phi(other), axis=1))),
        own=float(own) / (batch - 1),
        cross=float(cross) / (batch - 1),
    )


def batch_after(sample: Sample, batch: int) -> np.ndarray:
    """E[tr/σ̂²] of φ then batch norm, shape (layers,): times σ_w² it is the squared backward factor.

    First order in 1/B about E[φ′²]/Var φ, by the delta method for Σφ′², σ̂² and their covariance under Σz = 0,
    with the incoming gradient's own correlation −((E φ′)² + (E φ′y)²)/(B·E φ′²); exact for linear, else
    of error O(1/B²).
    """
    x, phi, slope, mean = sample.x, sample.phi, sample.slope, sample.mean
    centred = phi - mean(phi)[:, None]
    variance = mean(centred**2)
    square, q = centred**2 / variance[:, None], mean(x * x)
    slope2 = mean(slope**2)
    tilt = mean(x * square) / np.sqrt(q)
    spread = mean(square**2) - 1 - tilt**2
    shared = mean(slope**2 * square)
    covariance = shared - slope2 - mean(x * slope**2) / np.sqrt(q) * tilt
    bias = q * mean(slope) ** 2 / variance - 1
    alike = mean(slope) ** 2 + mean(slope * centred) ** 2 / variance
    first = slope2 * (spread - bias) - covariance - slope2 - shared + alike
    result: np.ndarray = (slope2 + first / (batch - 3)) / variance
    return result
