"""Do gradients with respect to the input vary smoothly from input to input, or are they white noise?"""

from collections.abc import Callable
from typing import Annotated

import jax.numpy as jnp
from jax import Array

from gradlab.measurements.columns import Column
from gradlab.measurements.snapshot import Snapshot, SnapshotInputs, snapshot
from gradlab.numerics.norms import largest_exponent, scale
from gradlab.recipe.bounds import Bound
from gradlab.recipe.errors import RecipeError

LAGS = 16  # 0 … 15
STEP = 1 / 8  # of the distance between points, over which a derivative is a difference
SHORT = STEP / 64  # over it a difference of the true outputs is 64 times smaller, and rounding as large
ROUNDING = 16  # times eps of the network's dtype, relative to the output: smaller differences are rounding
# the variance of differences over SHORT, relative to that over STEP: above it they are rounding
RESOLVED = 1 / 16
Points = Annotated[int, Bound(int, 2 * LAGS, 4096)]


@snapshot
def shattering(points: Points) -> Snapshot:
    """Autocorrelation of the derivative of every unit along a line of inputs, at every layer (Balduzzi et al. 2017).

    The line joins the first two examples of the fixed batch; `points` inputs lie on it at equal distances, each with a
    second one an eighth of that distance on, all as one batch. s_u(t) is the difference of h_u between the two, the
    derivative along the line with the statistics of a batch normalization held fixed. The autocorrelation at lag k is
    Σ_t (s(t) − s̄)(s(t + k) − s̄)/Σ_t (s(t) − s̄)², averaged over the units whose derivative varies by more than rounding,
    which depth and normalization amplify: every other point has a third input, 64 times nearer, at which rounding would
    make differences as large. Null where no unit does, as in a linear network, and mostly in bfloat16 and float16. Near
    1 the gradient is smooth, near 0 it is white noise (±1.96/√points). With one input feature the derivative is the
    whole gradient.
    """
    columns = (
        Column(
            "gradient_autocorrelation",
            "mean over units of the autocorrelation, at lag `index`, of ∂h_l/∂t along a line of inputs",
            kind="vector",
            size=LAGS,
            nan_is_null=True,
        ),
        Column(
            "gradient_autocorrelation_1",
            "the same at lag 1: near 1 gradients vary smoothly with the input, near 0 they are shattered",
            nan_is_null=True,
        ),
    )

    def compute(inputs: SnapshotInputs) -> dict[str, Array]:
        start, end = _ends(inputs)
        t = jnp.arange(points, dtype=start.dtype).reshape(-1, *[1] * start.ndim)
        line: Callable[[Array], Array] = lambda t: start + t / (points - 1) * (end - start)
        batch = jnp.concatenate([line(t), line(t + STEP), line(t[::2] + SHORT)])
        flat = [h.reshape(len(batch), -1) for h in inputs.signals(inputs.params, batch)]
        acf = jnp.stack([autocorrelation(*jnp.split(h, [points, 2 * points])) for h in flat])
        return {"gradient_autocorrelation": acf, "gradient_autocorrelation_1": acf[:, 1]}

    return Snapshot(columns, compute, refuses=True)


def _ends(inputs: SnapshotInputs) -> tuple[Array, Array]:
    if not jnp.issubdtype(inputs.x.dtype, jnp.floating):
        raise RecipeError("there is no line between tokens; leave the probe out, or choose data of numbers")
    if len(inputs.x) < 2:
        raise RecipeError("a line joins two examples; give batch_size=2 or more")
    return inputs.x[0], inputs.x[1]


def autocorrelation(low: Array, high: Array, near: Array) -> Array:
    """(LAGS,), of the differences of two outputs (points, units); NaN where none varies by more than rounding.

    near: a third output, at every other point, so near to the first that its differences are small but for rounding.
    """
    eps = float(jnp.finfo(low.dtype).eps)  # type: ignore[no-untyped-call]
    outputs = jnp.concatenate([low, high, near]).astype(jnp.promote_types(low.dtype, jnp.float32))
    finite = jnp.all(jnp.isfinite(outputs))
    outputs = jnp.where(finite, outputs, 0)
    unit = scale(outputs, -largest_exponent(outputs.T, 1).T)  # each unit near 1
    low, high, near = jnp.split(unit, [len(low), 2 * len(low)])
    s = high - low
    centred = s - jnp.mean(s, 0)
    variance = jnp.sum(centred**2, 0)
    rounding = jnp.maximum(jnp.var(near - low[::2], 0) / RESOLVED, (ROUNDING * eps) ** 2)
    varies = variance > rounding * len(s)
    products = [jnp.sum(centred[: len(s) - k] * centred[k:], 0) for k in range(LAGS)]
    shares = jnp.where(varies, jnp.stack(products) / jnp.where(varies, variance, 1.0), 0.0)
    mean: Array = jnp.sum(shares, 1) / jnp.sum(varies)
    return jnp.where(finite & jnp.any(varies), mean, jnp.nan)
