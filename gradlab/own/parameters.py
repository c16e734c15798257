"""The parameters in what a loss function is given: leaves by path, and the way back."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from gradlab.nn.modules import by_path, entries_of, from_paths
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
    graph, *states = _split(module)
    weights, random, others = states

    def whole(leaves: Tree, state: Tree, streams: list[Array]) -> nnx.Module:
        rest = jax.tree.unflatten(jax.tree.structure(random), streams)
        merged: nnx.Module = nnx.merge(graph, filled(weights, leaves), rest, filled(others, state), copy=True)
        return merged

    def filled(state: Any, leaves: Tree) -> Any:
        copy = jax.tree.map(lambda leaf: leaf, state)
        nnx.replace_by_pure_dict(copy, from_paths(nnx.to_pure_dict(state), leaves))
        return copy

    def state_of(merged: nnx.Module) -> tuple[Tree, list[Array]]:
        _, _, random_after, others_after = _split(merged)
        after = entries_of(nnx.to_pure_dict(others), nnx.to_pure_dict(others_after))
        return by_path(after), jax.tree.leaves(random_after)

    def update(state: Tree, streams: list[Array]) -> None:
        nnx.update(module, filled(others, state), jax.tree.unflatten(jax.tree.structure(random), streams))

    return Parameters(
        leaves=by_path(nnx.to_pure_dict(weights)),
        state=by_path(nnx.to_pure_dict(others)),
        streams=jax.tree.leaves(random),
        whole=whole,
        state_of=state_of,
        gradients=lambda leaves: filled(weights, leaves),
        update=update,
    )


def _split(module: nnx.Module) -> tuple[Any, ...]:
    """Its structure, parameters, random streams, and other variables."""
    return tuple(nnx.split(module, nnx.Param, nnx.RngState, ...))


def _of_pytree(tree: Any) -> Parameters:
    leaves, structure = jax.tree.flatten(tree)
    real = [_is_real(leaf) for leaf in leaves]
    paths = list(
        by_path(
            jax.tree.unflatten(
                structure, [leaf if is_real else 0 for leaf, is_real in zip(leaves, real, strict=True)]
            )
        )
    )
    found = {path: leaf for path, leaf, is_real in zip(paths, leaves, real, strict=True) if is_real}

    def filled(values: Tree, other: Callable[[Any], Any]) -> Any:
        return jax.tree.unflatten(
            structure,
            [
                values[path] if is_real else other(leaf)
                for path, leaf, is_real in zip(paths, leaves, real, strict=True)
            ],
        )

    return Parameters(
        leaves=found,
        state={},
        streams=[],
        whole=lambda values, state, streams: filled(values, lambda leaf: leaf),
        state_of=lambda tree: ({}, []),
        gradients=lambda values: filled(values, lambda leaf: None),
        update=lambda state, streams: None,
    )


def _is_real(leaf: Any) -> bool:
    return hasattr(leaf, "dtype") and bool(jnp.issubdtype(leaf.dtype, jnp.inexact))
