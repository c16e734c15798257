"""How are the magnitudes of gradients, weights and activations distributed, and what would a narrower format lose?"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from gradlab.measurements.columns import Column
from gradlab.measurements.magnitudes import BIAS, BINS, INFINITE, MEASURES, ORDER, SMALL, ZERO
from gradlab.measurements.probe import BlockSignal, Columns, Probe, UpdateColumns, UpdateSignal, probe

_UNSIGNED = {16: jnp.uint16, 32: jnp.uint32, 64: jnp.uint64}


@probe
def histogram() -> tuple[Probe, Probe]:
    """Counts of |x| by ⌊log2 |x|⌋, (258,) each: of ∂(data loss)/∂W and of W over a layer's kernels, and of h_l.

    The bins are those of `measurements.magnitudes`. Exponents are read from the bits, because XLA on CPU takes
    subnormal numbers for zero; so they are exact in float64, float32, bfloat16 and float16. The gradient is that of
    `log10_gradient`: a dtype of 16 bits has flushed what it flushes before it is counted. Counts are stored as float32,
    exact up to 2^24 entries of a bin.
    """

    def of_signal(signal: BlockSignal) -> Columns:
        return {MEASURES["activation"]: counts(signal.h)}

    def of_kernels(update: UpdateSignal) -> UpdateColumns:
        axes = update.stacked_axes
        kernels = [path for path, w in update.params.items() if w.ndim - axes[path] >= 2]
        of: Any = lambda tree: {path: counts(tree[path], axes[path]) for path in kernels}
        return {MEASURES["gradient"]: of(update.grads), MEASURES["weight"]: of(update.params)}

    column = Column("", "", unit="count", kind="vector", size=BINS)
    named = {
        name: column._replace(name=MEASURES[name], definition=f"entries of {what} by magnitude; {ORDER}")
        for name, what in (
            ("activation", "h_l"),
            ("gradient", "∂(data loss)/∂W, before penalty and clip,"),
            ("weight", "W"),
        )
    }
    of_layer = [named[name]._replace(over_kernels="sum") for name in ("gradient", "weight")]
    return Probe((named["activation"],), signal=of_signal), Probe(tuple(of_layer), update=of_kernels)


def counts(x: Array, stacked_axes: int = 0) -> Array:
    """How many entries each bin of magnitudes has, (258,), or (layers, 258) with one stacked axis.

    In 16 bits where the number of entries allows: rows in which nothing is due have zeros, and moving them costs more
    than the counting.
    """
    layers = x.shape[0] if stacked_axes else 1
    entries = bins(x).reshape(layers, -1)
    dtype = jnp.uint16 if entries.shape[1] < 2**16 else jnp.int32
    places = entries + BINS * jnp.arange(layers)[:, None]  # one scatter for all layers
    counted = jnp.zeros(layers * BINS, dtype).at[places.reshape(-1)].add(1)
    return counted.reshape(*x.shape[:stacked_axes], BINS)


def bins(x: Array) -> Array:
    """The bin of each entry's magnitude, of the shape of x, in 0 … 257."""
    if not jnp.issubdtype(x.dtype, jnp.floating):
        x = x.astype(jnp.float32)
    finfo: Any = jnp.finfo  # untyped
    form = finfo(x.dtype)
    bits = jax.lax.bitcast_convert_type(x, _UNSIGNED[form.bits])
    exponents = 2 ** (form.bits - 1 - form.nmant)
    field = ((bits >> form.nmant) & (exponents - 1)).astype(jnp.int32)
    fraction = bits & (2**form.nmant - 1)
    normal = jnp.clip(field - (exponents // 2 - 1) + BIAS, SMALL, INFINITE - 1)
    # of a subnormal number the highest bit of the fraction tells; only float16's are above 2^−126
    highest = form.bits - 1 - jax.lax.clz(fraction).astype(jnp.int32)
    subnormal = jnp.maximum(highest + int(form.minexp) - form.nmant + BIAS, SMALL)
    small = jnp.where(fraction == 0, ZERO, subnormal)
    large = INFINITE + (fraction != 0)
    return jnp.where(field == 0, small, jnp.where(field == exponents - 1, large, normal))
