"""The components of a backward signal that are not freshly random: along h, and along the mean of the units.

W meets h forward and backward: Wᵀv = ω·h·(zᵀv)/‖h‖² + a fresh vector, so g = ∂L/∂h has parts along h and
along 1 = (1, …, 1). Without residuals they stay of order 1/n. In h + α·φ(Wh) with E φ ≠ 0 (ReLU, GELU) h
has a mean m, zᵀφ′(z)g contains the mean of g, and the part along 1 grows by about 1 + α·m·E[zφ′]/E h² per block,
faster than the rest's √(1 + α²χ): starting from 1/n it may come to carry the whole signal.
The derivation is gradlab's own, checked by Monte Carlo in tests/theory.
"""

from dataclasses import dataclass

import numpy as np

from gradlab.theory.forward import ForwardSignal, Network
from gradlab.theory.kernel import Moments


@dataclass(frozen=True)
class _Overlaps:
    """Means over units of products of two vectors of unit second moment; pairs are the products with 1 and with h_l."""

    mean: float  # 1 with h_l
    before: float  # 1 with h_{l−1}
    tilt: float  # 1 with zφ′
    bend: float  # zφ′ with itself
    slope: tuple[float, float]  # zφ′
    past: tuple[float, float]  # h_{l−1}


def _overlaps(network: Network, forward: ForwardSignal, moments: Moments, block: int) -> _Overlaps:
    before, mean_f = float(forward.mean_h[block - 1]), float(forward.mean_f[block])
    ratio, root, old = 1.0, 1.0, 0.0  # h_l = (old·h_{l−1} + ratio·f)/root
    if network.branch:
        grown = float(forward.log_h[block] - forward.log_h[block - 1])
        ratio, root, old = float(forward.ratio[block]), float(np.exp(grown / 2)), 1.0
    tilt = float(moments.slope_tilt[block]) * network.keep_rate**0.5
    bend = 1 + 2 * float(moments.slope_growth[block, 0])
    scale = moments.log_phi2[block] - moments.log_slope2[block] - forward.log_y[block]
    along = float(moments.growth[block, 0] * np.exp(scale / 2))
    if network.norm_place == "after":  # the norm's derivative takes f's own direction out of g
        tilt, bend, along = tilt - along * mean_f, bend - along**2, 0.0
    slope = (tilt, (old * before * tilt + ratio * along) / root)
    past = (before, (old + ratio * before * mean_f) / root)
    return _Overlaps(
        mean=float(forward.mean_h[block]), before=before, tilt=tilt, bend=bend, slope=slope, past=past
    )


def _solve(vector: tuple[float, float], mean: float) -> tuple[float, float]:
    """Coefficients of a vector on 1 and h from its products with them; h is dropped where it is 1."""
    determinant = 1 - mean * mean
    if determinant < 1e-9:
        return vector[0], 0.0
    a, b = vector
    return (a - mean * b) / determinant, (b - mean * a) / determinant


GradientOverlaps = tuple[float, float, float]  # E of (1ᵀg)², 1ᵀg·hᵀg, (hᵀg)², each over n·‖g‖²


def _product(a: tuple[float, float], b: tuple[float, float], state: GradientOverlaps) -> float:
    return a[0] * b[0] * state[0] + (a[0] * b[1] + a[1] * b[0]) * state[1] + a[1] * b[1] * state[2]


def _block(
    network: Network, overlaps: _Overlaps, beta: float, omega: float, excess: float, state: GradientOverlaps
) -> tuple[float, GradientOverlaps]:
    """The factor of E‖g‖² over one block backward, and the gradient's overlaps before it.

    `excess` is how much the mean of φ′² weighted by φ² exceeds that of φ′², relative to it.
    """
    n, old = network.width, 1.0 if network.branch else 0.0
    unit: GradientOverlaps = (1.0, overlaps.mean, 1.0)
    slope, past = _solve(overlaps.slope, overlaps.mean), _solve(overlaps.past, overlaps.mean)
    e1, e2 = _solve((1.0, 0.0), overlaps.mean), _solve((0.0, 1.0), overlaps.mean)
    aligned = e1[0] * state[0] + 2 * e1[1] * state[1] + e2[1] * state[2]
    free = max(0.0, 1 - aligned) / n  # per direction outside of 1 and h

    slope2 = _product(slope, slope, state) + free * (overlaps.bend - _product(slope, slope, unit))
    past2 = _product(past, past, state) + free * (1 - _product(past, past, unit))
    both = _product(slope, past, state) + free * (
        overlaps.before * overlaps.tilt - _product(slope, past, unit)
    )
    slope1, past1 = (_product(v, (1.0, 0.0), state) for v in (slope, past))
    push, m = (omega * beta) ** 0.5, overlaps.before
    double = 0.0 if network.orthogonal else push**2 * slope2 - beta * omega / n
    aligned_excess = 0.0 if network.branch else (state[2] - 1 / n) * excess
    factor = old + beta * (1 + aligned_excess) + 2 * old * push * both + double
    fresh = beta / n
    with_mean = (
        old * (state[0] + 2 * push * m * slope1) + (push * m) ** 2 * slope2 + fresh * (1 - omega * m * m)
    )
    cross = old * (past1 + push * slope1 + push * m * both) + push**2 * m * slope2 + fresh * m * (1 - omega)
    with_h = old * (past2 + 2 * push * both) + push**2 * slope2 + fresh * (1 - omega)
    return factor, (with_mean / factor, cross / factor, with_h / factor)


