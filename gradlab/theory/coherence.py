"""The part of a backward signal that is no fresh random vector: it lies along h and along the mean of the units.

W meets h forward and backward: Wᵀv = ω·h·(zᵀv)/‖h‖² + a fresh vector, so g = ∂L/∂h has parts along h and along
1 = (1, …, 1). Without residuals they stay of order 1/n. In h + α·φ(Wh) with E φ ≠ 0 (ReLU, GELU, sigmoid) h has a
mean m, zᵀφ′(z)g sees the mean of g, and the part along 1 grows by about 1 + α·m·E[zφ′]/E h² a block, faster than
the rest's √(1 + α²χ): from 1/n it may come to carry the whole signal. Own derivation; Monte Carlo in tests/theory.
"""

import numpy as np

from gradlab.theory.forward import Forward, Plan
from gradlab.theory.kernel import Moments


def _projected(left: np.ndarray, right: np.ndarray, mean: float) -> float:
    """left·K⁻¹·right for the Gram matrix K = ((1, m), (m, 1)) of 1 and h/√E h²; h is dropped where it is 1."""
    determinant = 1 - mean * mean
    if determinant < 1e-9:
        return float(left[0] * right[0])
    plain = left[0] * right[0] + left[1] * right[1] - mean * (left[0] * right[1] + left[1] * right[0])
    return float(plain / determinant)


def _solve(vector: np.ndarray, mean: float) -> np.ndarray:
    """K⁻¹·vector."""
    e = np.eye(2)
    return np.array([_projected(e[0], vector, mean), _projected(e[1], vector, mean)])


def _block(
    the: Plan, walk: Forward, found: Moments, block: int, beta: float, omega: float, state: np.ndarray
) -> tuple[float, np.ndarray]:
    """One block back: the factor of E‖g‖², and the new E of (1ᵀg, hᵀg)/n products relative to ‖g‖²/n."""
    n, residual = the.width, bool(the.branch)
    mean, before, mean_f = walk.mean_h[block], walk.mean_h[block - 1], walk.mean_f[block]
    ratio = walk.ratio[block] if residual else 1.0
    root = np.exp((walk.log_h[block] - walk.log_h[block - 1]) / 2) if residual else 1.0
    old = 1.0 if residual else 0.0  # h_l = (old·h_{l−1} + ratio·f)/root, all of unit second moment
    tilt, bend = found.tilt[block] * the.kept**0.5, 1 + 2 * found.bend[block, 0]
    along = found.growth[block, 0] * np.exp(
        (found.log_phi2[block] - found.log_slope2[block] - walk.log_y[block]) / 2
    )
    if the.place == "after":  # the norm's derivative takes f's own direction out of g
        tilt, bend, along = tilt - along * mean_f, bend - along**2, 0.0
    slope = np.array([tilt, (old * before * tilt + ratio * along) / root])  # zφ′ with 1 and with h
    past = np.array([before, (old + ratio * before * mean_f) / root])  # h_{l−1} with 1 and with h
    to_slope, to_past = _solve(slope, mean), _solve(past, mean)
    explained = _solve(np.array([1.0, 0]), mean), _solve(np.array([0, 1.0]), mean)
    free = max(0.0, 1 - float(np.sum(np.array(explained) * state))) / n

    slope2 = to_slope @ state @ to_slope + free * (bend - _projected(slope, slope, mean))
    past2 = to_past @ state @ to_past + free * (1 - _projected(past, past, mean))
    both = to_slope @ state @ to_past + free * (before * tilt - _projected(slope, past, mean))
    push = np.sqrt(omega * beta)
    twice = 0.0 if residual else (state[1, 1] - 1 / n) * (found.cross[block].sum() - 1)  # D on the part along h
    double = 0.0 if the.orthogonal else push**2 * slope2 - beta * omega / n
    factor = old + beta * (1 + twice) + 2 * old * push * both + double
    slope1, past1 = to_slope @ state[0], to_past @ state[0]
    one = old * (state[0, 0] + 2 * push * before * slope1) + (push * before) ** 2 * slope2
    cross = old * (past1 + push * slope1 + push * before * both) + push**2 * before * slope2
    two = old * past2 + 2 * old * push * both + push**2 * slope2
    fresh = beta / n * np.array([[1 - omega * before**2, before * (1 - omega)], [before * (1 - omega), 1 - omega]])
    return float(factor), (np.array([[one, cross], [cross, two]]) + fresh) / factor


def at_loss(classes: int, logit_variance: float) -> tuple[float, float]:
    """κ = n·(gᵀh)²/(‖g‖²‖h‖²) of the cross-entropy's gradient at random logits and labels, and its spread.

    gᵀh = ℓᵀ(p − e): κ = 1 while the logits ℓ are small, 1.9 for ten classes when they are large. The spread is the
    relative variance over networks of its mean over labels. From 4096 fixed draws of ℓ, to 3 %.
    """
    logits = np.random.default_rng(0).standard_normal((4096, classes))
    scaled = logits * np.sqrt(min(logit_variance, 1e12))
    p = np.exp(scaled - scaled.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    along = np.sum(p * logits, axis=1, keepdims=True) - logits  # one column a label
    size = np.sum(p * p, axis=1, keepdims=True) + 1 - 2 * p
    mean = np.mean(along**2, axis=1)
    return float(mean.mean() / size.mean()), float(mean.var() / mean.mean() ** 2)


def coherence(the: Plan, walk: Forward, found: Moments, log_beta: np.ndarray, kappa: float) -> np.ndarray:
    """What it adds to ln E‖∂L/∂h‖² at each block, beside ln of the mean-field factor; κ as at the loss."""
    omega = 1 - the.bias * np.exp(-np.maximum(walk.log_q, -700.0))
    mean = walk.mean_h[-1]
    state = np.array([[mean**2 * kappa + 1 - mean**2, mean * kappa], [mean * kappa, kappa]]) / the.width
    result = np.zeros(the.depth + 1)
    beta = np.exp(np.clip(log_beta, -600, 600)) * (the.branch or 1.0) ** 2
    for block in range(the.depth, 0, -1):
        factor, state = _block(the, walk, found, block, beta[block], omega[block], state)
        result[block] = np.log(factor / (bool(the.branch) + beta[block]))
    return result
