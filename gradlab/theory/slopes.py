"""What an activation does to the backward signal: E φ′² of Gaussian pre-activations, and its product over depth."""

from typing import Any, NamedTuple

import numpy as np

from gradlab.theory.activations import Activation
from gradlab.theory.forward import network_of
from gradlab.theory.gaussian import rule


class Slopes(NamedTuple):
    """Of the hidden layers 1…L, arrays (L,): the variance q of the pre-activation, and σ_w²·E φ′²(q)."""

    q: np.ndarray
    factor: np.ndarray


def mean_square_slope(act: Activation, q: np.ndarray) -> np.ndarray:
    """E φ′(√q·z)² with z ~ N(0, 1), at each variance q of any shape."""
    flat = [_mean_square(act, float(variance)) for variance in np.ravel(q)]
    return np.reshape(np.array(flat), np.shape(q))


LARGEST = 150.0  # |log10 h| from which h² is no float64


def _mean_square(act: Activation, variance: float) -> float:
    if not np.isfinite(variance):
        return float("nan")
    scale = float(np.sqrt(max(variance, 1e-24)))
    z, weights = rule(scale, act.kinks)
    return float(weights @ act.slope(scale * z) ** 2)


def plain_mlp(recipe: dict[str, Any]) -> bool:
    """Whether q follows from the layer below: an mlp of one width, without normalization, residual or dropout."""
    none = all(recipe[group]["name"] == "none" for group in ("normalization", "residual"))
    return (
        recipe["model"]["name"] == "mlp"
        and none
        and not recipe["dropout"]
        and isinstance(recipe["width"], int)
    )


def hidden_slopes(recipe: dict[str, Any], data: dict[str, Any], log10_forward: np.ndarray) -> Slopes:
    """The hidden layers of a plain mlp at initialization, from the RMS h of layers 0…L−1 that was measured, (L,).

    q_l = σ_w²·h_{l−1}² + σ_b², with σ_w² = width·Var W.
    """
    network = network_of(recipe, data["features"], data["outputs"])
    told = np.where(np.abs(log10_forward) < LARGEST, log10_forward, np.nan)
    q = network.weight * 10 ** (2 * told) + network.bias
    return Slopes(q, network.weight * mean_square_slope(network.act, q))
