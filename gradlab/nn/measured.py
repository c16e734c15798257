"""Loss, gradient and the four depth profiles of any chain of blocks, in one backward pass with taps."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from gradlab.measurements.probe import BlockSignal
from gradlab.nn import chain
from gradlab.nn.chain import Block
from gradlab.numerics import norms
from gradlab.numerics.tree import Tree, under
from gradlab.recipe.errors import RecipeError


class Profiles(NamedTuple):
    """Four arrays (blocks,) of log10, right far outside float32's range; −inf is a true zero.

    forward: ‖h_l‖_F/√size, RMS per unit, h_l the output of block l; backward: √B·‖∂loss/∂h_l‖_F for B examples;
    gradient and weight: ‖∂loss/∂W_l‖_F and ‖W_l‖_F over the block's arrays of two axes or more (NaN where it has none).
    """

    log10_forward: Array
    log10_backward: Array
    log10_gradient: Array
    log10_weight: Array


class Pass(NamedTuple):
    """What a forward and a backward pass give: the loss, what comes with it, the gradients, and the profiles.

    grads: with respect to the blocks' parameters; direct: with respect to what the loss function reads itself.
    """

    loss: Array
    aux: Any
    stats: Tree
    grads: Tree
    direct: Any
    profiles: Profiles


Loss = Callable[[Any, Any], tuple[Array, Any]]  # (the last block's output, what else it reads) -> (loss, aux)


class Inputs(NamedTuple):
    """Of one pass: the parameters and statistics by path, what the loss reads beside the output, x, a random key.

    examples: B, of which the loss is the mean.
    """

    params: Tree
    stats: Tree
    direct: Any
    x: Any
    key: Array
    examples: int
    train: bool = True


def measured_pass(blocks: list[Block], loss: Loss, inputs: Inputs) -> Pass:
    """One pass over the inputs x."""

    def loss_of(params: Tree, direct: Any, dummies: chain.TapValues) -> tuple[Array, Any]:
        output, new_stats, forward = chain.forward(
            blocks,
            params,
            inputs.stats,
            inputs.x,
            inputs.key,
            train=inputs.train,
            dummies=dummies,
            measure=_forward_norm,
        )
        value, aux = loss(output, direct)
        return value, (aux, new_stats, forward)

    differentiated = jax.value_and_grad(loss_of, (0, 1, 2), has_aux=True)
    dummies = chain.dummies(blocks, inputs.params)
    (value, (aux, new_stats, forward)), (grads, direct, measured) = differentiated(
        inputs.params, inputs.direct, dummies
    )
    profiles = _profiles(blocks, inputs.params, grads, forward, measured, inputs.examples)
    return Pass(value, aux, new_stats, grads, direct, profiles)


def require_scalar(loss: Any) -> None:
    """Check what a loss function returns, an array or its shape.

    Raises:
        RecipeError: it is no real scalar.
    """
    demand = "it must be one real number, the mean over the examples (jnp.mean(…))"
    if not jax.tree_util.all_leaves([loss]):
        raise RecipeError(f"the loss is a {type(loss).__name__}; {demand}")
    if (shape := jnp.shape(loss)) != ():
        raise RecipeError(f"the loss has the shape {shape}; {demand}")
    if not jnp.issubdtype(dtype := jnp.result_type(loss), jnp.floating):
        raise RecipeError(f"the loss is of dtype {dtype}; {demand}")


def _forward_norm(signal: BlockSignal) -> Array:
    """log2 of the RMS per unit of a block's output."""
    leaves = jax.tree.leaves(signal.h)
    leaf_norms = jnp.stack([norms.log2_norm(leaf).astype(jnp.float32) for leaf in leaves])
    return norms.log2_hypot(leaf_norms) - 0.5 * jnp.log2(float(sum(leaf.size for leaf in leaves)))


def _profiles(
    blocks: list[Block],
    tree: Tree,
    grads: Tree,
    forward: list[Array],
    measured: chain.TapValues,
    examples: int,
) -> Profiles:
    stacked_axes = chain.stacked_axes(blocks, tree)
    kernels = chain.kernel_paths(blocks, tree)
    backward = chain.backward_norms(blocks, measured, examples)
    gradient = chain.true_norms(blocks, measured, norms.log2_norms(grads, stacked_axes).leaves)
    weight = {path: norms.scaled_log2_norm(tree[path], stacked_axes[path]) for path in kernels}
    log2 = Profiles(
        jnp.concatenate([jnp.atleast_1d(part) for part in forward]),
        backward.signal + backward.log2_sqrt_terms,
        _per_block(blocks, {path: gradient[path] for path in kernels}),
        _per_block(blocks, weight),
    )
    return Profiles(*(jax.lax.stop_gradient(norms.LOG10_2 * column) for column in log2))


def _per_block(blocks: list[Block], leaf_norms: Tree) -> Array:
    """log2 of a block's norm over its kernels, (blocks,); NaN where it has none."""
    joined = []
    for block in blocks:
        parts = [jnp.atleast_1d(value) for value in under(leaf_norms, f"{block.name}/").values()]
        stacked = jnp.stack(parts, -1) if parts else None
        joined.append(
            jnp.full(block.layers, jnp.nan) if stacked is None else jax.vmap(norms.log2_hypot)(stacked)
        )
    return jnp.concatenate(joined)
