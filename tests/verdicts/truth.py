"""What is true of a network or of an iteration, in float64 NumPy or by a formula; nothing here is gradlab's."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.special import erf, expit

Array = np.ndarray
Function = Callable[[Array], Array]


class Activation(NamedTuple):
    """φ and its derivative."""

    value: Function
    slope: Function


ACTIVATIONS = {
    "linear": Activation(lambda z: z, np.ones_like),
    "relu": Activation(lambda z: np.maximum(z, 0), lambda z: (z > 0).astype(float)),
    "tanh": Activation(np.tanh, lambda z: 1 - np.tanh(z) ** 2),
    "sigmoid": Activation(expit, lambda z: expit(z) * (1 - expit(z))),
    "softplus": Activation(lambda z: np.logaddexp(z, 0), expit),
    "erf": Activation(erf, lambda z: 2 / np.sqrt(np.pi) * np.exp(-(z**2))),
    "softsign": Activation(lambda z: z / (1 + np.abs(z)), lambda z: 1 / (1 + np.abs(z)) ** 2),
}


class Truth(NamedTuple):
    """Of random networks: mean and standard deviation of the decades, and the effective rank of the last layer."""

    decades: float
    deviation: float
    ranks: tuple[float, float]  # the least and the largest


def effective_rank(h: Array) -> float:
    """(Σ λ)²/Σ λ² of the covariance's eigenvalues over examples."""
    energies = np.linalg.svd(h - h.mean(0), compute_uv=False) ** 2
    return float(energies.sum() ** 2 / (energies**2).sum())


def random_network(activation: str, sigma_w: float, depth: int, width: int, networks: int = 12) -> Truth:
    """The truth of the decades log10 ‖∂L/∂h_1‖ − log10 ‖∂L/∂h_L‖ and of the rank of h_L; that of the inputs is 16.

    Weights are normal with variance sigma_w²/fan_in, inputs standard normal, labels random, the loss cross-entropy.
    """
    phi, slope = ACTIVATIONS[activation]
    random, batch, classes = np.random.default_rng(7), 64, 10
    changes, ranks = [], []
    for _ in range(networks):
        h = random.standard_normal((batch, width))
        weights = [
            random.standard_normal((width, width)) * sigma_w / np.sqrt(width) for _ in range(depth + 1)
        ]
        slopes = []
        for w in weights:  # the input block and the hidden layers
            z = h @ w
            h, _ = phi(z), slopes.append(slope(z))
        ranks.append(effective_rank(h))
        head = random.standard_normal((width, classes)) * sigma_w / np.sqrt(width)
        logits = h @ head
        p = np.exp(logits - logits.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        p[np.arange(batch), random.integers(classes, size=batch)] -= 1
        g = p @ head.T
        norms = [np.linalg.norm(g)]  # at h_L
        for layer in range(depth, 1, -1):
            g = (g * slopes[layer]) @ weights[layer].T
            norms.append(np.linalg.norm(g))
        changes.append(np.log10(norms[-1]) - np.log10(norms[0]))
    return Truth(float(np.mean(changes)), float(np.std(changes, ddof=1)), (min(ranks), max(ranks)))


def word_of(decades: float) -> str:
    """The signal's word where the interval is narrow."""
    return "vanishing" if decades < -np.log10(20) else "exploding" if decades > np.log10(20) else "flowing"


def descent(factor: float, steps: int) -> float:
    """ℓ(T)/ℓ(0) of gradient descent on a quadratic whose error is multiplied by `factor` at each step."""
    return float(factor ** (2 * steps))
