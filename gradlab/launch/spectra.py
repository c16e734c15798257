"""The spectral radius and the largest singular value of recurrent kernels, taken on the host when evaluating."""

from typing import NamedTuple

import numpy as np

from gradlab.train import Chunk, Layout


class Spectra(NamedTuple):
    """One measure each: its layer, its name, and its value for each seed."""

    layers: list[int]
    measures: list[str]
    values: np.ndarray  # seeds × measures


def spectra(chunk: Chunk, layout: Layout) -> Spectra:
    """ρ(W) = max|λ| and σ_max(W) of every square block of the kernels that a Block names in `squares`.

    ρ·max φ' > 1 is necessary for a gradient to explode through time, σ_max·max φ' < 1 sufficient for it to vanish
    (Pascanu et al. 2013).
    """
    layers: list[int] = []
    measures: list[str] = []
    values: list[np.ndarray] = []
    first = 0
    for block in layout.blocks:
        for path, names in block.squares:
            kernels = np.asarray(chunk.state.params[f"{block.name}/{path}"], np.float64)
            kernels = kernels[:, None] if block.count is None else kernels
            for layer in range(block.layers):
                for index, name in enumerate(names):
                    width = kernels.shape[-2]
                    squares = kernels[:, layer, :, index * width : (index + 1) * width]
                    layers += [first + layer] * 2
                    measures += [
                        f"{word}{name and f'_{name}'}"
                        for word in ("spectral_radius", "largest_singular_value")
                    ]
                    values += [
                        np.array([_radius(one) for one in squares]),
                        np.array([_norm(one) for one in squares]),
                    ]
        first += block.layers
    return Spectra(layers, measures, np.stack(values, 1) if values else np.zeros((len(chunk.row.steps), 0)))


def _radius(square: np.ndarray) -> float:
    return float(np.abs(np.linalg.eigvals(square)).max()) if np.isfinite(square).all() else np.nan


def _norm(square: np.ndarray) -> float:
    return float(np.linalg.norm(square, 2)) if np.isfinite(square).all() else np.nan
