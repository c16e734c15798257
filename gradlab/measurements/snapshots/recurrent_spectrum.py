"""How large are the spectral radius and the largest singular value of each recurrent kernel?"""

from collections.abc import Callable
from typing import Any

import numpy as np

from gradlab.measurements.columns import Column
from gradlab.measurements.snapshot import Snapshot, SnapshotInputs, snapshot

Kernels = dict[tuple[int, tuple[str, ...]], Any]


@snapshot
def recurrent_spectrum() -> Snapshot:
    """ρ(W) = max|λ| and σ_max(W) of every square block of the recurrent kernels, NaN where it is not finite.

    ρ·max φ' > 1 is necessary for a gradient to explode through time, σ_max·max φ' < 1 sufficient for it to vanish
    (Pascanu et al. 2013). They are computed on the host, in float64.
    """
    columns = (
        Column("spectral_radius", "max |λ| of a square block of a recurrent kernel", kind="note"),
        Column("largest_singular_value", "σ_max of a square block of a recurrent kernel", kind="note"),
    )
    return Snapshot(columns, _kernels, spectra)


def _kernels(inputs: SnapshotInputs) -> Kernels:
    return {(kernel.layer, kernel.names): kernel.value for kernel in inputs.recurrent_kernels}


def spectra(kernels: Kernels) -> dict[str, dict[tuple[int, str], float]]:
    """Both measures by (layer, name of the block), of kernels (units, blocks·units) by (layer, names of the blocks)."""
    blocks = {
        (layer, name): np.asarray(block, np.float64)
        for (layer, names), kernel in kernels.items()
        for name, block in zip(names, np.split(kernel, len(names), axis=1), strict=True)
    }
    measures = {"spectral_radius": _radius, "largest_singular_value": _norm}
    return {
        column: {at: _where_finite(measure, block) for at, block in blocks.items()}
        for column, measure in measures.items()
    }


def _where_finite(measure: Callable[[np.ndarray], float], block: np.ndarray) -> float:
    return measure(block) if np.isfinite(block).all() else np.nan


def _radius(block: np.ndarray) -> float:
    return float(np.abs(np.linalg.eigvals(block)).max())


def _norm(block: np.ndarray) -> float:
    return float(np.linalg.norm(block, 2))
