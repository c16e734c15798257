"""The three depth profiles of any chain of functions, by the same taps that `gradlab run` uses."""

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from gradlab.measure.probe import BlockSignal
from gradlab.nn import chain
from gradlab.nn.chain import Block, BlockAux
from gradlab.numerics import norms
from gradlab.numerics.tree import Tree, under

Function = Callable[[Any, Any], Any]  # (parameters, h) -> h


class Profile(NamedTuple):
    """Four arrays (blocks,) of log10, right far outside float32's range; −inf is a true zero.

    forward: ‖h_l‖_F/√size, RMS per unit, h_l the output of block l; backward: √B·‖∂loss/∂h_l‖_F for B = len(x);
    gradient and weight: ‖∂loss/∂W_l‖_F and ‖W_l‖_F over the block's arrays of two axes or more (NaN where it has none).
    """

    log10_forward: NDArray[np.floating[Any]]
    log10_backward: NDArray[np.floating[Any]]
    log10_gradient: NDArray[np.floating[Any]]
    log10_weight: NDArray[np.floating[Any]]


def profile(
    blocks: Sequence[Function], params: Sequence[Any], x: Any, loss: Callable[[Any], Array]
) -> Profile:
    """Forward signal, backward signal and weight gradient of h <- block(params, h), block after block.

    Args:
        blocks: functions (parameters, h) -> h; h is any pytree of arrays.
        params: for each block its parameters, any pytree of arrays.
        x: the input, a pytree of arrays (examples, …).
        loss: maps the last h to the mean loss over the examples, a scalar.

    A function that occurs several times in a row, with parameters of equal shapes, is compiled once and run by
    `lax.scan`, so that depth costs no compile time.

    Returns:
        A Profile with one entry per block.

    Raises:
        ValueError: if there are no blocks, or not as many params as blocks.

    >>> import jax, jax.numpy as jnp, gradlab
    >>> keys = jax.random.split(jax.random.key(0), 50)
    >>> params = [jax.random.orthogonal(key, 32) for key in keys]
    >>> signals = gradlab.profile([lambda w, h: h @ w] * 50, params, jnp.ones((8, 32)), jnp.mean)
    >>> bool(abs(signals.log10_backward[0] - signals.log10_backward[-1]) < 1e-4)  # orthogonal: nothing is lost
    True
    """
    if len(blocks) != len(params) or not blocks:
        raise ValueError(f"as many blocks as params, at least one: got {len(blocks)} and {len(params)}")
    segments, tree = _segments(blocks, params)
    measured = jax.jit(lambda tree, x: _measure(segments, tree, x, loss))(tree, x)
    return Profile(*(np.asarray(column) for column in measured))


def _segments(blocks: Sequence[Function], params: Sequence[Any]) -> tuple[list[Block], Tree]:
    """Consecutive equal blocks as one stack; parameters by path, as a chain holds them."""

    def kind(index: int) -> tuple[Any, ...]:
        leaves, shape = jax.tree.flatten(params[index])
        return id(blocks[index]), shape, tuple((jnp.shape(leaf), jnp.result_type(leaf)) for leaf in leaves)

    segments: list[Block] = []
    tree: Tree = {}
    for _, group in groupby(range(len(blocks)), key=kind):
        places = list(group)
        name, count = f"block{places[0]:07d}", len(places) if len(places) > 1 else None
        leaves = [jax.tree.leaves(params[place]) for place in places]
        stacked = leaves[0] if count is None else [jnp.stack(same) for same in zip(*leaves, strict=True)]
        tree |= {f"{name}/{index:04d}": jnp.asarray(leaf) for index, leaf in enumerate(stacked)}
        apply = _apply(blocks[places[0]], jax.tree.structure(params[places[0]]))
        segments.append(Block(name, lambda key: ({}, {}), apply, count, active=False))
    return segments, tree


def _apply(function: Function, structure: Any) -> Callable[..., tuple[Any, BlockAux]]:
    def apply(params: Tree, h: Any, context: chain.BlockContext) -> tuple[Any, BlockAux]:
        leaves = [params[path] for path in sorted(params)]
        return function(jax.tree.unflatten(structure, leaves), h), BlockAux({})

    return apply


def _measure(segments: list[Block], tree: Tree, x: Any, loss: Callable[[Any], Array]) -> tuple[Array, ...]:
    """log10 of the four profiles, (blocks,) each."""

    def forward_norm(signal: BlockSignal) -> Array:
        leaves = jax.tree.leaves(signal.h)
        leaf_norms = jnp.stack([norms.log2_norm(leaf).astype(jnp.float32) for leaf in leaves])
        return norms.log2_hypot(leaf_norms) - 0.5 * jnp.log2(float(sum(leaf.size for leaf in leaves)))

    def loss_of(tree: Tree, dummies: chain.TapValues) -> tuple[Array, list[Array]]:
        key = jax.random.key(0)
        output, _, forward = chain.forward(
            segments, tree, {}, x, key, train=True, dummies=dummies, measure=forward_norm
        )
        return loss(output), forward

    dummies = chain.dummies(segments, tree)
    (_, forward), (grads, measured) = jax.value_and_grad(loss_of, (0, 1), has_aux=True)(tree, dummies)
    stacked_axes = chain.stacked_axes(segments, tree)
    kernels = [path for path in tree if tree[path].ndim - stacked_axes[path] >= 2]
    batch = len(jax.tree.leaves(x)[0])
    backward = chain.backward_norms(segments, measured, batch)
    gradient = chain.true_norms(segments, measured, norms.log2_norms(grads, stacked_axes).leaves)
    weight = {path: norms.scaled_log2_norm(tree[path], stacked_axes[path]) for path in kernels}
    profiles = (
        jnp.concatenate([jnp.atleast_1d(part) for part in forward]),
        backward.signal + backward.log2_sqrt_terms,
        _per_block(segments, {path: gradient[path] for path in kernels}),
        _per_block(segments, weight),
    )
    return tuple(norms.LOG10_2 * column for column in profiles)


def _per_block(segments: list[Block], leaf_norms: Tree) -> Array:
    """log2 of a block's norm over its kernels, (blocks,); NaN where it has none."""
    joined = []
    for block in segments:
        parts = [jnp.atleast_1d(value) for value in under(leaf_norms, f"{block.name}/").values()]
        stacked = jnp.stack(parts, -1) if parts else None
        joined.append(
            jnp.full(block.layers, jnp.nan) if stacked is None else jax.vmap(norms.log2_hypot)(stacked)
        )
    return jnp.concatenate(joined)
