"""A network of one's own as a chain of blocks: plain functions with their parameters, Flax NNX or Flax Linen modules.

`build(plan, key, …)` returns a list of gradlab's Blocks; a list of (function, parameters) with function(parameters,
h) -> h; or a module. A `Sequential`, or a list of modules, is a chain; any other module is one block. A function
without parameters joins the block before it. Equal neighbours are one stack, whatever their parameters' values.
"""

import inspect
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen, nnx
from jax import Array

from gradlab.nn.chain import Block, BlockAux, BlockContext
from gradlab.nn.plan import Model, Plan
from gradlab.numerics.tree import Tree
from gradlab.recipe.errors import RecipeError

Build = Callable[[Plan, Array], Any]


class Piece(NamedTuple):
    """One block. Pieces of equal `kind` and shapes may be stacked, if what comes in and goes out is alike too.

    `run(params, stats, h, context)` -> (h, stats).
    """

    name: str
    kind: Any
    params: Any
    stats: Any
    run: Callable[[Any, Any, Any, BlockContext], tuple[Any, Any]]
    enters: Any = None  # the shapes of h before and behind it
    leaves: Any = None


def from_user_build(build: Build) -> Model:
    """A model from one's own `build`; it draws anew for each seed, or returns weights that are there already."""

    def model(plan: Plan) -> list[Block]:
        found = build(plan, jax.random.key(0))
        if isinstance(found, list) and found and all(isinstance(one, Block) for one in found):
            return found
        draw = lambda key: list(_joined(_pieces(build(plan, key), plan, key)))
        return list(_blocks(list(_joined(_pieces(found, plan, jax.random.key(0)))), draw))

    return model


def _pieces(found: Any, plan: Plan, key: Array) -> Iterator[Piece]:
    """Each entry of what was returned; Linen modules are shown the shape that arrives there."""
    kind = jnp.int32 if plan.vocabulary else plan.dtype
    h: Any = jax.ShapeDtypeStruct((2, *plan.shape), kind)
    for index, entry in enumerate(_entries(found)):
        piece = _piece(entry, h, jax.random.fold_in(key, index))
        after = _behind(piece, h, key)
        yield piece._replace(enters=h, leaves=after)
        h = after


def _behind(piece: Piece, h: Any, key: Array) -> Any:
    """The shapes of what a piece makes of h."""
    context = BlockContext(key, {}, True, lambda z: z, 1)
    return jax.eval_shape(lambda h: piece.run(piece.params, piece.stats, h, context)[0], h)


def _entries(found: Any) -> Sequence[Any]:
    if isinstance(found, nnx.Sequential | linen.Sequential):
        return list(found.layers)
    if isinstance(found, list | tuple) and found and not _is_pair(found):
        return found
    if isinstance(found, nnx.Module | linen.Module) or _is_pair(found):
        return [found]
    raise RecipeError(
        f"a network is a list of (function, parameters), a Flax NNX or a Linen module; got {type(found).__name__}"
    )


def _is_pair(entry: Any) -> bool:
    return isinstance(entry, tuple) and len(entry) == 2 and callable(entry[0]) and not callable(entry[1])


def _piece(entry: Any, h: Any, key: Array) -> Piece:
    if isinstance(entry, nnx.Module):
        return _nnx(entry)
    if isinstance(entry, linen.Module):
        return _linen(entry, h, key)
    function, params = entry if _is_pair(entry) else (entry, ())
    if not callable(function):
        raise RecipeError(f"a block is a function, or (function, parameters); got {type(entry).__name__}")
    if not _is_pair(entry):  # as jax.nn.relu: h -> h
        return Piece(
            _name(function), ("function", function), (), {}, lambda p, s, h, context: (function(h), s)
        )
    return Piece(
        _name(function), ("pair", function), params, {}, lambda p, s, h, context: (function(p, h), s)
    )


def _nnx(module: nnx.Module) -> Piece:
    """Split here and merged anew in every trace, where alone it may be changed."""
    graph, given, averages, rest = nnx.split(module, nnx.Param, nnx.BatchStat, ...)  # type: ignore[misc]

    def run(params: Any, stats: Any, h: Any, context: BlockContext) -> tuple[Any, Any]:
        own = nnx.merge(graph, _filled(given, params), _filled(averages, stats), rest, copy=True)
        own.set_attributes(
            deterministic=not context.train, use_running_average=not context.train, raise_if_not_found=False
        )
        nnx.reseed(own, default=context.key, dropout=context.key)
        h = own(h)
        return h, nnx.to_pure_dict(nnx.state(own, nnx.BatchStat))

    pure = nnx.to_pure_dict(given), nnx.to_pure_dict(averages)
    return Piece(type(module).__name__.lower(), ("nnx", graph), *pure, run)


