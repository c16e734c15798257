"""What finite width adds to mean field: how much random networks differ, and where their typical value lies.

Per block, in units of 1/n, for one example and Gaussian weights:
    Var ln‖∂L/∂h‖² = 2 [from Wᵀ] + 3·(E φ′⁴/(E φ′²)² − 1) [from the units], so 5/n for ReLU, 2/n for linear;
    Var ln‖h‖²     = E φ⁴/(E φ²)² − 1,
the second changing every later length q, hence χ(q), by the first and second derivatives of ln V and ln χ.
Orthogonal weights keep ‖Wᵀv‖ and ‖Wh‖: the 2 vanishes, and so does what φ², φ′² share with z² (Hermite degree 2).
In a batch every variance becomes its mean over pairs of examples, whose pre-activations correlate by c and
gradients by ρ (`_gradient_correlation`). The mean of a logarithm lies
below the logarithm of the mean by half the variance: −5/(2n), −1/n per block in ln‖·‖² for one example.
The derivation is gradlab's own, to first order in 1/n (second in the length's fluctuation), checked by Monte Carlo in
tests/theory: standard deviations to two fifths, means to 1/n per block. The shift of the mean by batch norm, within 2/n
per block, is left out. Where `second_order` exceeds 1 (GELU with He's weights) the expansion is only a rough estimate.
"""

from dataclasses import dataclass, fields

import numpy as np

from gradlab.theory.coherence import alike_at_loss, at_loss, coherence_shift
from gradlab.theory.forward import ForwardSignal, Network, Pairs
from gradlab.theory.kernel import Moments, pair_mean


@dataclass(frozen=True)
class BlockNoise:
    """Variances that each block adds, in units of 1/n, shape (2, L + 1): of one example, of the mean over a batch."""

    length: np.ndarray  # of ln‖f‖²
    units: np.ndarray  # of ln‖D g‖²
    shared: np.ndarray  # their covariance
    weights: np.ndarray  # of ln‖Wᵀv‖²
    norm: np.ndarray  # of what the norm divides by
    skip: np.ndarray  # of the product of skip and branch


@dataclass(frozen=True)
class BlockResponse:
    """Derivatives by ln E h² before a block, shape (L + 1,): of ln E h² after it, and of ln of its backward factor."""

    length: np.ndarray
    length_second: np.ndarray
    factor: np.ndarray
    factor_second: np.ndarray


def _average(alone: np.ndarray, pair: np.ndarray, batch: int) -> np.ndarray:
    """Variances of one example, and of the mean over a batch whose pairs of examples have the covariance `pair`."""
    return np.stack([alone, alone / batch + pair * (1 - 1 / batch)])


def _gradient_correlation(
    network: Network, keep: np.ndarray, slope_noise: np.ndarray, share: np.ndarray, at_loss: float
) -> np.ndarray:
    """E ρ² of two examples' ∂L/∂h_l, from that `at_loss` backward.

    Each block multiplies it by (χ_c/χ)² = keep², and adds 1/n by the randomness of Wᵀ and `slope_noise`/n by that of D,
    slope_noise = E φ′₁²φ′₂²/(E φ′²)² − keep². (Batch norm whitens: nothing is added.)
    """
    result = np.empty(network.depth + 1)
    rho2 = result[-1] = at_loss
    added = share**2 * (slope_noise + (not network.orthogonal)) / network.width * (network.norm != "batch")
    factor = ((1 - share) + share * keep) ** 2
    for block in range(network.depth, 0, -1):
        rho2 = rho2 * factor[block]
        rho2 = result[block - 1] = min(1.0, rho2 + added[block] * (1 + 2 * rho2) * (1 - rho2))
    return result


