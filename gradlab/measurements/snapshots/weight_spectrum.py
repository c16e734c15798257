"""How many directions do each layer's weights and signals have, and how far can the weights stretch one?"""

from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from gradlab.measurements.columns import Column
from gradlab.measurements.probes.rank import ROUNDING
from gradlab.measurements.snapshot import Snapshot, SnapshotInputs, snapshot
from gradlab.numerics.norms import compute_dtype, largest_exponent, scale, total
from gradlab.recipe.bounds import Size

MEASURES = ("kernel_sigma_max", "kernel_radius", "kernel_effective_rank", "kernel_stable_rank")


@snapshot
def weight_spectrum(largest: Size) -> Snapshot:
    """σ_max, spectral radius and ranks of each kernel W (fan_in, outputs), and the stable rank of centred signals.

    With the singular values σ of W: σ_max, the effective rank (Σ σ²)²/Σ σ⁴ (as the probe `rank` has it of signals), and
    the stable rank Σ σ²/σ_max²; both are between 1 and the smaller side of W. The spectral radius ρ = max |λ| is that
    of square kernels only. A convolution's kernel is taken as the matrix (positions · channels in, channels out), which
    is not the map between images; a recurrent kernel of several gates is one matrix (recurrent_spectrum has them one by
    one). Of h_l less its mean over examples (examples, units) the stable rank is that of the fixed batch.

    Computed on the host in float64. Null for a kernel whose smaller side is above `largest` (its spectrum would take
    seconds), or that is not finite; ranks also for zeros, and where examples differ by rounding only.
    """
    parameter = partial(Column, kind="parameter", nan_is_null=True)
    columns = (
        parameter("kernel_sigma_max", "σ_max of the kernel as a matrix (fan_in, outputs)"),
        parameter("kernel_radius", "max |λ| of the kernel, where it is square"),
        parameter("kernel_effective_rank", "(Σ σ²)²/Σ σ⁴ of the kernel's singular values σ"),
        parameter("kernel_stable_rank", "Σ σ²/σ_max² of the kernel's singular values σ"),
        Column(
            "stable_rank", "Σ σ²/σ_max² of h_l − mean over examples, on the fixed batch", nan_is_null=True
        ),
    )
    return Snapshot(columns, partial(_matrices, largest), _finish)


def _matrices(largest: int, inputs: SnapshotInputs) -> dict[str, Any]:
    """The kernels as (…, fan_in, outputs) by path, NaN for what has no spectrum, and the signals' Gram matrices."""
    kernels, others = {}, {}
    for path, w in inputs.params.items():
        axes = inputs.stacked_axes[path]
        outputs = w.shape[-1]
        rows = w[(0,) * axes].size // outputs if path in inputs.kernels else 0
        if path in inputs.kernels and min(rows, outputs) <= largest:
            kernels[path] = w.reshape(*w.shape[:axes], rows, outputs)
        else:
            others[path] = jnp.full(w.shape[:axes], jnp.nan)
    signals = inputs.signals(inputs.params, inputs.x)
    return {"kernels": kernels, "others": others, "grams": [_gram(h) for h in signals]}


def _gram(h: Array) -> Array:
    """H_c H_cᵀ or H_cᵀ H_c, whichever is smaller, times a power of two; NaN where examples differ by rounding only."""
    h = h.reshape(h.shape[0], -1).astype(compute_dtype(h))
    h = scale(h, -largest_exponent(h))
    centred = h - jnp.mean(h, axis=0)
    shift = largest_exponent(centred)
    unit = scale(centred, -shift)
    fraction = scale(total(unit * unit) / total(h * h), 2 * shift).reshape(())
    gram = unit.T @ unit if unit.shape[1] <= unit.shape[0] else unit @ unit.T
    return jnp.where(fraction < (ROUNDING * np.finfo(h.dtype).eps) ** 2, jnp.nan, gram)


def _finish(computed: dict[str, Any]) -> dict[str, Any]:
    """The columns, from arrays of NumPy."""
    measured: dict[str, dict[str, Any]] = {name: dict(computed["others"]) for name in MEASURES}
    for path, kernels in computed["kernels"].items():
        shape = kernels.shape[:-2]
        each = np.array([spectrum(w) for w in kernels.reshape(-1, *kernels.shape[-2:])])
        for index, name in enumerate(MEASURES):
            measured[name][path] = each[:, index].reshape(shape)
    return {**measured, "stable_rank": np.array([_stable_rank(gram) for gram in computed["grams"]])}


def spectrum(w: np.ndarray) -> tuple[float, float, float, float]:
    """The `MEASURES` of a matrix; NaN where they are not defined."""
    w = w.astype(np.float64)
    if not np.isfinite(w).all():
        return (np.nan,) * 4
    squares = np.linalg.svd(w, compute_uv=False) ** 2
    radius = float(np.abs(np.linalg.eigvals(w)).max()) if w.shape[0] == w.shape[1] else np.nan
    if squares[0] == 0:
        return 0.0, radius, np.nan, np.nan
    shares = squares / squares[0]
    return (
        float(np.sqrt(squares[0])),
        radius,
        float(shares.sum() ** 2 / (shares**2).sum()),
        float(shares.sum()),
    )


def _stable_rank(gram: np.ndarray) -> float:
    gram = gram.astype(np.float64)
    if not np.isfinite(gram).all() or np.trace(gram) == 0:
        return np.nan
    return float(np.trace(gram) / np.linalg.eigvalsh(gram)[-1])
