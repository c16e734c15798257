"""How much do the gradients of single examples differ, and how large a batch would average that out?"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from gradlab.measurements.columns import Column
from gradlab.measurements.snapshot import Snapshot, SnapshotInputs, snapshot
from gradlab.numerics.norms import LOG10_2, largest_exponent, log2_norms, scale
from gradlab.numerics.tree import Tree
from gradlab.recipe.bounds import Size

CHUNK_BYTES = 64e6  # of gradients of examples that are held at once
# of the column noise_undefined; gradlab/analysis/noise.py has the words
MEASURED, COUPLED, TOO_NOISY, NOT_FINITE = range(4)


@snapshot
def noise(examples: Size) -> Snapshot:
    """The gradient noise scale of the first `examples` of the fixed batch, and the signal-to-noise ratio of each layer.

    With the gradients g_i of n single examples and G their mean, unbiased: tr Σ = (mean|g_i|² − |G|²)·n/(n − 1),
    |G|² = (n·|G|² − mean|g_i|²)/(n − 1), and noise_scale = tr Σ/|G|², the batch size at which noise and signal are
    equal (McCandlish et al. 2018). noise_scale_error is its standard error by the jackknife. gsnr: the mean over
    the entries of a layer's kernels of (E g)²/Var g, with Var g unbiased and the 1/n that noise adds to it taken
    off (Liu et al. 2020); entries without any variance are left out.

    Null where there is no such number; noise_undefined says why. Dropout is the same for all examples.
    """
    texts = {
        "noise_scale": "tr Σ/|G|² of the gradients of single examples: the batch size at which noise equals signal",
        "noise_scale_error": "standard error of noise_scale (jackknife over examples)",
        "log10_example_gradient_min": "log10 of the smallest gradient norm of a single example",
        "log10_example_gradient_median": "log10 of the median gradient norm of single examples",
        "log10_example_gradient_max": "log10 of the largest gradient norm of a single example",
    }
    of_step = [
        Column(name, text, "log10" if name.startswith("log10") else "1", "step", nan_is_null=True)
        for name, text in texts.items()
    ]
    why = "why there is no noise scale: 0 there is, 1 batch statistics, 2 |G|² is not positive, 3 not finite"
    columns = (
        *of_step,
        Column("noise_undefined", why, unit="count", kind="step", is_count=True),
        Column("gsnr", "mean over the kernels' entries of (E g)²/Var g over examples", nan_is_null=True),
    )

    def compute(inputs: SnapshotInputs) -> dict[str, Array]:
        if inputs.has_batch_statistics:
            nothing = {name: jnp.full((), jnp.nan) for name in texts}
            layers = jnp.full(inputs.layers, jnp.nan)
            return nothing | {"noise_undefined": jnp.full((), COUPLED, jnp.int32), "gsnr": layers}
        return _measured(inputs, min(examples, len(inputs.x)))

    return Snapshot(columns, compute)


def _measured(inputs: SnapshotInputs, count: int) -> dict[str, Array]:
    x, y = inputs.x[:count], inputs.y[:count]
    loss_of_one: Callable[[Tree, Array, Array], Array] = lambda params, x, y: inputs.mean_loss(
        params, x[None], y[None]
    )
    mean_loss = lambda params: jnp.mean(jax.vmap(loss_of_one, (None, 0, 0))(params, x, y))
    mean = jax.grad(mean_loss)(inputs.params)
    exponents = {path: largest_exponent(g, inputs.stacked_axes[path]) for path, g in mean.items()}

    def of_example(x: Array, y: Array) -> tuple[Array, Array, Tree]:
        """log2 of its norm, its product with the mean over the mean's square, and its squared deviations, scaled."""
        g = jax.grad(loss_of_one)(inputs.params, x, y)
        deviation = {path: scale(g[path] - mean[path], -exponents[path]) for path in g}
        norm = log2_norms(g, inputs.stacked_axes).global_norm.log2()
        return norm, _relative_product(g, mean, inputs), {p: d * d for p, d in deviation.items()}

    chunk = _chunk(count, sum(w.size * w.dtype.itemsize for w in inputs.params.values()))

    def add(total: Tree, batch: Any) -> tuple[Tree, tuple[Array, Array]]:
        norms, products, squares = jax.vmap(of_example)(*batch)
        return {path: total[path] + jnp.sum(squares[path], 0) for path in total}, (norms, products)

    zeros = {path: jnp.zeros_like(g) for path, g in mean.items()}
    cut: Callable[[Array], Array] = lambda array: array.reshape(count // chunk, chunk, *array.shape[1:])
    squares, (norms, products) = jax.lax.scan(add, zeros, (cut(x), cut(y)))
    own = log2_norms(mean, inputs.stacked_axes).global_norm.log2()
    scale_, error, undefined = _noise_scale(norms.reshape(-1), products.reshape(-1), own)
    logs = LOG10_2 * norms.reshape(-1)
    return {
        "noise_scale": scale_,
        "noise_scale_error": error,
        "log10_example_gradient_min": jnp.min(logs),
        "log10_example_gradient_median": jnp.median(logs),
        "log10_example_gradient_max": jnp.max(logs),
        "noise_undefined": undefined,
        "gsnr": _gsnr(inputs, mean, exponents, squares, count),
    }


def _relative_product(g: Tree, mean: Tree, inputs: SnapshotInputs) -> Array:
    """⟨g, G⟩/|G|², of arrays that are scaled as G is, so that no product leaves the number format."""
    shift = largest_exponent(jnp.stack([jnp.max(jnp.abs(value)) for value in mean.values()])).reshape(())
    pairs = [(scale(g[path], -shift), scale(mean[path], -shift)) for path in mean]
    product = sum((jnp.vdot(a, b) for a, b in pairs), jnp.zeros(()))
    return product / sum((jnp.vdot(b, b) for _, b in pairs), jnp.zeros(()))


def _noise_scale(norms: Array, products: Array, own: Array) -> tuple[Array, Array, Array]:
    """Noise scale, its jackknife error and why there is none; from log2|g_i|, ⟨g_i, G⟩/|G|² and log2|G|."""
    n = norms.size
    a = jnp.exp2(2 * (norms - own))  # |g_i|²/|G|²
    total = jnp.sum(a)
    one = _ratio(total / n, jnp.ones(()), n)
    without = _ratio((total - a) / (n - 1), (n * n - 2 * n * products + a) / (n - 1) ** 2, n - 1)
    error = jnp.sqrt((n - 1) / n * jnp.sum((without - jnp.mean(without)) ** 2))
    finite = jnp.isfinite(total) & jnp.isfinite(own)
    reason = jnp.where(~finite, NOT_FINITE, jnp.where(one > 0, MEASURED, TOO_NOISY))
    null: Callable[[Array], Array] = lambda value: jnp.where(reason == MEASURED, value, jnp.nan)
    return null(one), null(jnp.where(jnp.all(without > 0), error, jnp.nan)), reason.astype(jnp.int32)


def _ratio(square: Array, of_mean: Array, n: int) -> Array:
    """tr Σ/|G|² by the unbiased pair from mean|g|² and |mean g|²; not positive where the estimate of |G|² is not."""
    signal = (n * of_mean - square) / (n - 1)
    return jnp.where(signal > 0, (square - of_mean) * n / (n - 1) / signal, -1.0)


def _gsnr(inputs: SnapshotInputs, mean: Tree, exponents: Tree, squares: Tree, n: int) -> Array:
    """(layers,): means over the entries with a variance, of kernels only; NaN for a layer without any."""
    total, count = jnp.zeros(inputs.layers), jnp.zeros(inputs.layers)
    for path in sorted(inputs.kernels):
        axes = tuple(range(inputs.stacked_axes[path], mean[path].ndim))
        variance = squares[path] / (n - 1)
        signal = scale(mean[path], -exponents[path]) ** 2
        varies = variance != 0  # a NaN does
        ratio = jnp.where(varies, signal / jnp.where(varies, variance, 1.0) - 1 / n, 0.0)
        at = jnp.asarray(inputs.layers_of[path])
        total = total.at[at].add(jnp.sum(ratio, axes).reshape(-1))
        count = count.at[at].add(jnp.sum(varies, axes).reshape(-1))
    return jnp.where(count > 0, total / count, jnp.nan)


def _chunk(count: int, gradient_bytes: int) -> int:
    """How many examples at once: the largest divisor of their number whose gradients fit into CHUNK_BYTES."""
    most = max(1, math.floor(CHUNK_BYTES / gradient_bytes))
    return max(part for part in range(1, count + 1) if count % part == 0 and part <= most)
