"""In how many directions does an update change each layer's weights?"""

from collections.abc import Callable

import jax.numpy as jnp
from jax import Array

from gradlab.measurements.columns import Column
from gradlab.measurements.probe import Probe, UpdateColumns, UpdateSignal, probe
from gradlab.numerics.norms import compute_dtype, largest_exponent, scale

SQUARINGS, ITERATIONS = 3, 16  # of the power method, which together apply the Gram matrix 2^3·16 = 128 times


@probe
def update_rank() -> Probe:
    """Effective rank (Σ σ²)²/Σ σ⁴ and stable rank Σ σ²/σ_max² of each kernel's update ΔW (fan_in, outputs).

    One value per layer of each parameter, NaN of what is no kernel, of zeros, and of what is not finite. The effective
    rank is exact but for rounding, as traces of the Gram matrix G = ΔWᵀΔW (or ΔWΔWᵀ, if smaller). σ_max² is the
    Rayleigh quotient after 16 products with G⁸: never above its true value, and below it by less than 3 % on average in
    the worst case (ln(n)/127; Kuczyński and Woźniakowski 1992), so that the stable rank may be too large by as much.
    G takes as many operations as a layer's forward pass of as many examples as W has rows.
    """

    def ask(update: UpdateSignal) -> UpdateColumns:
        effective, stable = {}, {}
        for path, w in update.params.items():
            axes = update.stacked_axes[path]
            if w.ndim - axes >= 2:
                matrices = update.direction[path].reshape(*w.shape[:axes], -1, w.shape[-1])
                effective[path], stable[path] = ranks(matrices)
            else:
                effective[path] = stable[path] = jnp.full(w.shape[:axes], jnp.nan)
        where_made: Callable[[Array], Array] = lambda value: jnp.where(update.step_size == 0, jnp.nan, value)
        return {
            "update_effective_rank": {path: where_made(value) for path, value in effective.items()},
            "update_stable_rank": {path: where_made(value) for path, value in stable.items()},
        }

    column = Column("", "", kind="parameter", needs_update=True, nan_is_null=True)
    definitions = {
        "update_effective_rank": "(Σ σ²)²/Σ σ⁴ of the singular values σ of a kernel's update",
        "update_stable_rank": "Σ σ²/σ_max² of the singular values σ of a kernel's update",
    }
    columns = (column._replace(name=name, definition=text) for name, text in definitions.items())
    return Probe(tuple(columns), update=ask)


def ranks(w: Array) -> tuple[Array, Array]:
    """Effective and stable rank of matrices (…, rows, columns), (…,) each; NaN for zeros."""
    axes = w.ndim - 2
    w = w.astype(compute_dtype(w))
    w = scale(w, -largest_exponent(w, axes))
    gram = (
        jnp.einsum("...ij,...ik->...jk", w, w)
        if w.shape[-1] <= w.shape[-2]
        else jnp.einsum("...ij,...kj->...ik", w, w)
    )
    trace = jnp.trace(gram, axis1=-2, axis2=-1)
    effective = trace**2 / jnp.sum(gram * gram, axis=(-2, -1))
    power = gram / trace[..., None, None]
    for _ in range(SQUARINGS):
        power = power @ power
        power = power / jnp.trace(power, axis1=-2, axis2=-1)[..., None, None]
    # not orthogonal to any eigenvector that a kernel of some symmetry has
    vector = jnp.broadcast_to(1 + jnp.cos(1.0 + jnp.arange(gram.shape[-1]) ** 2), gram.shape[:-1])
    for _ in range(ITERATIONS):
        vector = jnp.einsum("...ij,...j->...i", power, vector)
        vector = vector / jnp.linalg.norm(vector, axis=-1, keepdims=True)
    largest = jnp.einsum("...i,...ij,...j->...", vector, gram, vector)
    return effective, trace / largest
