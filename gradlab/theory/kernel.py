"""An activation seen through Gaussian pre-activations of many variances at once: one row a layer.

Everything a deep walk asks for (lengths, slopes, correlations of two inputs, fluctuations) is a mean of φ,
φ′, φ², φ′² against Hermite polynomials: E[f(u₁)g(u₂)] = Σ_k f_k·g_k·cᵏ where u₁, u₂ correlate by c (Mehler).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gradlab.theory.activations import Activation
from gradlab.theory.gaussian import hermite, rule

DEGREE = 40  # the rest of a spectrum is one last term: a ReLU's correlations are right to 1e-3
LOWEST, HIGHEST = -80.0, 40.0  # ln q; beyond, an activation is a power of its argument, and is continued so
_CHUNK = 500


@dataclass(frozen=True)
class Sample:
    """x = √q·z, φ(x)/amplitude and φ′(x)/amplitude at a rule's nodes (rows: layers) with weights."""

    x: np.ndarray
    phi: np.ndarray
    slope: np.ndarray
    weights: np.ndarray
    power: np.ndarray  # hermite rows, weights included

    def mean(self, values: np.ndarray) -> np.ndarray:
        """The Gaussian mean of each row."""
        result: np.ndarray = values @ self.weights
        return result


@dataclass(frozen=True)
class Moments:
    """Per layer; spectra are relative (their sum is E f²/(E f)² for squares, 1 for φ and φ′)."""

    log_phi2: np.ndarray  # ln E φ²
    log_slope2: np.ndarray  # ln E φ′²
    phi: np.ndarray  # spectrum of φ
    slope: np.ndarray  # of φ′
    phi2: np.ndarray  # of φ²
    slope2: np.ndarray  # of φ′²
    cross: np.ndarray  # of φ² with φ′²
    growth: np.ndarray  # d ln E φ²/d ln q and its derivative, rows of 2
    bend: np.ndarray  # the same of E φ′²
    tilt: np.ndarray  # E zφ′/√E φ′²


def sampled(act: Activation, log_q: np.ndarray, measure: Callable[[Sample], np.ndarray]) -> np.ndarray:
    """`measure` of every layer, at its own variance; equal ones once, many at a time."""
    log_q, where = np.unique(np.clip(log_q, LOWEST, HIGHEST), return_inverse=True)
    root = np.exp(log_q / 2)
    level = np.maximum(0, np.ceil(np.log2(root))).astype(int)
    found: np.ndarray | None = None
    for j in np.unique(level):
        rows = np.flatnonzero(level == j)
        z, weights = rule(2.0**j, (0.0,))
        power = hermite(2.0**j, DEGREE)
        for some in np.split(rows, range(_CHUNK, rows.size, _CHUNK)):
            x = root[some, None] * z
            values = measure(Sample(x, act.phi(x), act.slope(x), weights, power))
            if found is None:
                found = np.empty((log_q.size, *values.shape[1:]))
            found[some] = values
    assert found is not None
    return found[where]


def _unit(values: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows scaled to E f² = 1, and ln of the E f² they had; large and tiny values do not overflow."""
    top = np.maximum(np.abs(values).max(1, keepdims=True), 1e-300)
    second = ((values / top) ** 2) @ weights
    return values / top / np.sqrt(second)[:, None], 2 * np.log(top[:, 0]) + np.log(second)


def _measure(sample: Sample, centred: bool) -> np.ndarray:
    """A layer's row: the five spectra, two logarithms, and the low coefficients of φ′, φ², φ′²."""
    w, power = sample.weights, sample.power
    phi = sample.phi - sample.mean(sample.phi)[:, None] if centred else sample.phi
    phi, log_phi2 = _unit(phi, w)
    slope, log_slope2 = _unit(sample.slope, w)
    coefficients = [values @ power.T for values in (phi, slope, phi**2, slope**2)]
    pairs = [(0, 0), (1, 1), (2, 2), (3, 3), (2, 3)]
    totals = [np.ones(len(phi)), np.ones(len(phi)), phi**4 @ w, slope**4 @ w, phi**2 * slope**2 @ w]
    spectra = []
    for (a, b), total in zip(pairs, totals, strict=True):
        head = coefficients[a] * coefficients[b]
        spectra += [head, (total - head.sum(1))[:, None]]
    logs = np.stack([log_phi2, log_slope2], axis=1)
    low = [coefficients[1][:, 1:2], *(c[:, [0, 2, 4]] for c in coefficients[2:])]
    return np.concatenate([*spectra, logs, *low], axis=1)


def _derivatives(low: np.ndarray) -> np.ndarray:
    """First and second derivative of ln E f by ln q from f's coefficients 0, 2, 4 (heat equation)."""
    first = low[:, 1] / math.sqrt(2) / low[:, 0]
    second = first + math.sqrt(24) / 4 * low[:, 2] / low[:, 0] - first**2
    return np.stack([first, second], axis=1)


def moments(act: Activation, log_q: np.ndarray, centred: bool = False) -> Moments:
    """The moments and spectra of φ, or of φ − E φ, at each layer's ln q."""
    rows = sampled(act, log_q, lambda sample: _measure(sample, centred))
    size = DEGREE + 2
    spectra = [rows[:, k * size : (k + 1) * size] for k in range(5)]
    rest = rows[:, 5 * size :]
    growth, bend, tilt = _derivatives(rest[:, 3:6]), _derivatives(rest[:, 6:9]), rest[:, 2]
    beyond = log_q - np.clip(log_q, LOWEST, HIGHEST)
    log_phi2 = rest[:, 0] + beyond * growth[:, 0]
    log_slope2 = rest[:, 1] + beyond * bend[:, 0]
    phi, slope, phi2, slope2, cross = spectra
    return Moments(log_phi2, log_slope2, phi, slope, phi2, slope2, cross, growth, bend, tilt)


def length(act: Activation, log_q: float) -> tuple[float, float]:
    """ln E φ² and E φ/√E φ² at one variance: the quick question of the forward walk."""
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


def paired(spectrum: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Σ_k spectrum_k·cᵏ, layer by layer: the mean over two inputs whose pre-activations correlate by c."""
    result: np.ndarray = np.sum(spectrum * c[:, None] ** np.arange(spectrum.shape[1]), axis=1)
    return result
