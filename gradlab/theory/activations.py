"""The activations and their slopes in float64 NumPy: an independent copy, so that theory checks."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Function = Callable[[np.ndarray], np.ndarray]
SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772


@dataclass(frozen=True)
class Activation:
    """φ, its slope φ′, and the points where one of them is not smooth."""

    phi: Function
    slope: Function
    kinks: tuple[float, ...] = ()


def _erf(x: np.ndarray) -> np.ndarray:
    from scipy.special import erf  # 0.15 s of import, for the two that need it

    return erf(x)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(0.5 * x))


def _bell(x: np.ndarray) -> np.ndarray:
    return np.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)


def _cdf(x: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + _erf(x / math.sqrt(2)))


def leaky_relu(slope: float) -> Activation:
    """x above 0, slope·x below."""
    return Activation(lambda x: np.where(x > 0, x, slope * x), lambda x: np.where(x > 0, 1.0, slope), (0.0,))


def elu(scale: float, alpha: float) -> Activation:
    """scale·x above 0, scale·α·(eˣ − 1) below: ELU with (1, 1), SELU with its own two numbers."""

    def tail(x: np.ndarray) -> np.ndarray:
        return np.minimum(x, 0)

    return Activation(
        lambda x: scale * np.where(x > 0, x, alpha * np.expm1(tail(x))),
        lambda x: scale * np.where(x > 0, 1.0, alpha * np.exp(tail(x))),
        (0.0,),
    )


def _silu_slope(x: np.ndarray) -> np.ndarray:
    s = _sigmoid(x)
    return s + x * s * (1 - s)


_PLAIN = {
    "linear": Activation(lambda x: x, np.ones_like),
    "sigmoid": Activation(_sigmoid, lambda x: 0.25 / np.cosh(np.clip(0.5 * x, -300, 300)) ** 2),
    "tanh": Activation(np.tanh, lambda x: 1 / np.cosh(np.clip(x, -300, 300)) ** 2),
    "relu": leaky_relu(0.0),
    "gelu": Activation(lambda x: x * _cdf(x), lambda x: _cdf(x) + x * _bell(x)),
    "selu": elu(SELU_SCALE, SELU_ALPHA),
    "elu": elu(1.0, 1.0),
    "erf": Activation(_erf, lambda x: 2 / math.sqrt(math.pi) * np.exp(-x * x)),
    "silu": Activation(lambda x: x * _sigmoid(x), _silu_slope),
    "softplus": Activation(lambda x: np.logaddexp(0, x), _sigmoid),
    "hard_tanh": Activation(
        lambda x: np.clip(x, -1, 1), lambda x: (np.abs(x) < 1).astype(float), (-1.0, 1.0)
    ),
    "softsign": Activation(lambda x: x / (1 + np.abs(x)), lambda x: (1 + np.abs(x)) ** -2.0, (0.0,)),
}
NAMES = frozenset({*_PLAIN, "leaky_relu"})


def activation(part: dict[str, Any]) -> Activation:
    """The activation of a recipe's part, {"name": "leaky_relu", "slope": 0.01}."""
    return leaky_relu(part["slope"]) if part["name"] == "leaky_relu" else _PLAIN[part["name"]]
