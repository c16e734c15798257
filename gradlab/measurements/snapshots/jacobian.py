"""By how much does the network stretch or squeeze each direction of its first hidden layer?"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.flatten_util import ravel_pytree

from gradlab.measurements.columns import Column
from gradlab.measurements.snapshot import Snapshot, SnapshotInputs, snapshot
from gradlab.numerics import curvature
from gradlab.numerics.curvature import Function
from gradlab.recipe.bounds import Size
from gradlab.recipe.errors import RecipeError

LARGEST = 256  # units of h_0 up to which all singular values are computed
SAMPLES = 16  # random directions for the moments beyond
TELLABLE = (
    1e30  # products of Jacobians beyond it, or below its inverse, may have left float32's range on their way
)


@snapshot
def jacobian(examples: Size) -> Snapshot:
    """Singular values s of J = ∂h_L/∂h_0, from the first block's output to the last hidden one's, of single examples.

    mean_square: mean of s² over the n units of h_0, and over the first `examples` of the fixed batch: 1 where the
    signal keeps its size. isometry: Var s²/(mean s²)², 0 for an isometry, L for a deep Gaussian linear net
    (Pennington et al. 2017). Up to 256 units all s are computed (`singular_value`, a vector in falling order, the
    mean over examples of the logarithms), with log10 of the largest and the smallest and condition = s_max/s_min,
    null where that is beyond what the number format tells, 1/(eps·√n). Beyond 256 units only the two moments, from
    products with 16 random directions.
    """
    texts = {
        "jacobian_mean_square": ("mean of the squared singular values of ∂h_L/∂h_0", "1"),
        "isometry": ("Var s²/(mean s²)² of the singular values s of ∂h_L/∂h_0: 0 for an isometry", "1"),
        "log10_largest_singular": ("log10 of the largest singular value of ∂h_L/∂h_0", "log10"),
        "log10_smallest_singular": ("log10 of the smallest singular value of ∂h_L/∂h_0", "log10"),
        "jacobian_condition": ("largest ÷ smallest singular value of ∂h_L/∂h_0; null beyond 1/(eps·√n)", "1"),
    }
    steps = [Column(name, text, unit, "step", nan_is_null=True) for name, (text, unit) in texts.items()]
    spectrum = Column(
        "log10_singular_value",
        "log10 of the singular value number `index` of ∂h_L/∂h_0 in falling order, at layer L",
        unit="log10",
        kind="vector",
        size=LARGEST,
        nan_is_null=True,
    )
    return Snapshot((*steps, spectrum), lambda inputs: _compute(inputs, examples), refuses=True)


def _compute(inputs: SnapshotInputs, examples: int) -> dict[str, Array]:
    _require_hidden_layers(inputs)
    count = min(examples, len(inputs.x))
    one: Function = lambda h: ravel_pytree(inputs.hidden(inputs.params, h))[0]
    h = jax.tree.map(lambda leaf: leaf[:count, None], inputs.first_hidden)  # examples, each a batch of one
    flat = jax.vmap(lambda h: ravel_pytree(h)[0])(h)
    _, unravel = ravel_pytree(jax.tree.map(lambda leaf: leaf[0], h))
    function: Function = lambda v: one(unravel(v))
    units = flat.shape[1]
    if units <= LARGEST:
        found = jax.lax.map(lambda at: _spectrum(function, at), flat)
        squares, fourths = jnp.mean(found**2, 1), jnp.mean(found**4, 1)
        spectrum = jnp.mean(jnp.log10(found), 0)
    else:
        squares, fourths = jax.lax.map(lambda at: _moments(function, at, inputs.key), flat)
        spectrum = jnp.full(0, jnp.nan)
    return _columns(inputs, jnp.mean(squares), jnp.mean(fourths), spectrum)


def _require_hidden_layers(inputs: SnapshotInputs) -> None:
    if inputs.has_batch_statistics:
        raise RecipeError(
            "batch statistics couple the examples, so that none has a Jacobian of its own; choose another normalization"
        )
    if inputs.layers < 3:
        raise RecipeError("there is no layer between the first and the last hidden one; give a larger depth")


def _spectrum(function: Function, at: Array) -> Array:
    """The singular values of the Jacobian at a point, (units,), in falling order."""
    columns = jax.vmap(lambda v: curvature.directional_derivative(function, at, v))(
        jnp.eye(at.size, dtype=at.dtype)
    )
    wide = columns.astype(jnp.promote_types(columns.dtype, jnp.float32))
    finite = jnp.all(jnp.isfinite(wide))
    values: Array = jnp.linalg.svd(jnp.where(finite, wide, 0), compute_uv=False)
    padded = jnp.zeros(at.size, values.dtype).at[: values.size].set(values)
    return jnp.where(finite, padded, jnp.nan)


def _moments(function: Function, at: Array, key: Array) -> tuple[Array, Array]:
    """Estimates of the means of s² and s⁴, () each, from products with random signs."""
    _, pull_back = jax.vjp(function, at)
    signs = jax.random.rademacher(key, (SAMPLES, at.size), at.dtype)

    def of_direction(v: Array) -> tuple[Array, Array]:
        moved = curvature.directional_derivative(function, at, v)
        (back,) = pull_back(moved)
        return jnp.sum(moved**2) / at.size, jnp.sum(back**2) / at.size

    squares, fourths = jax.lax.map(of_direction, signs)
    return jnp.mean(squares), jnp.mean(fourths)


def _columns(inputs: SnapshotInputs, square: Array, fourth: Array, spectrum: Array) -> dict[str, Array]:
    root = jnp.sqrt(square)
    tellable = (root > 1 / TELLABLE) & (root < TELLABLE)
    vector = jnp.full((inputs.layers, LARGEST), jnp.nan).at[-2, : spectrum.size].set(spectrum)
    largest, smallest = (spectrum[0], spectrum[-1]) if spectrum.size else (jnp.nan, jnp.nan)
    condition = 10.0 ** (jnp.asarray(largest) - smallest)
    is_told = condition < 1 / (np.finfo(square.dtype).eps * max(spectrum.size, 1) ** 0.5)
    values = {
        "jacobian_mean_square": square,
        "isometry": fourth / square**2 - 1,
        "log10_largest_singular": jnp.asarray(largest),
        "log10_smallest_singular": jnp.where(is_told, smallest, jnp.nan),
        "jacobian_condition": jnp.where(is_told, condition, jnp.nan),
        "log10_singular_value": vector,
    }
    return {name: jnp.where(tellable, value, jnp.nan) for name, value in values.items()}
