"""Moments of an activation of Gaussian pre-activations, for many variances at once: one row per layer.

All that a deep network needs (lengths, slopes, correlations of two inputs, fluctuations) are means of φ, φ′, φ², φ′²
against Hermite polynomials: E[f(u₁)g(u₂)] = Σ_k f_k·g_k·cᵏ where u₁, u₂ correlate by c (Mehler).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gradlab.theory.activations import Activation
from gradlab.theory.gaussian import hermite, rule

DEGREE = 40  # highest of a spectrum; the rest is one last term: a ReLU's correlations are right to 1e-3
LOWEST, HIGHEST = -80.0, 40.0  # ln q; beyond, an activation is continued as a power of its argument
_CHUNK = 500


@dataclass(frozen=True)
class Sample:
    """x = √q·z, φ(x) and φ′(x) of shape (layers, nodes) at the nodes of a quadrature rule, and its weights (nodes,)."""

    x: np.ndarray
    phi: np.ndarray
    slope: np.ndarray
    weights: np.ndarray
    power: np.ndarray  # Hermite polynomials times weights, shape (DEGREE + 1, nodes)

    def mean(self, values: np.ndarray) -> np.ndarray:
        """The Gaussian mean over the nodes: from (layers, nodes) to (layers,)."""
        result: np.ndarray = values @ self.weights
        return result


@dataclass(frozen=True)
class Moments:
    """Moments of shape (layers,), spectra of shape (layers, DEGREE + 2), derivatives of shape (layers, 2).

    Spectra are relative: their sum is E f²/(E f)² for φ² and φ′², and 1 for φ and φ′.
    """

    log_phi2: np.ndarray  # ln E φ²
    log_slope2: np.ndarray  # ln E φ′²
    phi: np.ndarray  # spectrum of φ
    slope: np.ndarray  # of φ′
    phi2: np.ndarray  # of φ²
    slope2: np.ndarray  # of φ′²
    cross: np.ndarray  # of φ² with φ′²
    growth: np.ndarray  # first and second derivative of ln E φ² by ln q
    slope_growth: np.ndarray  # of ln E φ′²
    slope_tilt: np.ndarray  # E zφ′/√E φ′²


def sampled(act: Activation, log_q: np.ndarray, measure: Callable[[Sample], np.ndarray]) -> np.ndarray:
    """The result of `measure`, with one row per layer, at the variances e^log_q of shape (layers,).

    Equal variances are measured once, up to 500 in one call.
    """
    log_q, where = np.unique(np.clip(log_q, LOWEST, HIGHEST), return_inverse=True)
    root = np.exp(log_q / 2)
    level = np.maximum(0, np.ceil(np.log2(root))).astype(int)
    results: np.ndarray | None = None
    for j in np.unique(level):
        rows = np.flatnonzero(level == j)
        z, weights = rule(2.0**j, (0.0,))
        power = hermite(2.0**j, DEGREE)
        for chunk in np.split(rows, range(_CHUNK, rows.size, _CHUNK)):
            x = root[chunk, None] * z
            values = measure(Sample(x, act.phi(x), act.slope(x), weights, power))
            if results is None:
                results = np.empty((log_q.size, *values.shape[1:]))
            results[chunk] = values
    assert results is not None
    return results[where]


def _unit(values: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows scaled to E f² = 1, and ln of their E f²; large and tiny values do not overflow."""
    top = np.maximum(np.abs(values).max(1, keepdims=True), 1e-300)
    second = ((values / top) ** 2) @ weights
    return values / top / np.sqrt(second)[:, None], 2 * np.log(top[:, 0]) + np.log(second)


def _measure(sample: Sample, centred: bool) -> np.ndarray:
    """One row per layer: the five spectra, two logarithms, and the low coefficients of φ′, φ², φ′²."""
    w, power = sample.weights, sample.power
    phi = sample.phi - sample.mean(sample.phi)[:, None] if centred else sample.phi
    phi, log_phi2 = _unit(phi, w)
    slope, log_slope2 = _unit(sample.slope, w)
    coefficients = [values @ power.T for values in (phi, slope, phi**2, slope**2)]
    pairs = [(0, 0), (1, 1), (2, 2), (3, 3), (2, 3)]
    totals = [np.ones(len(phi)), np.ones(len(phi)), phi**4 @ w, slope**4 @ w, phi**2 * slope**2 @ w]
    spectra = []
    for (a, b), total in zip(pairs, totals, strict=True):
        terms = coefficients[a] * coefficients[b]
        spectra += [terms, (total - terms.sum(1))[:, None]]
    logs = np.stack([log_phi2, log_slope2], axis=1)
    low = [coefficients[1][:, 1:2], *(c[:, [0, 2, 4]] for c in coefficients[2:])]
    return np.concatenate([*spectra, logs, *low], axis=1)


def _derivatives(low: np.ndarray) -> np.ndarray:
    """First and second derivative of ln E f by ln q from f's coefficients 0, 2, 4 (heat equation)."""
    first = low[:, 1] / math.sqrt(2) / low[:, 0]
    second = first + math.sqrt(24) / 4 * low[:, 2] / low[:, 0] - first**2
    return np.stack([first, second], axis=1)


def activation_moments(act: Activation, log_q: np.ndarray, centred: bool = False) -> Moments:
    """The moments and spectra of φ, or of φ − E φ if `centred`, at each ln q of shape (layers,)."""
    rows = sampled(act, log_q, lambda sample: _measure(sample, centred))
    size = DEGREE + 2
    spectra = [rows[:, k * size : (k + 1) * size] for k in range(5)]
    rest = rows[:, 5 * size :]
    growth, slope_growth = _derivatives(rest[:, 3:6]), _derivatives(rest[:, 6:9])
    beyond = log_q - np.clip(log_q, LOWEST, HIGHEST)
    phi, slope, phi2, slope2, cross = spectra
    return Moments(
        log_phi2=rest[:, 0] + beyond * growth[:, 0],
        log_slope2=rest[:, 1] + beyond * slope_growth[:, 0],
        phi=phi,
        slope=slope,
        phi2=phi2,
        slope2=slope2,
        cross=cross,
        growth=growth,
        slope_growth=slope_growth,
        slope_tilt=rest[:, 2],
    )


def length_and_mean(act: Activation, log_q: float) -> tuple[float, float]:
    """ln E φ² and E φ/√E φ² at one variance e^log_q, without the spectra."""
    root = math.exp(min(max(log_q, LOWEST), HIGHEST) / 2)
    z, w = rule(root, (0.0,))
    phi = act.phi(root * z)
    top = max(float(np.abs(phi).max()), 1e-300)
    phi = phi / top
    square = phi * phi
    second = float(w @ square)
    growth = 0.5 * (float((w * square) @ (z * z)) / second - 1) if abs(log_q) > HIGHEST else 0.0
    beyond = log_q - min(max(log_q, LOWEST), HIGHEST)
    return 2 * math.log(top) + math.log(second) + beyond * growth, float(w @ phi) / math.sqrt(second)


def pair_mean(spectrum: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Σ_k spectrum_k·cᵏ: the mean over two inputs whose pre-activations correlate by c.

    `spectrum` has shape (layers, terms), `c` and the result (layers,).
    """
    result: np.ndarray = np.sum(spectrum * c[:, None] ** np.arange(spectrum.shape[1]), axis=1)
    return result
