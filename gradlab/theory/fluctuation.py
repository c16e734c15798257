"""What finite width adds to mean field: how far one random network strays, and where its typical value lies.

Per block, in units of 1/n, for one example and Gaussian weights:
    Var ln‖∂L/∂h‖² = 2 [from Wᵀ] + 3·(E φ′⁴/(E φ′²)² − 1) [from the units], so 5/n for ReLU, 2/n for linear;
    Var ln‖h‖²     = E φ⁴/(E φ²)² − 1,
the second moving every later length q, hence χ(q), by the first and second derivatives of ln V and ln χ.
Orthogonal weights keep ‖Wᵀv‖ and ‖Wh‖: the 2 goes, and what φ², φ′² share with z² (Hermite degree 2).
A batch averages what its examples do not share: every variance becomes its mean over pairs of examples,
whose pre-activations correlate by c and gradients by ρ (`_gradient_likeness`). The mean of a logarithm lies
below the logarithm of the mean by half the variance: −5/(2n), −1/n a block in ln‖·‖² for one example.
Own derivation, to first order in 1/n (second in the length's fluctuation), checked by Monte Carlo in
tests/theory: deviations to two fifths, means to 1/n a block; batch norm's own shift of the mean, within 2/n a
block, is left out. Where `bent` passes 1 (GELU under He) the expansion is a guess.
"""

from dataclasses import dataclass

import numpy as np

from gradlab.theory.coherence import at_loss, coherence
from gradlab.theory.forward import Forward, Network
from gradlab.theory.kernel import Moments, paired


@dataclass(frozen=True)
class Noise:
    """Variances in units of 1/n of one block's f and branch: (one example alone, the mean over a batch)."""

    length: np.ndarray  # of ln‖f‖²
    units: np.ndarray  # of ln‖D g‖²
    shared: np.ndarray  # their covariance
    weights: np.ndarray  # of ln‖Wᵀv‖²
    norm: np.ndarray  # of what the norm divides by
    skip: np.ndarray  # of the product of skip and branch


@dataclass(frozen=True)
class Response:
    """Of a block to x = δ ln E h² before it, at ln E h² after it and at ln of the backward factor."""

    length: np.ndarray
    length_second: np.ndarray
    factor: np.ndarray
    factor_second: np.ndarray


def _average(alone: np.ndarray, pair: np.ndarray, batch: int) -> np.ndarray:
    return np.stack([alone, alone / batch + pair * (1 - 1 / batch)])


def _gradient_likeness(
    the: Network, keep: np.ndarray, loose: np.ndarray, share: np.ndarray, classes: int
) -> np.ndarray:
    """E ρ² of two examples' ∂L/∂h_l, from 1/(classes − 1) at the loss backward.

    Each block multiplies it by (χ_c/χ)² = keep², and adds 1/n by the chance of Wᵀ and `loose`/n by that of D,
    loose = E φ′₁²φ′₂²/(E φ′²)² − keep². (Batch norm whitens: none is added.)
    """
    result = np.empty(the.depth + 1)
    rho2 = result[-1] = 1 / max(classes - 1, 1)
    chance = share**2 * (loose + (not the.orthogonal)) / the.width * (the.norm != "batch")
    kept = ((1 - share) + share * keep) ** 2
    for block in range(the.depth, 0, -1):
        rho2 = rho2 * kept[block]
        rho2 = result[block - 1] = min(1.0, rho2 + chance[block] * (1 + 2 * rho2) * (1 - rho2))
    return result


def noise(the: Network, found: Moments, c: np.ndarray, share: np.ndarray, classes: int) -> Noise:
    """The variances of every block. `share`: the branch's of the squared factor."""
    normed = the.place == "before" and the.norm in ("layer", "rms")

    def covariance(spectrum: np.ndarray) -> np.ndarray:
        """E f(u₁)g(u₂)/(E f·E g) − 1 without what a fixed ‖z‖ (and mean of z) takes away."""
        rest = spectrum.copy()
        rest[:, 0] = 0
        rest[:, 2] *= not (normed or the.orthogonal)
        rest[:, 1] *= not (normed and the.norm == "layer")
        alone = rest.sum(1) + spectrum.sum(1) * (1 / the.kept - 1)
        return np.stack([alone, paired(rest, c)])

    keep = paired(found.slope, c) * the.kept
    loose_slope = np.maximum(0, paired(found.slope2, c) - keep**2)
    rho2 = _gradient_likeness(the, keep, loose_slope, share, classes)
    slope2, fixed = covariance(found.slope2), covariance(found.slope2)
    if the.orthogonal or normed:  # g is isotropic all the same: 2 of the 3 parts see the whole spectrum
        slope2 = np.stack([found.slope2.sum(1) / the.kept - 1, paired(found.slope2, c) - 1])
    of_length, of_both = covariance(found.phi2), covariance(found.cross)
    length = _average(of_length[0], of_length[1], the.batch)
    shared = _average(of_both[0], of_both[1], the.batch)
    units = _average(2 * slope2[0] + fixed[0], 2 * rho2 * slope2[1] + fixed[1], the.batch)
    loose = 0.0 if the.orthogonal else 1.0
    ones = np.ones_like(c)
    weights = 2 * loose * _average(ones, rho2 * keep**2, the.batch)
    norm = np.zeros_like(length)
    if the.place == "before":
        norm = 2 * loose * _average(ones, c**2, the.batch)
    elif the.place == "after":
        norm, length, shared = length - 2 * shared, 0 * length, 0 * shared
    return Noise(length, units, shared, weights, norm, _average(ones, rho2 * keep, the.batch))