def _filled(state: nnx.State, values: Any) -> nnx.State:
    """The state's places with these values."""
    filled = jax.tree.map(lambda leaf: leaf, state)
    nnx.replace_by_pure_dict(filled, values)
    return filled


def _linen(module: linen.Module, h: Any, key: Array) -> Piece:
    asked = inspect.signature(type(module).__call__).parameters

    def flags(train: bool) -> dict[str, Any]:
        told = {"train": train, "deterministic": not train, "use_running_average": not train}
        return {name: value for name, value in told.items() if name in asked}

    variables = module.init({"params": key, "dropout": key}, jnp.zeros(h.shape, h.dtype), **flags(False))

    def run(params: Any, stats: Any, h: Any, context: BlockContext) -> tuple[Any, Any]:
        h, changed = module.apply(
            {"params": params, "batch_stats": stats},
            h,
            rngs={"dropout": context.key},
            mutable=["batch_stats"],
            **flags(context.train),
        )
        return h, changed.get("batch_stats", stats)

    known = variables.get("params", {}), variables.get("batch_stats", {})
    return Piece(type(module).__name__.lower(), ("linen", module), *known, run)


def _name(function: Any) -> str:
    return str(getattr(function, "__name__", type(function).__name__)).strip("_<>").lower() or "block"


def _joined(pieces: Iterator[Piece]) -> Iterator[Piece]:
    """A function without parameters goes with the piece before it, the first ones with the piece behind them."""
    before: Piece | None = None
    for piece in pieces:
        if before is None:
            before = piece
        elif not (jax.tree.leaves(piece.params) and jax.tree.leaves(before.params)):
            before = _then(before, piece)
        else:
            yield before
            before = piece
    if before is not None:
        yield before


def _then(first: Piece, second: Piece) -> Piece:
    def run(params: Any, stats: Any, h: Any, context: BlockContext) -> tuple[Any, Any]:
        h, own = first.run(params[0], stats[0], h, context)
        h, behind = second.run(params[1], stats[1], h, context)
        return h, (own, behind)

    name = first.name if jax.tree.leaves(first.params) else second.name
    both = (first.params, second.params), (first.stats, second.stats)
    return Piece(name, ("then", first.kind, second.kind), *both, run, first.enters, second.leaves)


def _blocks(pieces: list[Piece], draw: Callable[[Array], list[Piece]]) -> Iterator[Block]:
    """Equal neighbours as one stack; a name that comes again is numbered."""
    seen: dict[str, int] = {}
    for _, group in groupby(range(len(pieces)), key=lambda index: _alike(pieces[index])):
        places = list(group)
        one = pieces[places[0]]
        seen[one.name] = seen.get(one.name, 0) + 1
        name = one.name + (f"_{seen[one.name]}" if seen[one.name] > 1 else "")
        count = len(places) if len(places) > 1 else None
        yield Block(name, _init(places, count, draw), _apply(one), count, active=False, init_stacked=True)


def _alike(piece: Piece) -> Any:
    leaves, structure = jax.tree.flatten(piece[2:4] + piece[5:])
    shapes = tuple((jnp.shape(leaf), jnp.result_type(leaf)) for leaf in leaves)
    before, after = (jax.tree.map(lambda x: (x.shape, str(x.dtype)), h) for h in (piece.enters, piece.leaves))
    return (
        piece.kind,
        structure,
        shapes,
        None if before == after else id(piece),
    )  # a scan's state keeps its shape


def _init(
    places: list[int], count: int | None, draw: Callable[[Array], list[Piece]]
) -> Callable[[Array], Any]:
    def init(key: Array) -> tuple[Tree, Tree]:
        drawn = draw(key)
        trees = [(_flat(drawn[place].params), _flat(drawn[place].stats)) for place in places]
        return trees[0] if count is None else jax.tree.map(lambda *same: jnp.stack(same), *trees)

    return init


def _apply(piece: Piece) -> Callable[[Tree, Any, BlockContext], tuple[Any, BlockAux]]:
    def apply(params: Tree, h: Any, context: BlockContext) -> tuple[Any, BlockAux]:
        whole = _whole(piece.params, params), _whole(piece.stats, context.stats)
        h, stats = piece.run(*whole, h, context)
        return h, BlockAux(_flat(stats) if context.train else dict(context.stats))

    return apply


def _flat(tree: Any) -> Tree:
    """Leaves by path: {"0/kernel": …}."""
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {
        jax.tree_util.keystr(path, simple=True, separator="/") or "value": jnp.asarray(x)
        for path, x in leaves
    }


def _whole(like: Any, flat: Tree) -> Any:
    return jax.tree.unflatten(jax.tree.structure(like), [flat[path] for path in _flat(like)])
