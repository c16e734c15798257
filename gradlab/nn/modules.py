"""A module of Flax NNX, Flax Linen, Equinox or Haiku, or a function with its parameters, as one pure function."""

import inspect
import sys
from collections.abc import Callable
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen, nnx
from jax import Array

from gradlab.numerics.tree import Tree
from gradlab.recipe.errors import RecipeError

Run = Callable[[Any, Any, Any, Array, bool], tuple[Any, Any]]


class Pure(NamedTuple):
    """A network or a part of one; `run(params, stats, h, key, train)` -> (output, stats), both any pytrees.

    kind: equal for modules that compute the same with their parameters.
    """

    name: str
    kind: Any
    params: Any
    stats: Any
    run: Run


def pure(module: Any, h: Any, key: Array) -> Pure | None:
    """The module as a function, with parameters as they are, or drawn from `key` for an input of h's shape.

    None for what is no module and no pair of a function and its parameters.

    Raises:
        RecipeError: the module holds a state in a way that cannot be carried along.
    """
    if isinstance(module, nnx.Module):
        return _nnx(module)
    if isinstance(module, linen.Module):
        return _linen(module, h, key)
    if _is_equinox(module):
        return _equinox(module)
    if _is_transformed(module):
        return _haiku(module, h, key)
    if is_pair(module):
        return _with_parameters(module[0], module[1], h, key)
    return None


def is_pair(entry: Any) -> bool:
    """Whether it is a function, a Linen module or a Haiku pair, with its parameters."""
    if not isinstance(entry, tuple) or len(entry) != 2 or _is_transformed(entry):
        return False
    return (callable(entry[0]) or _is_transformed(entry[0])) and not callable(entry[1])


def _with_parameters(network: Any, params: Any, h: Any, key: Array) -> Pure:
    if isinstance(network, linen.Module):
        return _linen(network, h, key, dict(params) if "params" in params else {"params": params})
    if _is_transformed(network):
        return _haiku(network, h, key)._replace(params=params)
    return Pure(function_name(network), ("pair", network), params, {}, partial(_run_pair, network))


def function_name(function: Any) -> str:
    """What a block of this function is called."""
    return str(getattr(function, "__name__", type(function).__name__)).strip("_<>").lower() or "block"


def _run_pair(function: Callable[..., Any], params: Any, stats: Any, h: Any, key: Array, train: bool) -> Any:
    return function(params, h), stats


def _nnx(module: nnx.Module) -> Pure:
    """An NNX module, split here and merged again in every trace: only there may it be changed.

    Its statistics are all its variables but parameters and random streams.
    """
    graph, weights, streams, others = split_nnx(module)
    names = {node.tag for _, node in nnx.iter_graph(module) if isinstance(node, nnx.RngStream)}
    further = sorted(names - {"default", "dropout"})

    def run(params: Any, stats: Any, h: Any, key: Array, train: bool) -> tuple[Any, Any]:
        merged = nnx.merge(graph, filled(weights, params), streams, filled(others, stats), copy=True)
        merged.set_attributes(
            deterministic=not train, use_running_average=not train, raise_if_not_found=False
        )
        further_keys: Any = {name: jax.random.fold_in(key, index) for index, name in enumerate(further)}
        nnx.reseed(merged, default=key, dropout=key, **further_keys)
        h = merged(h)
        return h, entries_of(stats, nnx.to_pure_dict(split_nnx(merged)[3]))

    pure_values = nnx.to_pure_dict(weights), nnx.to_pure_dict(others)
    return Pure(type(module).__name__.lower(), ("nnx", graph), *pure_values, run)


def split_nnx(module: nnx.Module) -> tuple[Any, ...]:
    """The structure of an NNX module, its parameters, its random streams, and its other variables."""
    return tuple(nnx.split(module, nnx.Param, nnx.RngState, ...))


def filled(state: Any, values: Any) -> Any:
    """The state of an NNX module with these values, as nested dictionaries."""
    copy = jax.tree.map(lambda leaf: leaf, state)
    nnx.replace_by_pure_dict(copy, values)
    return copy


def entries_of(like: Any, values: Any) -> Any:
    """The entries of nested mappings that `like` has: a call may add others (what `sow` collects)."""
    if isinstance(like, dict):
        return {key: entries_of(value, values[key]) for key, value in like.items()}
    return values