def block_noise(
    network: Network, moments: Moments, c: np.ndarray, share: np.ndarray, at_loss: float
) -> BlockNoise:
    """The variances of every block; `c` and `share` (of the branch in the squared factor) have shape (L + 1,).

    `at_loss`: E ρ² of two examples' gradients by the logits.
    """
    normed = network.norm_place == "before" and network.norm in ("layer", "rms")

    def covariance(spectrum: np.ndarray) -> np.ndarray:
        """E f(u₁)g(u₂)/(E f·E g) − 1 without the terms that vanish for a fixed ‖z‖ (and a fixed mean of z)."""
        rest = spectrum.copy()
        rest[:, 0] = 0
        rest[:, 2] *= not (normed or network.orthogonal)
        rest[:, 1] *= not (normed and network.norm == "layer")
        alone = rest.sum(1) + spectrum.sum(1) * (1 / network.keep_rate - 1)
        return np.stack([alone, pair_mean(rest, c)])

    keep = pair_mean(moments.slope, c) * network.keep_rate
    slope_noise = np.maximum(0, pair_mean(moments.slope2, c) - keep**2)
    rho2 = _gradient_correlation(network, keep, slope_noise, share, at_loss)
    slope2, fixed = covariance(moments.slope2), covariance(moments.slope2)
    if network.orthogonal or normed:  # g is isotropic nevertheless: 2 of the 3 parts have the full spectrum
        slope2 = np.stack([moments.slope2.sum(1) / network.keep_rate - 1, pair_mean(moments.slope2, c) - 1])
    of_length, of_both = covariance(moments.phi2), covariance(moments.cross)
    length = _average(of_length[0], of_length[1], network.batch)
    shared = _average(of_both[0], of_both[1], network.batch)
    units = _average(2 * slope2[0] + fixed[0], 2 * rho2 * slope2[1] + fixed[1], network.batch)
    random_norm = 0.0 if network.orthogonal else 1.0
    ones = np.ones_like(c)
    weights = 2 * random_norm * _average(ones, rho2 * keep**2, network.batch)
    norm = np.zeros_like(length)
    if network.norm_place == "before":
        norm = 2 * random_norm * _average(ones, c**2, network.batch)
    elif network.norm_place == "after":
        norm, length, shared = length - 2 * shared, 0 * length, 0 * shared
    return BlockNoise(
        length=length,
        units=units,
        shared=shared,
        weights=weights,
        norm=norm,
        skip=_average(ones, rho2 * keep, network.batch),
    )


def _mean_noise(noises: list[BlockNoise], weights: np.ndarray) -> BlockNoise:
    """The mean over kinds of pairs: every variance is a mean over pairs."""
    return BlockNoise(
        **{
            field.name: np.average([getattr(noise, field.name) for noise in noises], axis=0, weights=weights)
            for field in fields(BlockNoise)
        }
    )


def _mix(weights: list[np.ndarray], firsts: list[np.ndarray], seconds: list[np.ndarray]) -> np.ndarray:
    """First and second derivative of ln Σ e^t, from those of each t and its share of the sum."""
    first = sum(w * t for w, t in zip(weights, firsts, strict=True))
    second = sum(w * (u + t * t) for w, t, u in zip(weights, firsts, seconds, strict=True)) - first**2
    return np.stack([first, second])


