"""How curved is the loss, and is the learning rate at the edge of what that allows?"""

from collections.abc import Callable
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from jax import Array
from jax.flatten_util import ravel_pytree

from gradlab.measurements.columns import Column
from gradlab.measurements.snapshot import Snapshot, SnapshotInputs, snapshot
from gradlab.numerics import curvature
from gradlab.numerics.curvature import Product
from gradlab.numerics.tree import Tree
from gradlab.recipe.bounds import Flag, Size

NAMES = {"hessian": "Hessian", "gauss_newton": "Gauss–Newton matrix"}


@snapshot
def sharpness(
    of: Literal["hessian", "gauss_newton"], iterations: Size, samples: Size, blocks: Flag
) -> Snapshot:
    """Extreme eigenvalues of the Hessian H of the data loss on the fixed batch, and its trace.

    sharpness: λ_max by Lanczos with `iterations` products H v (Cohen et al. 2021); smallest_eigenvalue: λ_min;
    sharpness_error: the norm of (H − λ_max)x of its Ritz vector. hessian_trace with its standard error from `samples`
    random vectors. stability_limit: the largest curvature at which the optimizer's steps do not grow on a quadratic
    with this learning rate: 2/η of gradient descent. For Adam and its kin it is that of P⁻½ H P⁻½, P the preconditioner
    in use, and preconditioned_sharpness is its λ_max (Cohen et al. 2022). It is a local threshold of a quadratic model,
    not a bound on the rate. block_sharpness: λ_max of the diagonal block of each layer's parameters, with `blocks`.
    of=gauss_newton takes Jᵀ H_L J in the place of H.

    All are null where they are not finite or exactly zero, and those of the optimizer where its limit is not known.
    """
    matrix = NAMES[of]
    texts = {
        "sharpness": f"largest eigenvalue of the {matrix} of the data loss on the fixed batch",
        "sharpness_error": "norm of (H − λ)x for the largest eigenvalue and its vector",
        "smallest_eigenvalue": f"smallest eigenvalue of the {matrix}",
        "hessian_trace": f"trace of the {matrix}",
        "hessian_trace_error": "standard error of the trace",
        "preconditioned_sharpness": f"largest eigenvalue of P^−½ H P^−½, H the {matrix}, P the preconditioner",
        "stability_limit": "largest (preconditioned) curvature at which the optimizer is stable on a quadratic",
    }
    columns = [Column(name, text, kind="step", nan_is_null=True) for name, text in texts.items()]
    if blocks:
        text = (
            f"largest eigenvalue of the diagonal block of the {matrix} that belongs to the layer's parameters"
        )
        columns.append(Column("block_sharpness", text, nan_is_null=True))

    def compute(inputs: SnapshotInputs) -> dict[str, Array]:
        at, unravel = ravel_pytree(inputs.params)
        product = _product(of, inputs, at, unravel)
        start_key, trace_key, more_key = jax.random.split(inputs.key, 3)
        start = jax.random.normal(start_key, at.shape, at.dtype)
        found = curvature.extremes(product, start, iterations)
        trace, trace_error = curvature.trace(product, found, trace_key, samples)
        values = {
            "sharpness": found.largest,
            "sharpness_error": found.error,
            "smallest_eigenvalue": found.smallest,
            "hessian_trace": trace,
            "hessian_trace_error": trace_error,
            **_against_limit(inputs, product, found.largest, start, iterations),
        }
        if blocks:
            values["block_sharpness"] = _of_blocks(of, inputs, more_key, iterations)
        return {name: _or_null(value) for name, value in values.items()}

    return Snapshot(tuple(columns), compute)


def _product(of: str, inputs: SnapshotInputs, at: Array, placed: Callable[[Array], Tree]) -> Product:
    """The product with the matrix at a vector of parameters, which `placed` makes the network's."""
    if of == "gauss_newton":
        outputs = lambda flat: inputs.outputs(placed(flat))
        return curvature.gauss_newton_product(outputs, inputs.loss_of_outputs, at)
    return curvature.hessian_product(lambda flat: inputs.loss(placed(flat)), at)


def _against_limit(
    inputs: SnapshotInputs, product: Product, largest: Array, start: Array, iterations: int
) -> dict[str, Array]:
    """The stability limit, and the eigenvalue that it is to be compared with where there is a preconditioner."""
    nothing = jnp.full((), jnp.nan)
    if inputs.stability is None:
        return {"preconditioned_sharpness": nothing, "stability_limit": nothing}
    limit = {"stability_limit": inputs.stability.limit}
    if inputs.stability.preconditioner is None:
        return {"preconditioned_sharpness": nothing, **limit}
    ones = {path: jnp.ones_like(w) for path, w in inputs.params.items()}
    root = jnp.sqrt(ravel_pytree(ones | inputs.stability.preconditioner)[0])
    found = curvature.extremes(lambda v: product(v / root) / root, start, iterations)
    return {"preconditioned_sharpness": found.largest, **limit}


def _of_blocks(of: str, inputs: SnapshotInputs, key: Array, iterations: int) -> Array:
    """λ_max of the diagonal block of each layer's parameters, (layers,); NaN for a layer without any."""
    paths_of: dict[range, list[str]] = {}
    for path, layers in inputs.layers_of.items():
        paths_of.setdefault(layers, []).append(path)
    largest = jnp.full(inputs.layers, jnp.nan)
    for layers, paths in paths_of.items():
        of_layer = partial(_of_layer, of, inputs, paths, key, iterations)
        is_stack = inputs.stacked_axes[paths[0]]
        values = jax.lax.map(of_layer, jnp.arange(len(layers))) if is_stack else of_layer(None)[None]
        largest = largest.at[jnp.asarray(layers)].set(values)
    return largest


def _of_layer(
    of: str, inputs: SnapshotInputs, paths: list[str], key: Array, iterations: int, index: Array | None
) -> Array:
    """λ_max of one layer's block; `index` is its place in a stack."""
    whole = inputs.params
    own = {path: whole[path] if index is None else whole[path][index] for path in paths}
    at, unravel = ravel_pytree(own)

    def placed(flat: Array) -> Tree:
        tree: Tree = unravel(flat)
        if index is None:
            return whole | tree
        return whole | {path: whole[path].at[index].set(value) for path, value in tree.items()}

    start = jax.random.normal(key, at.shape, at.dtype)
    return curvature.extremes(_product(of, inputs, at, placed), start, iterations).largest


def _or_null(value: Array) -> Array:
    return jnp.where(jnp.isfinite(value) & (value != 0), value, jnp.nan)