def _linen(module: linen.Module, h: Any, key: Array, given: Any = MappingProxyType({})) -> Pure:
    """A Linen module with the variables that are `given`, or drawn."""
    accepted = inspect.signature(type(module).__call__).parameters

    def flags(train: bool) -> dict[str, Any]:
        values = {
            "train": train,
            "training": train,
            "deterministic": not train,
            "use_running_average": not train,
        }
        return {name: value for name, value in values.items() if name in accepted}

    variables = dict(module.init({"params": key, "dropout": key}, _zeros(h), **flags(False))) | given
    params = variables.pop("params", {})
    variables.pop("intermediates", None)

    def run(params: Any, stats: Any, h: Any, key: Array, train: bool) -> tuple[Any, Any]:
        collections = _collections(variables, stats)
        output, changed = module.apply(
            {"params": params, **collections},
            h,
            rngs={"dropout": key},
            mutable=list(collections),
            **flags(train),
        )
        return output, _by_module(entries_of(collections, {**collections, **changed}))

    return Pure(type(module).__name__.lower(), ("linen", module), params, _by_module(variables), run)


def _by_module(collections: Any) -> Tree:
    """The leaves of collections as `batch_stats`, by their path inside the collection: that of their module."""
    found: Tree = {}
    for collection, tree in collections.items():
        for path, leaf in by_path(tree).items():
            found[path if path not in found else f"{path}_{collection}"] = leaf
    return found


def _collections(like: Any, leaves: Tree) -> Any:
    """The collections again, with the structure of `like`."""
    names = iter(_by_module(like))
    return {
        collection: from_paths(tree, {path: leaves[next(names)] for path in by_path(tree)})
        for collection, tree in like.items()
    }


def _zeros(h: Any) -> Any:
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), h)


def _is_equinox(module: Any) -> bool:
    equinox = sys.modules.get("equinox")
    return equinox is not None and isinstance(module, equinox.Module) and callable(module)


def _equinox(module: Any) -> Pure:
    """An Equinox module, which is a function of one example: every example with a random key of its own.

    Its parameters are the leaves that hold floating point numbers, as `eqx.filter_value_and_grad` takes them.
    """
    import equinox as eqx

    is_state: Callable[[Any], bool] = lambda leaf: isinstance(leaf, eqx.nn.StateIndex)
    if any(map(is_state, jax.tree.leaves(module, is_leaf=is_state))):
        raise RecipeError(
            f"{type(module).__name__} has an eqx.nn.State, which gradlab cannot carry along; "
            "use a normalization without running statistics"
        )
    weights, static = eqx.partition(module, eqx.is_inexact_array)
    takes_key = "key" in inspect.signature(type(module).__call__).parameters

    def run(params: Any, stats: Any, h: Any, key: Array, train: bool) -> tuple[Any, Any]:
        whole = eqx.nn.inference_mode(eqx.combine(params, static), value=not train)
        if not takes_key:
            return jax.vmap(whole)(h), stats
        return jax.vmap(lambda example, key: whole(example, key=key))(h, jax.random.split(key, len(h))), stats

    return Pure(type(module).__name__.lower(), ("equinox", str(static)), weights, {}, run)


def _is_transformed(module: Any) -> bool:
    """Whether it is what `hk.transform` or `hk.transform_with_state` returns, or another pair of init and apply."""
    return isinstance(module, tuple) and all(
        callable(getattr(module, name, None)) for name in ("init", "apply")
    )


def _haiku(module: Any, h: Any, key: Array) -> Pure:
    """Haiku's `init(key, x) -> parameters` and `apply(parameters, key, x) -> output`, with a state or without."""
    has_state = "state" in inspect.signature(module.apply).parameters
    initial = module.init(key, _zeros(h))
    params, stats = initial if has_state else (initial, {})

    def run(params: Any, stats: Any, h: Any, key: Array, train: bool) -> tuple[Any, Any]:
        if has_state:
            h, stats = module.apply(params, stats, key, h)
            return h, stats
        return module.apply(params, key, h), stats

    return Pure("network", ("haiku", module), params, stats, run)


def by_path(tree: Any) -> Tree:
    """Leaves by path: {"0/kernel": …}."""
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {
        jax.tree_util.keystr(path, simple=True, separator="/") or "value": jnp.asarray(x)
        for path, x in leaves
    }


def from_paths(like: Any, leaves: Tree) -> Any:
    """A pytree of the structure of `like` with these leaves."""
    return jax.tree.unflatten(jax.tree.structure(like), [leaves[path] for path in by_path(like)])