def block_response(
    network: Network, forward: ForwardSignal, moments: Moments, share: np.ndarray
) -> BlockResponse:
    """The derivatives of every block; `share`, of the branch in the squared backward factor, has shape (L + 1,)."""
    omega = 1 - network.bias * np.exp(-np.maximum(forward.log_q, -700.0))
    zero = np.zeros_like(omega)

    def by_input(d: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return d[:, 0] * omega, d[:, 1] * omega**2 + d[:, 0] * omega * (1 - omega)

    if network.norm == "batch":
        return BlockResponse(zero, zero, zero, zero)
    f = by_input(moments.growth) if network.norm_place == "none" else (zero, zero)
    beta = by_input(moments.slope_growth)
    if network.norm_place == "before":
        divided = omega * np.exp(forward.log_y)
        beta = (-divided, -divided * (1 - divided))
    elif network.norm_place == "after":
        growth = by_input(moments.growth)
        beta = (beta[0] - growth[0], beta[1] - growth[1])
    if not network.branch:
        return BlockResponse(f[0], f[1], beta[0], beta[1])
    before = np.exp(np.concatenate([[0.0], forward.log_h[:-1]]) - forward.log_h)
    ratio = np.where(np.isfinite(forward.ratio), forward.ratio, 0)
    parts = [before, before * ratio**2, 1 - before * (1 + ratio**2)]
    length = _mix(parts, [zero + 1, f[0], (1 + f[0]) / 2], [zero, f[1], zero])
    factor = _mix([1 - share, share], [zero, beta[0]], [zero, beta[1]])
    return BlockResponse(length[0], length[1], factor[0], factor[1])


def _norm_shift(network: Network, forward: ForwardSignal, moments: Moments) -> np.ndarray:
    """What a layer or RMS norm adds to the mean of ln‖∂L/∂h‖² at each block, in units of 1/n.

    Before the activation zᵀv = 0 and, without a residual, gᵀh = 0: the terms are E n·q/‖z‖² (+2, layer norm
    +3), Wᵀ's lost direction (−1), the directions that the norm's derivative removes, D on what is orthogonal to h.
    """
    bend, growth = 1 + 2 * moments.slope_growth[:, 0], moments.growth[:, 0]
    scale = np.exp(moments.log_phi2 - moments.log_slope2 - forward.log_y)
    along, covariance = growth**2 * scale, moments.cross.sum(1)
    result: np.ndarray
    if network.norm_place == "after":
        result = moments.phi2.sum(1) - 2 * covariance
        return result
    random_norm = 0.0 if network.orthogonal else 1.0
    result = random_norm - (bend - along) + 1 - covariance
    if network.norm == "layer":
        result += random_norm - 1 + moments.phi2[:, 1] * scale / 4
    return result


def _quartic(derivatives: np.ndarray) -> np.ndarray:
    """E[f·He₄]/(4·E f): the loss of E f, times 1/n, if z has a fixed norm and so a lower kurtosis."""
    result: np.ndarray = derivatives[:, 1] - derivatives[:, 0] + derivatives[:, 0] ** 2
    return result


def _sums_above(steps: np.ndarray) -> np.ndarray:
    """Σ over blocks k > l, for l = 0…L; shape (L + 1,)."""
    return np.concatenate([np.cumsum(steps[:0:-1])[::-1], [0.0]])


def _shares(network: Network, forward: ForwardSignal, log_beta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The branch's share of the squared backward factor, and of E h²; 1 where there is no residual."""
    ones = np.ones(network.depth + 1)
    if not network.branch:
        return ones, ones
    share = 1 / (1 + np.exp(-np.clip(log_beta + 2 * np.log(network.branch), -700, 700)))
    before = np.exp(np.concatenate([[0.0], forward.log_h[:-1]]) - forward.log_h)
    return share, np.where(np.isfinite(forward.ratio), before * forward.ratio**2, 1.0)


@dataclass(frozen=True)
class _LengthFluctuation:
    """The fluctuation of ln E h_l² and its effect on the backward signal; variances as in `BlockNoise`."""

    variance: np.ndarray
    mean: np.ndarray
    backward_variance: np.ndarray  # added to that of ln‖∂L/∂h_l‖², covariance with D included
    backward_shift: np.ndarray  # of the mean of ln‖∂L/∂h_l‖²
    second_order: float  # the largest second-order term: above about 1 the expansion fails


def _length_fluctuation(
    response: BlockResponse, length: np.ndarray, covariance: np.ndarray, kurtosis: np.ndarray
) -> _LengthFluctuation:
    """x_l = ψ_l·x_{l−1} + ε_l; reach_l = Σ_{k>l} s_k·Ψ(l→k): the effect of x_l on all factors above."""
    size = length.shape[1]
    fresh = -length[0] / 2 - kurtosis
    mean, x, reach = np.zeros(size), np.zeros((2, size)), np.zeros(size)
    x[:, 0], mean[0] = length[:, 0], fresh[0]
    for block in range(1, size):
        psi, second = response.length[block], response.length_second[block]
        x[:, block] = psi**2 * x[:, block - 1] + length[:, block]
        mean[block] = psi * mean[block - 1] + second * x[0, block - 1] / 2 + fresh[block]
    for block in range(size - 1, 0, -1):
        reach[block - 1] = response.factor[block] + response.length[block] * reach[block]
    new = [_sums_above(v * reach**2 + 2 * b * reach) for v, b in zip(length, covariance, strict=True)]
    backward_variance = x * reach**2 + np.stack(new)
    steps = np.zeros(size)
    steps[1:] = response.factor[1:] * mean[:-1] + response.factor_second[1:] * x[0, :-1] / 2
    curved = np.abs(response.length_second) + np.abs(response.factor_second)
    second_order = float(np.max(x[0] * curved))
    damping = (1 + second_order) ** -0.5  # beyond 1 the expansion overshoots
    return _LengthFluctuation(
        variance=x,
        mean=damping * mean,
        backward_variance=backward_variance,
        backward_shift=damping * (_sums_above(steps) + backward_variance[0] / 2),
        second_order=second_order,
    )


@dataclass(frozen=True)
class FiniteWidth:
    """Variance and shift of the mean of ln‖∂L/∂h_l‖²/‖∂L/∂h_L‖², and shift of ln E h_l²; arrays of shape (L + 1,)."""

    variance: np.ndarray
    shift: np.ndarray
    length_shift: np.ndarray
    coherent: np.ndarray  # the part of the shift that `coherence` adds
    second_order: float  # above about 1 the expansion fails


def finite_width(
    network: Network,
    forward: ForwardSignal,
    moments: Moments,
    pairs: Pairs,
    log_beta: np.ndarray,
    classes: int,
) -> FiniteWidth:
    """The sums of the noise of the gradients from block L down, and of the lengths from the input up.

    `pairs` is from `correlations`, `log_beta` of shape (L + 1,) from `log_branch`.
    """
    n, residual = network.width, bool(network.branch)
    share, length_share = _shares(network, forward, log_beta)
    logits = network.logit_gain * float(np.exp(min(forward.log_h[-1], 600.0)))
    noise = _mean_noise(
        [
            block_noise(network, moments, c[:-1], share, alike_at_loss(classes, logits, float(c[-1])))
            for c in pairs.c
        ],
        pairs.weights,
    )
    square = np.average(pairs.c**2, axis=0, weights=pairs.weights)[:-1]
    alike = np.stack([np.ones_like(square), 1 / network.batch + (1 - 1 / network.batch) * square])
    length = (length_share**2 * noise.length + residual * 4 * length_share * (1 - length_share) * alike) / n
    eta = (share**2 * (noise.units + noise.weights + noise.norm) + 4 * share * (1 - share) * noise.skip) / n

    fixed = network.orthogonal or (network.norm_place == "before" and network.norm != "batch")
    after = network.norm_place == "after"
    kurtosis = fixed * (not after) * length_share * _quartic(moments.growth) / n
    lengths = _length_fluctuation(
        block_response(network, forward, moments, share),
        length,
        length_share * share * noise.shared / n,
        kurtosis,
    )
    extra = -fixed * (_quartic(moments.slope_growth) - after * _quartic(moments.growth))
    coherent, spread = np.zeros(network.depth + 1), 0.0
    if network.norm == "none" or (network.norm == "rms" and after and residual):
        kappa, spread = at_loss(classes, logits)
        coherent = _sums_above(coherence_shift(network, forward, moments, log_beta, kappa))
    elif network.norm != "batch":
        extra = extra + _norm_shift(network, forward, moments)
    variance = (
        lengths.backward_variance[1]
        + _sums_above(eta[1])
        + spread * (1 - np.exp(-np.maximum(coherent, 0))) ** 2
    )
    shift = lengths.backward_shift + _sums_above(share * extra / n) + coherent - variance / 2
    x = lengths.variance
    length_shift = lengths.mean + (x[0] - x[1]) / 2
    return FiniteWidth(
        variance=np.maximum(variance, 0),
        shift=shift,
        length_shift=length_shift,
        coherent=coherent,
        second_order=lengths.second_order,
    )
