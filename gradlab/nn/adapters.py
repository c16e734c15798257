"""A user-defined network as a chain of blocks: plain functions with their parameters, Flax NNX or Flax Linen modules.

`build(plan, key, …)` returns a list of gradlab's Blocks; a list of (function, parameters) with function(parameters,
h) -> h; or a module. A `Sequential`, or a list of modules, is a chain; any other module is one block. A function
without parameters joins the block before it. Equal neighbours are one stack, whatever their parameters' values.
"""

import inspect
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain, count, groupby
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen, nnx
from jax import Array

from gradlab.nn.chain import Block, BlockAux, BlockContext, identity
from gradlab.nn.plan import Model, Plan
from gradlab.numerics.tree import Tree
from gradlab.recipe.errors import RecipeError

Build = Callable[[Plan, Array], Any]


class Piece(NamedTuple):
    """One block. Pieces of equal `kind` and shapes may be stacked if input and output have equal shapes too.

    `run(params, stats, h, context)` -> (h, stats).
    """

    name: str
    kind: Any
    params: Any
    stats: Any
    run: Callable[[Any, Any, Any, BlockContext], tuple[Any, Any]]
    input_shapes: Any = None  # those of h before and after it
    output_shapes: Any = None


def from_user_build(build: Build) -> Model:
    """A model from a user's `build`, which is called again for each seed; it may also return given weights."""

    def model(plan: Plan) -> list[Block]:
        key = jax.random.key(0)
        network = build(plan, key)
        if isinstance(network, list) and network and all(isinstance(entry, Block) for entry in network):
            return _distinct(network)
        return list(_blocks(_joined_pieces(network, plan, key), partial(_draw, build, plan)))

    return model


def _distinct(blocks: list[Block]) -> list[Block]:
    """The blocks, if each has a name of its own."""
    names = [block.name for block in blocks]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise RecipeError(f"two blocks are called {', '.join(twice)}; give each block a name of its own")
    return blocks


def _draw(build: Build, plan: Plan, key: Array) -> list[Piece]:
    return _joined_pieces(build(plan, key), plan, key)


def _joined_pieces(network: Any, plan: Plan, key: Array) -> list[Piece]:
    return list(_joined(_pieces(network, plan, key)))


def _pieces(network: Any, plan: Plan, key: Array) -> Iterator[Piece]:
    """Each entry of the user's network; Linen modules are initialized with the shape that arrives there."""
    dtype = jnp.int32 if plan.vocabulary else plan.dtype
    h: Any = jax.ShapeDtypeStruct((2, *plan.shape), dtype)
    for index, entry in enumerate(_entries(network)):
        piece = _piece(entry, h, jax.random.fold_in(key, index))
        output = _output_shapes(piece, h, key)
        yield piece._replace(input_shapes=h, output_shapes=output)
        h = output


def _output_shapes(piece: Piece, h: Any, key: Array) -> Any:
    """The shapes of a piece's output for an input of h's."""
    context = BlockContext(key, {}, True, identity, 1)
    return jax.eval_shape(lambda h: piece.run(piece.params, piece.stats, h, context)[0], h)