def _mix(weights: list[np.ndarray], firsts: list[np.ndarray], seconds: list[np.ndarray]) -> np.ndarray:
    """First and second derivative of ln Σ e^t from those of the t and their shares of the sum."""
    first = sum(w * t for w, t in zip(weights, firsts, strict=True))
    second = sum(w * (u + t * t) for w, t, u in zip(weights, firsts, seconds, strict=True)) - first**2
    return np.stack([first, second])


def response(the: Network, walk: Forward, found: Moments, share: np.ndarray) -> Response:
    """Derivatives of every block's two logarithms by ln E h² before it."""
    omega = 1 - the.bias * np.exp(-np.maximum(walk.log_q, -700.0))
    zero = np.zeros_like(omega)

    def by_input(d: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return d[:, 0] * omega, d[:, 1] * omega**2 + d[:, 0] * omega * (1 - omega)

    if the.norm == "batch":
        return Response(zero, zero, zero, zero)
    f = by_input(found.growth) if the.place == "none" else (zero, zero)
    beta = by_input(found.bend)
    if the.place == "before":
        divided = omega * np.exp(walk.log_y)
        beta = (-divided, -divided * (1 - divided))
    elif the.place == "after":
        growth = by_input(found.growth)
        beta = (beta[0] - growth[0], beta[1] - growth[1])
    if not the.branch:
        return Response(f[0], f[1], beta[0], beta[1])
    before = np.exp(np.concatenate([[0.0], walk.log_h[:-1]]) - walk.log_h)
    ratio = np.where(np.isfinite(walk.ratio), walk.ratio, 0)
    parts = [before, before * ratio**2, 1 - before * (1 + ratio**2)]
    length = _mix(parts, [zero + 1, f[0], (1 + f[0]) / 2], [zero, f[1], zero])
    factor = _mix([1 - share, share], [zero, beta[0]], [zero, beta[1]])
    return Response(length[0], length[1], factor[0], factor[1])


def _norm_shift(the: Network, walk: Forward, found: Moments) -> np.ndarray:
    """What a layer or RMS norm adds to the mean of ln‖∂L/∂h‖² at each block, in units of 1/n.

    Before the activation zᵀv = 0 and, without a residual, gᵀh = 0: the terms are E n·q/‖z‖² (+2, layer norm
    +3), Wᵀ's lost direction (−1), the directions the norm's derivative takes, D on what is orthogonal to h.
    """
    bend, growth = 1 + 2 * found.bend[:, 0], found.growth[:, 0]
    scale = np.exp(found.log_phi2 - found.log_slope2 - walk.log_y)
    along, twice = growth**2 * scale, found.cross.sum(1)
    if the.place == "after":
        return found.phi2.sum(1) - 2 * twice
    loose = 0.0 if the.orthogonal else 1.0
    result = loose - (bend - along) + 1 - twice
    if the.norm == "layer":
        result += loose - 1 + found.phi2[:, 1] * scale / 4
    return result


def _quartic(derivatives: np.ndarray) -> np.ndarray:
    """E[f·He₄]/(4·E f): what f loses, times 1/n, where z has a fixed norm and so a lower kurtosis."""
    return derivatives[:, 1] - derivatives[:, 0] + derivatives[:, 0] ** 2


def _sums(steps: np.ndarray) -> np.ndarray:
    """Σ over k > l, for l = 0…L."""
    return np.concatenate([np.cumsum(steps[:0:-1])[::-1], [0.0]])


def _shares(the: Network, walk: Forward, log_beta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The branch's share of the squared backward factor, and of E h²; 1 where there is no residual."""
    ones = np.ones(the.depth + 1)
    if not the.branch:
        return ones, ones
    share = 1 / (1 + np.exp(-np.clip(log_beta + 2 * np.log(the.branch), -700, 700)))
    before = np.exp(np.concatenate([[0.0], walk.log_h[:-1]]) - walk.log_h)
    return share, np.where(np.isfinite(walk.ratio), before * walk.ratio**2, 1.0)


@dataclass(frozen=True)
class _Lengths:
    """δ ln E h_l² forward, and what it does to the backward signal: variances (alone, batch) and means."""

    variance: np.ndarray
    mean: np.ndarray
    moved: np.ndarray  # variance that lengths bring to ln‖∂L/∂h_l‖², with their covariance to D's own
    shift: np.ndarray  # of the mean of ln‖∂L/∂h_l‖²
    bent: float  # the largest second-order term: above about 1 the expansion fails


def _lengths(to: Response, length: np.ndarray, both: np.ndarray, kurtosis: np.ndarray) -> _Lengths:
    """x_l = ψ_l·x_{l−1} + ε_l; reach_l = Σ_{k>l} s_k·Ψ(l→k): what x_l does to all the factors above."""
    size = length.shape[1]
    fresh = -length[0] / 2 - kurtosis
    mean, x, reach = np.zeros(size), np.zeros((2, size)), np.zeros(size)
    x[:, 0], mean[0] = length[:, 0], fresh[0]
    for block in range(1, size):
        psi, second = to.length[block], to.length_second[block]
        x[:, block] = psi**2 * x[:, block - 1] + length[:, block]
        mean[block] = psi * mean[block - 1] + second * x[0, block - 1] / 2 + fresh[block]
    for block in range(size - 1, 0, -1):
        reach[block - 1] = to.factor[block] + to.length[block] * reach[block]
    new = [_sums(v * reach**2 + 2 * b * reach) for v, b in zip(length, both, strict=True)]
    moved = x * reach**2 + np.stack(new)
    steps = np.zeros(size)
    steps[1:] = to.factor[1:] * mean[:-1] + to.factor_second[1:] * x[0, :-1] / 2
    curved = np.abs(to.length_second) + np.abs(to.factor_second)
    bent = float(np.max(x[0] * curved))
    held = (1 + bent) ** -0.5  # beyond 1 the expansion overshoots
    return _Lengths(x, held * mean, moved, held * (_sums(steps) + moved[0] / 2), bent)


@dataclass(frozen=True)
class Finite:
    """Of ln‖∂L/∂h_l‖²/‖∂L/∂h_L‖² and ln E h_l²: variance and shifts of the mean, blocks 0…L."""

    variance: np.ndarray
    shift: np.ndarray
    length_shift: np.ndarray
    coherent: np.ndarray  # of the shift: what `coherence` adds
    bent: float  # above about 1 the expansion fails


def finite_width(
    the: Network, walk: Forward, found: Moments, c: np.ndarray, log_beta: np.ndarray, classes: int
) -> Finite:
    """Sums the blocks' noise from layer L down, and the lengths' from the input up."""
    n, residual = the.width, bool(the.branch)
    share, own = _shares(the, walk, log_beta)
    one = noise(the, found, c, share, classes)
    pairs = np.stack([np.ones_like(c), 1 / the.batch + (1 - 1 / the.batch) * c**2])
    length = (own**2 * one.length + residual * 4 * own * (1 - own) * pairs) / n
    eta = (share**2 * (one.units + one.weights + one.norm) + 4 * share * (1 - share) * one.skip) / n

    fixed = the.orthogonal or (the.place == "before" and the.norm != "batch")
    after = the.place == "after"
    kurtosis = fixed * (not after) * own * _quartic(found.growth) / n
    lengths = _lengths(response(the, walk, found, share), length, own * share * one.shared / n, kurtosis)
    extra = -fixed * (_quartic(found.bend) - after * _quartic(found.growth))
    coherent, spread = np.zeros(the.depth + 1), 0.0
    if the.norm == "none" or (the.norm == "rms" and after and residual):
        logits = the.logit_gain * float(np.exp(min(walk.log_h[-1], 600.0)))
        kappa, spread = at_loss(classes, logits)
        coherent = _sums(coherence(the, walk, found, log_beta, kappa))
    elif the.norm != "batch":
        extra = extra + _norm_shift(the, walk, found)
    variance = lengths.moved[1] + _sums(eta[1]) + spread * (1 - np.exp(-np.maximum(coherent, 0))) ** 2
    shift = lengths.shift + _sums(share * extra / n) + coherent - variance / 2
    x = lengths.variance
    length_shift = lengths.mean + (x[0] - x[1]) / 2
    return Finite(np.maximum(variance, 0), shift, length_shift, coherent, lengths.bent)
