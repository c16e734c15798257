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
    """What a forward and a backward pass give: the loss, what comes with it, the gradient, and the profiles."""

    loss: Array
    aux: Any
    stats: Tree
    grads: Any
    profiles: Profiles


class Chain(NamedTuple):
    """A network and its loss. `gather(leaves)` are the parameters by path as the blocks hold them.

    loss: (the last block's output, leaves) -> (loss, aux).
    """

    blocks: list[Block]
    gather: Callable[[Any], Tree]
    loss: Callable[[Any, Any], tuple[Array, Any]]


def measured_pass(
    network: Chain, leaves: Any, stats: Tree, x: Any, key: Array, *, train: bool, examples: int
) -> Pass:
    """One pass over the inputs x with respect to `leaves`, any pytree; examples: B, of which the loss is the mean."""
    blocks = network.blocks

    def loss_of(leaves: Any, dummies: chain.TapValues) -> tuple[Array, Any]:
        output, new_stats, forward = chain.forward(
            blocks, network.gather(leaves), stats, x, key, train=train, dummies=dummies, measure=_forward_norm
        )
        loss, aux = network.loss(output, leaves)
        return loss, (aux, new_stats, forward)

    tree = network.gather(leaves)
    dummies = chain.dummies(blocks, tree)
    (loss, (aux, new_stats, forward)), (grads, measured) = jax.value_and_grad(loss_of, (0, 1), has_aux=True)(
        leaves, dummies
    )
    profiles = _profiles(blocks, tree, network.gather(grads), forward, measured, examples)
    return Pass(loss, aux, new_stats, grads, profiles)


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
    kernels = [path for path in tree if tree[path].ndim - stacked_axes[path] >= 2]
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
