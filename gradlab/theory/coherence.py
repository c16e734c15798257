"""The part of a backward signal that is no fresh random vector: along h, and along the mean of the units.

W meets h forward and backward: Wᵀv = ω·h·(zᵀv)/‖h‖² + a fresh vector, so g = ∂L/∂h has parts along h and
along 1 = (1, …, 1). Without residuals they stay of order 1/n. In h + α·φ(Wh) with E φ ≠ 0 (ReLU, GELU) h
has a mean m, zᵀφ′(z)g sees the mean of g, and the part along 1 grows by about 1 + α·m·E[zφ′]/E h² a block,
faster than the rest's √(1 + α²χ): starting from 1/n it may come to carry the whole signal.
Own derivation; Monte Carlo in tests/theory.
"""

from dataclasses import dataclass

import numpy as np

from gradlab.theory.forward import Forward, Network
from gradlab.theory.kernel import Moments


@dataclass(frozen=True)
class _Overlaps:
    """Means over units of products of vectors of unit second moment: with 1 and with h_l where two stand."""

    mean: float  # 1 with h_l
    before: float  # 1 with h_{l−1}
    tilt: float  # 1 with zφ′
    bend: float  # zφ′ with itself
    slope: tuple[float, float]  # zφ′
    past: tuple[float, float]  # h_{l−1}


def _overlaps(the: Network, walk: Forward, found: Moments, block: int) -> _Overlaps:
    before, mean_f = float(walk.mean_h[block - 1]), float(walk.mean_f[block])
    ratio, root, old = 1.0, 1.0, 0.0  # h_l = (old·h_{l−1} + ratio·f)/root
    if the.branch:
        grown = float(walk.log_h[block] - walk.log_h[block - 1])
        ratio, root, old = float(walk.ratio[block]), float(np.exp(grown / 2)), 1.0
    tilt, bend = float(found.tilt[block]) * the.kept**0.5, 1 + 2 * float(found.bend[block, 0])
    scale = found.log_phi2[block] - found.log_slope2[block] - walk.log_y[block]
    along = float(found.growth[block, 0] * np.exp(scale / 2))
    if the.place == "after":  # the norm's derivative takes f's own direction out of g
        tilt, bend, along = tilt - along * mean_f, bend - along**2, 0.0
    slope = (tilt, (old * before * tilt + ratio * along) / root)
    past = (before, (old + ratio * before * mean_f) / root)
    return _Overlaps(float(walk.mean_h[block]), before, tilt, bend, slope, past)


def _solve(vector: tuple[float, float], mean: float) -> tuple[float, float]:
    """Coefficients of a vector on 1 and h from its products with them; h is dropped where it is 1."""
    determinant = 1 - mean * mean
    if determinant < 1e-9:
        return vector[0], 0.0
    a, b = vector
    return (a - mean * b) / determinant, (b - mean * a) / determinant


State = tuple[float, float, float]  # E of (1ᵀg)², 1ᵀg·hᵀg, (hᵀg)², each over n·‖g‖²


def _product(a: tuple[float, float], b: tuple[float, float], state: State) -> float:
    return a[0] * b[0] * state[0] + (a[0] * b[1] + a[1] * b[0]) * state[1] + a[1] * b[1] * state[2]


def _block(
    the: Network, of: _Overlaps, beta: float, omega: float, excess: float, state: State
) -> tuple[float, State]:
    """One block back: the factor of E‖g‖², and the new state. `excess`: of φ′² on h, over its mean."""
    n, old = the.width, 1.0 if the.branch else 0.0
    unit: State = (1.0, of.mean, 1.0)
    slope, past = _solve(of.slope, of.mean), _solve(of.past, of.mean)
    e1, e2 = _solve((1.0, 0.0), of.mean), _solve((0.0, 1.0), of.mean)
    seen = e1[0] * state[0] + 2 * e1[1] * state[1] + e2[1] * state[2]
    free = max(0.0, 1 - seen) / n  # per direction outside of 1 and h

    slope2 = _product(slope, slope, state) + free * (of.bend - _product(slope, slope, unit))
    past2 = _product(past, past, state) + free * (1 - _product(past, past, unit))
    both = _product(slope, past, state) + free * (of.before * of.tilt - _product(slope, past, unit))
    slope1, past1 = (_product(v, (1.0, 0.0), state) for v in (slope, past))
    push, m = (omega * beta) ** 0.5, of.before
    double = 0.0 if the.orthogonal else push**2 * slope2 - beta * omega / n
    parted = 0.0 if the.branch else (state[2] - 1 / n) * excess
    factor = old + beta * (1 + parted) + 2 * old * push * both + double
    fresh = beta / n
    one = old * (state[0] + 2 * push * m * slope1) + (push * m) ** 2 * slope2 + fresh * (1 - omega * m * m)
    cross = old * (past1 + push * slope1 + push * m * both) + push**2 * m * slope2 + fresh * m * (1 - omega)
    two = old * (past2 + 2 * push * both) + push**2 * slope2 + fresh * (1 - omega)
    return factor, (one / factor, cross / factor, two / factor)


def at_loss(classes: int, logit_variance: float) -> tuple[float, float]:
    """κ = n·(gᵀh)²/(‖g‖²‖h‖²) of the cross-entropy's gradient at random logits and labels, and its spread.

    gᵀh = ℓᵀ(p − e): κ = 1 while the logits ℓ are small, 1.95 for ten classes when they are large. The spread
    is the relative variance over networks of its mean over labels. From 4096 fixed draws of ℓ, to 3 %.
    """
    logits = np.random.default_rng(0).standard_normal((4096, classes))
    scaled = logits * np.sqrt(min(logit_variance, 1e12))
    p = np.exp(scaled - scaled.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    along = np.sum(p * logits, axis=1, keepdims=True) - logits  # one column a label
    size = np.sum(p * p, axis=1, keepdims=True) + 1 - 2 * p
    mean = np.mean(along**2, axis=1)
    return float(mean.mean() / size.mean()), float(mean.var() / mean.mean() ** 2)


def coherence(the: Network, walk: Forward, found: Moments, log_beta: np.ndarray, kappa: float) -> np.ndarray:
    """What it adds to ln E‖∂L/∂h‖² at each block, beside ln of the mean-field factor; κ as at the loss."""
    omega = 1 - the.bias * np.exp(-np.maximum(walk.log_q, -700.0))
    beta = np.exp(np.clip(log_beta, -600, 600)) * (the.branch or 1.0) ** 2
    excess = found.cross.sum(1) - 1
    n, mean = the.width, float(walk.mean_h[-1])
    state = ((mean**2 * kappa + 1 - mean**2) / n, mean * kappa / n, kappa / n)
    result = np.zeros(the.depth + 1)
    for block in range(the.depth, 0, -1):
        of = _overlaps(the, walk, found, block)
        factor, state = _block(the, of, float(beta[block]), float(omega[block]), float(excess[block]), state)
        result[block] = factor / (bool(the.branch) + beta[block])
    result[1:] = np.log(result[1:])
    return result
