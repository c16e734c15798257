"""How many directions are left in which examples differ at each layer, and how much of the signal lies in them?"""

import jax.numpy as jnp
import numpy as np

from gradlab.measurements.columns import Column
from gradlab.measurements.probe import BlockSignal, Columns, Probe, probe
from gradlab.numerics.norms import compute_dtype, largest_exponent, scale, total

ROUNDING = 16  # times eps, relative to the signal: smaller differences between examples are rounding


@probe
def rank() -> Probe:
    """Of the outputs H (examples, units) and H_c = H less its mean over examples, with the eigenvalues λ of H_cᵀH_c.

    centred: ‖H_c‖²_F/‖H‖²_F, the fraction of the signal in which examples differ; NaN where H is zero.
    effective_rank: (Σ λ)²/Σ λ², between 1 and the smaller of units and examples − 1 (the participation ratio); NaN
    where the differences are of the size of rounding. Both are scalars. The Gram matrix costs about as much as a
    layer's forward pass, so it is not measured at each step.
    """

    def ask(signal: BlockSignal) -> Columns:
        h = signal.h.reshape(signal.h.shape[0], -1).astype(compute_dtype(signal.h))
        h = scale(h, -largest_exponent(h))
        centred = h - jnp.mean(h, axis=0)
        shift = largest_exponent(centred)
        unit = scale(centred, -shift)
        squares = total(unit * unit)
        fraction = scale(squares / total(h * h), 2 * shift).reshape(())
        gram = unit.T @ unit if unit.shape[1] <= unit.shape[0] else unit @ unit.T
        negligible = fraction < (ROUNDING * np.finfo(h.dtype).eps) ** 2
        return {
            "centred": fraction,
            "effective_rank": jnp.where(negligible, jnp.nan, squares**2 / total(gram * gram)),
        }

    return Probe(
        (
            Column(
                "centred",
                "‖h_l − mean over examples‖²/‖h_l‖²: the fraction of the signal in which examples differ",
                unit="fraction",
            ),
            Column(
                "effective_rank",
                "(Σ λ)²/Σ λ² of the covariance's eigenvalues λ over examples: in how many directions they differ",
            ),
        ),
        signal=ask,
    )