def at_loss(classes: int, logit_variance: float) -> tuple[float, float]:
    """κ = n·(gᵀh)²/(‖g‖²‖h‖²) of the cross-entropy's gradient at random logits and labels, and its spread.

    gᵀh = ℓᵀ(p − e): κ = 1 while the logits ℓ are small, 1.95 for ten classes when they are large. The spread
    is the relative variance over networks of its mean over labels. From 4096 fixed draws of ℓ, to 3 %; of very many
    classes from fewer, as each draw has so many labels.
    """
    draws = max(16, min(4096, 4 * 10**7 // classes))
    logits = np.random.default_rng(0).standard_normal((draws, classes))
    scaled = logits * np.sqrt(min(logit_variance, 1e12))
    p = np.exp(scaled - scaled.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    along = np.sum(p * logits, axis=1, keepdims=True) - logits  # one column per label
    size = np.sum(p * p, axis=1, keepdims=True) + 1 - 2 * p
    mean = np.mean(along**2, axis=1)
    return float(mean.mean() / size.mean()), float(mean.var() / mean.mean() ** 2)


def alike_at_loss(classes: int, logit_variance: float, c: float) -> float:
    """E (g₁ᵀg₂)²/(E‖g‖²)² of the cross-entropy's gradients g = p − e of two examples, whose logits correlate by c.

    1/(classes − 1) while the logits are small. Where they are large and alike, all examples are given to the same
    wrong class, and it is 0.33 for ten classes. Over random labels it is exact; the logits are fixed draws (to 3 %).
    """
    if classes < 2:
        return 1.0
    draws = max(16, min(4096, 4 * 10**7 // classes))
    first, fresh = np.random.default_rng(0).standard_normal((2, draws, classes))
    other = c * first + np.sqrt(max(1 - c * c, 0.0)) * fresh
    logits = np.sqrt(min(logit_variance, 1e12)) * np.stack([first, other])
    p = np.exp(logits - logits.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    # of labels i and j: g₁ᵀg₂ = p₁ᵀp₂ − p₁[j] − p₂[i] + (i = j)
    mean = np.sum(p[0] * p[1], axis=-1) - 2 / classes
    squares = np.sum(p * p, axis=-1)
    products = mean**2 + squares.sum(0) / classes - 2 / classes**2 + (1 + 2 * mean) / classes
    return float(products.mean() / np.mean(squares + 1 - 2 / classes) ** 2)


def coherence_shift(
    network: Network, forward: ForwardSignal, moments: Moments, log_beta: np.ndarray, kappa: float
) -> np.ndarray:
    """What coherence adds to the ln of each block's mean-field factor of E‖∂L/∂h‖², shape (L + 1,).

    `log_beta` of shape (L + 1,) is from `log_branch`, `kappa` from `at_loss`.
    """
    omega = 1 - network.bias * np.exp(-np.maximum(forward.log_q, -700.0))
    beta = np.exp(np.clip(log_beta, -600, 600)) * (network.branch or 1.0) ** 2
    excess = moments.cross.sum(1) - 1
    n, mean = network.width, float(forward.mean_h[-1])
    state = ((mean**2 * kappa + 1 - mean**2) / n, mean * kappa / n, kappa / n)
    result = np.zeros(network.depth + 1)
    for block in range(network.depth, 0, -1):
        overlaps = _overlaps(network, forward, moments, block)
        factor, state = _block(
            network, overlaps, float(beta[block]), float(omega[block]), float(excess[block]), state
        )
        result[block] = factor / (bool(network.branch) + beta[block])
    result[1:] = np.log(result[1:])
    return result
