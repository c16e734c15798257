"""The parameters in what a loss function is given: leaves by path, and the way back."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from gradlab.nn.modules import by_path, entries_of, filled, from_paths, split_nnx
from gradlab.numerics.tree import Tree
from gradlab.recipe.errors import RecipeError


class Parameters(NamedTuple):
    """A model or a pytree, taken apart.

    leaves: the parameters by path; state: arrays that a call may change (running averages) by path; streams: the
    arrays of random streams.
    whole: (leaves, state, streams) -> the model or the pytree; state_of: a model after a call -> (state, streams).
    gradients: leaves -> the gradient in the form in which `jax.grad`, `nnx.grad` or `eqx.filter_grad` gives it.
    update: writes state and streams into the model that was taken apart.
    """

    leaves: Tree
    state: Tree
    streams: list[Array]
    whole: Callable[[Tree, Tree, list[Array]], Any]
    state_of: Callable[[Any], tuple[Tree, list[Array]]]
    gradients: Callable[[Tree], Any]
    update: Callable[[Tree, list[Array]], None]


def parameters_of(given: Any) -> Parameters:
    """The parameters of an NNX module, or the arrays of floating point numbers in any other pytree.

    Raises:
        RecipeError: there are none.
    """
    found = _of_module(given) if isinstance(given, nnx.Module) else _of_pytree(given)
    if not found.leaves:
        raise RecipeError(
            f"the first argument of the loss function has no parameters (floating point arrays); got "
            f"{type(given).__name__}"
        )
    return found


def _of_module(module: nnx.Module) -> Parameters:
    graph, weights, random, others = split_nnx(module)

    def with_leaves(state: Any, leaves: Tree) -> Any:
        return filled(state, from_paths(nnx.to_pure_dict(state), leaves))

    def streams_of(arrays: list[Array]) -> Any:
        return jax.tree.unflatten(jax.tree.structure(random), arrays)

    def whole(leaves: Tree, state: Tree, streams: list[Array]) -> Any:
        parts = with_leaves(weights, leaves), streams_of(streams), with_leaves(others, state)
        return nnx.merge(graph, *parts, copy=True)

    def state_of(merged: nnx.Module) -> tuple[Tree, list[Array]]:
        _, _, random_after, others_after = split_nnx(merged)
        after = entries_of(nnx.to_pure_dict(others), nnx.to_pure_dict(others_after))
        return by_path(after), jax.tree.leaves(random_after)

    return Parameters(
        leaves=by_path(nnx.to_pure_dict(weights)),
        state=by_path(nnx.to_pure_dict(others)),
        streams=jax.tree.leaves(random),
        whole=whole,
        state_of=state_of,
        gradients=lambda leaves: with_leaves(weights, leaves),
        update=lambda state, streams: nnx.update(module, with_leaves(others, state), streams_of(streams)),
    )


def _of_pytree(tree: Any) -> Parameters:
    leaves, structure = jax.tree.flatten(tree)
    real = [_is_real(leaf) for leaf in leaves]
    # a path for each leaf, whatever it is
    paths = list(by_path(jax.tree.unflatten(structure, [0] * len(leaves))))

    def with_values(values: Tree, rest: list[Any]) -> Any:
        """The pytree with these values where it has real numbers, and the leaves of `rest` elsewhere."""
        each = zip(paths, rest, real, strict=True)
        return jax.tree.unflatten(
            structure, [values[path] if is_real else leaf for path, leaf, is_real in each]
        )

    return Parameters(
        leaves={path: leaf for path, leaf, is_real in zip(paths, leaves, real, strict=True) if is_real},
        state={},
        streams=[],
        whole=lambda values, state, streams: with_values(values, leaves),
        state_of=lambda tree: ({}, []),
        gradients=lambda values: with_values(values, [None] * len(leaves)),
        update=lambda state, streams: None,
    )


def _is_real(leaf: Any) -> bool:
    return hasattr(leaf, "dtype") and bool(jnp.issubdtype(leaf.dtype, jnp.inexact))
