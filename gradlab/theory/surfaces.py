"""The surfaces of model=point in float64 NumPy: written a second time, so that a figure can draw them."""

from collections.abc import Callable
from typing import Any

import numpy as np

Surface = Callable[[np.ndarray], np.ndarray]  # points (…, coordinates) -> losses (…,)


def _quadratic(part: dict[str, Any], theta: np.ndarray) -> np.ndarray:
    n = theta.shape[-1]
    weights = part["curvature"] * part["condition"] ** (np.arange(n) / max(n - 1, 1))
    result: np.ndarray = 0.5 * np.sum(weights * theta**2, axis=-1)
    return result


def _ravine(part: dict[str, Any], theta: np.ndarray) -> np.ndarray:
    x, y = theta[..., 0], theta[..., 1]
    result: np.ndarray = 0.25 * ((x + y) ** 2 + part["condition"] * (x - y) ** 2)
    return result


def _saddle(part: dict[str, Any], theta: np.ndarray) -> np.ndarray:
    result: np.ndarray = 0.5 * (theta[..., 0] ** 2 - theta[..., 1] ** 2)
    return result


def _rosenbrock(part: dict[str, Any], theta: np.ndarray) -> np.ndarray:
    x, following = theta[..., :-1], theta[..., 1:]
    result: np.ndarray = np.sum(100 * (following - x**2) ** 2 + (1 - x) ** 2, axis=-1)
    return result


def _quartic(part: dict[str, Any], theta: np.ndarray) -> np.ndarray:
    result: np.ndarray = np.sum(theta**4, axis=-1)
    return result


_SURFACES = {
    "quadratic": _quadratic,
    "ravine": _ravine,
    "saddle": _saddle,
    "rosenbrock": _rosenbrock,
    "quartic": _quartic,
}
NAMES = frozenset(_SURFACES)


def surface(part: dict[str, Any]) -> Surface:
    """The loss of a part of a recipe, as {"name": "ravine", "condition": 100.0}; its name must be one of NAMES."""
    formula = _SURFACES[part["name"]]
    return lambda theta: formula(part, theta)
