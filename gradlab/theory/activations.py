"""The activations and their slopes in float64 NumPy: written a second time, so that theory is an independent check."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Function = Callable[[np.ndarray], np.ndarray]
SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772


@dataclass(frozen=True)
class Activation:
    """φ, its slope φ′ (both keep the shape of their argument), and the points where one of them is not smooth."""

    phi: Function
    slope: Function
    kinks: tuple[float, ...] = ()


def _erf(x: np.ndarray) -> np.ndarray:
    from scipy.special import erf  # imported late: it takes 0.15 s, and two activations need it

    result: np.ndarray = erf(x)
    return result


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(0.5 * x))


def _density(x: np.ndarray) -> np.ndarray:
    result: np.ndarray = np.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)
    return result


def _cdf(x: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + _erf(x / math.sqrt(2)))


def leaky_relu(slope: float) -> Activation:
    """x above 0, slope·x below."""
    return Activation(lambda x: np.where(x > 0, x, slope * x), lambda x: np.where(x > 0, 1.0, slope), (0.0,))


def elu(scale: float, alpha: float) -> Activation:
    """scale·x above 0, scale·α·(eˣ − 1) below: ELU with (1, α), SELU with SELU_SCALE and SELU_ALPHA."""

    def tail(x: np.ndarray) -> np.ndarray:
        result: np.ndarray = np.minimum(x, 0)
        return result

    return Activation(
        lambda x: scale * np.where(x > 0, x, alpha * np.expm1(tail(x))),
        lambda x: scale * np.where(x > 0, 1.0, alpha * np.exp(tail(x))),
        (0.0,),
    )


def _silu_slope(x: np.ndarray) -> np.ndarray:
    s = _sigmoid(x)
    result: np.ndarray = s + x * s * (1 - s)
    return result


def _tanh_gelu(x: np.ndarray) -> np.ndarray:
    result: np.ndarray = 0.5 * x * (1 + np.tanh(_tanh_gelu_argument(x)))
    return result


def _tanh_gelu_slope(x: np.ndarray) -> np.ndarray:
    t = np.tanh(_tanh_gelu_argument(x))
    result: np.ndarray = 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * math.sqrt(2 / math.pi) * (
        1 + 3 * 0.044715 * x * x
    )
    return result


def _tanh_gelu_argument(x: np.ndarray) -> np.ndarray:
    return math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)


def _mish_slope(x: np.ndarray) -> np.ndarray:
    t = np.tanh(np.logaddexp(0, x))
    result: np.ndarray = t + x * (1 - t * t) * _sigmoid(x)
    return result


def sine(frequency: float) -> Activation:
    """sin(frequency·x)."""
    return Activation(lambda x: np.sin(frequency * x), lambda x: frequency * np.cos(frequency * x))


def step(low: float) -> Activation:
    """1 above 0, `low` below; its slope is that of the straight line between them over |x| ≤ 1."""
    return Activation(
        lambda x: np.where(x > 0, 1.0, low),
        lambda x: (1 - low) / 2 * (np.abs(x) <= 1),
        (-1.0, 0.0, 1.0),
    )


def _crelu(x: np.ndarray) -> np.ndarray:
    result: np.ndarray = np.maximum(np.concatenate([x, -x], axis=-1), 0)
    return result


def _crelu_slope(x: np.ndarray) -> np.ndarray:
    return np.concatenate([(x > 0) * 1.0, (x < 0) * -1.0], axis=-1)


_PLAIN = {
    "linear": Activation(lambda x: x, np.ones_like),
    "sigmoid": Activation(_sigmoid, lambda x: 0.25 / np.cosh(np.clip(0.5 * x, -300, 300)) ** 2),
    "tanh": Activation(np.tanh, lambda x: 1 / np.cosh(np.clip(x, -300, 300)) ** 2),
    "relu": leaky_relu(0.0),
    "gelu": Activation(lambda x: x * _cdf(x), lambda x: _cdf(x) + x * _density(x)),
    "selu": elu(SELU_SCALE, SELU_ALPHA),
    "erf": Activation(_erf, lambda x: 2 / math.sqrt(math.pi) * np.exp(-x * x)),
    "silu": Activation(lambda x: x * _sigmoid(x), _silu_slope),
    "softplus": Activation(lambda x: np.logaddexp(0, x), _sigmoid),
    "hard_tanh": Activation(
        lambda x: np.clip(x, -1, 1), lambda x: (np.abs(x) < 1).astype(float), (-1.0, 1.0)
    ),
    "softsign": Activation(lambda x: x / (1 + np.abs(x)), lambda x: (1 + np.abs(x)) ** -2.0, (0.0,)),
    "mish": Activation(lambda x: x * np.tanh(np.logaddexp(0, x)), _mish_slope),
    "squared_relu": Activation(lambda x: np.maximum(x, 0) ** 2, lambda x: 2 * np.maximum(x, 0), (0.0,)),
    "crelu": Activation(_crelu, _crelu_slope, (0.0,)),
}
_TANH_GELU = Activation(_tanh_gelu, _tanh_gelu_slope)
_NUMBERED: dict[str, Callable[[dict[str, Any]], Activation]] = {
    "leaky_relu": lambda part: leaky_relu(part["slope"]),
    "elu": lambda part: elu(1.0, part["alpha"]),
    "sine": lambda part: sine(part["frequency"]),
    "step": lambda part: step(part["low"]),
    # older recipes do not have this key
    "gelu": lambda part: _TANH_GELU if part.get("approximate") else _PLAIN["gelu"],
}
NAMES = frozenset({*_PLAIN, *_NUMBERED})


def activation(part: dict[str, Any]) -> Activation:
    """The activation of a part of a recipe, as {"name": "leaky_relu", "slope": 0.01}; its name must be one of NAMES."""
    name = part["name"]
    return _NUMBERED[name](part) if name in _NUMBERED else _PLAIN[name]
