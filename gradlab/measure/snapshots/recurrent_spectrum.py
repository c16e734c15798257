"""The spectral radius and the largest singular value of recurrent kernels, taken on the host when evaluating."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class RecurrentKernel(NamedTuple):
    """A recurrent kernel of one layer, whose square blocks (one per gate) have these names ("" for a single one)."""

    layer: int
    names: tuple[str, ...]
    value: np.ndarray  # (seeds, units, gates·units), float64


class Spectrum(NamedTuple):
    """One measure each: its layer, its name, and its value for each seed."""

    layers: list[int]
    measures: list[str]
    values: np.ndarray  # (seeds, measures)


def recurrent_spectrum(kernels: list[RecurrentKernel], seeds: int) -> Spectrum:
    """ρ(W) = max|λ| and σ_max(W) of every square block of the kernels, NaN where it is not finite.

    ρ·max φ' > 1 is necessary for a gradient to explode through time, σ_max·max φ' < 1 sufficient for it to vanish
    (Pascanu et al. 2013).
    """
    layers: list[int] = []
    measures: list[str] = []
    values: list[np.ndarray] = []
    for kernel in kernels:
        units = kernel.value.shape[-2]
        for index, name in enumerate(kernel.names):
            blocks = kernel.value[..., index * units : (index + 1) * units]
            suffix = f"_{name}" if name else ""
            layers += [kernel.layer] * 2
            measures += [f"spectral_radius{suffix}", f"largest_singular_value{suffix}"]
            values += [_over_seeds(_radius, blocks), _over_seeds(_norm, blocks)]
    return Spectrum(layers, measures, np.stack(values, 1) if values else np.zeros((seeds, 0)))


def _over_seeds(measure: Callable[[np.ndarray], float], blocks: np.ndarray) -> np.ndarray:
    return np.array([measure(block) if np.isfinite(block).all() else np.nan for block in blocks])


def _radius(block: np.ndarray) -> float:
    return float(np.abs(np.linalg.eigvals(block)).max())


def _norm(block: np.ndarray) -> float:
    return float(np.linalg.norm(block, 2))