def _entries(network: Any) -> Sequence[Any]:
    if isinstance(network, nnx.Sequential | linen.Sequential):
        return list(network.layers)
    if isinstance(network, list | tuple) and network and not _is_pair(network):
        return network
    if isinstance(network, nnx.Module | linen.Module) or _is_pair(network):
        return [network]
    raise RecipeError(
        f"a network is a list of (function, parameters), a Flax NNX or a Linen module; got {type(network).__name__}"
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
        return Piece(_name(function), ("function", function), (), {}, partial(_run_function, function))
    return Piece(_name(function), ("pair", function), params, {}, partial(_run_pair, function))


def _run_function(
    function: Callable[..., Any], params: Any, stats: Any, h: Any, context: BlockContext
) -> tuple[Any, Any]:
    return function(h), stats


def _run_pair(
    function: Callable[..., Any], params: Any, stats: Any, h: Any, context: BlockContext
) -> tuple[Any, Any]:
    return function(params, h), stats


def _nnx(module: nnx.Module) -> Piece:
    """An NNX module, split here and merged again in every trace: only there may it be changed."""
    graph, weights, averages, rest = nnx.split(module, nnx.Param, nnx.BatchStat, ...)  # type: ignore[misc]

    def run(params: Any, stats: Any, h: Any, context: BlockContext) -> tuple[Any, Any]:
        merged = nnx.merge(graph, _filled(weights, params), _filled(averages, stats), rest, copy=True)
        merged.set_attributes(
            deterministic=not context.train, use_running_average=not context.train, raise_if_not_found=False
        )
        nnx.reseed(merged, default=context.key, dropout=context.key)
        h = merged(h)
        return h, nnx.to_pure_dict(nnx.state(merged, nnx.BatchStat))

    pure = nnx.to_pure_dict(weights), nnx.to_pure_dict(averages)
    return Piece(type(module).__name__.lower(), ("nnx", graph), *pure, run)


def _filled(state: Any, values: Any) -> Any:
    """The state with these values."""
    filled = jax.tree.map(lambda leaf: leaf, state)
    nnx.replace_by_pure_dict(filled, values)
    return filled


def _linen(module: linen.Module, h: Any, key: Array) -> Piece:
    accepted = inspect.signature(type(module).__call__).parameters

    def flags(train: bool) -> dict[str, Any]:
        values = {"train": train, "deterministic": not train, "use_running_average": not train}
        return {name: value for name, value in values.items() if name in accepted}

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

    initial = variables.get("params", {}), variables.get("batch_stats", {})
    return Piece(type(module).__name__.lower(), ("linen", module), *initial, run)


def _name(function: Any) -> str:
    return str(getattr(function, "__name__", type(function).__name__)).strip("_<>").lower() or "block"


def _joined(pieces: Iterator[Piece]) -> Iterator[Piece]:
    """A function without parameters joins the piece before it; the first ones join the piece after them."""
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
        h, first_stats = first.run(params[0], stats[0], h, context)
        h, second_stats = second.run(params[1], stats[1], h, context)
        return h, (first_stats, second_stats)

    name = first.name if jax.tree.leaves(first.params) else second.name
    return Piece(
        name=name,
        kind=("then", first.kind, second.kind),
        params=(first.params, second.params),
        stats=(first.stats, second.stats),
        run=run,
        input_shapes=first.input_shapes,
        output_shapes=second.output_shapes,
    )


def _blocks(pieces: list[Piece], draw: Callable[[Array], list[Piece]]) -> Iterator[Block]:
    """Equal neighbours as one stack; a name that comes again is numbered."""
    used: set[str] = set()
    for _, group in groupby(range(len(pieces)), key=lambda index: _stacking_key(pieces[index])):
        indices = list(group)
        piece = pieces[indices[0]]
        numbered = (f"{piece.name}_{number}" for number in count(2))
        name = next(name for name in chain([piece.name], numbered) if name not in used)
        used.add(name)
        layers = len(indices) if len(indices) > 1 else None
        init, apply = _init(indices, layers, draw), _apply(piece)
        yield Block(name, init, apply, layers, active=False, init_stacked=True)


def _stacking_key(piece: Piece) -> Any:
    """Equal for pieces that one stack can hold."""
    leaves, structure = jax.tree.flatten((piece.params, piece.stats, piece.input_shapes, piece.output_shapes))
    shapes = tuple((jnp.shape(leaf), jnp.result_type(leaf)) for leaf in leaves)
    before, after = (
        jax.tree.map(lambda x: (x.shape, str(x.dtype)), h) for h in (piece.input_shapes, piece.output_shapes)
    )
    # a scan's state keeps its shape
    return piece.kind, structure, shapes, None if before == after else id(piece)


def _init(
    indices: list[int], count: int | None, draw: Callable[[Array], list[Piece]]
) -> Callable[[Array], Any]:
    def init(key: Array) -> tuple[Tree, Tree]:
        drawn = draw(key)
        trees = [(_by_path(drawn[index].params), _by_path(drawn[index].stats)) for index in indices]
        return trees[0] if count is None else jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)

    return init


def _apply(piece: Piece) -> Callable[[Tree, Any, BlockContext], tuple[Any, BlockAux]]:
    def apply(params: Tree, h: Any, context: BlockContext) -> tuple[Any, BlockAux]:
        trees = _from_paths(piece.params, params), _from_paths(piece.stats, context.stats)
        h, stats = piece.run(*trees, h, context)
        return h, BlockAux(_by_path(stats) if context.train else dict(context.stats))

    return apply


def _by_path(tree: Any) -> Tree:
    """Leaves by path: {"0/kernel": …}."""
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {
        jax.tree_util.keystr(path, simple=True, separator="/") or "value": jnp.asarray(x)
        for path, x in leaves
    }


def _from_paths(like: Any, leaves: Tree) -> Any:
    return jax.tree.unflatten(jax.tree.structure(like), [leaves[path] for path in _by_path(like)])
