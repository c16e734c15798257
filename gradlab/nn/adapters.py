"""A user-defined network as a chain of blocks.

`build(plan, key, …)` returns a list of gradlab's Blocks, a list of (function, parameters) with function(parameters,
h) -> h, or a module of Flax, Equinox or Haiku. A `Sequential`, or a list of modules, is a chain by itself: a function
without parameters joins the block before it. The blocks of any other network are found in its equations
(nn/found_blocks.py). Equal neighbours are one stack, whatever their parameters' values.
"""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import groupby
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen, nnx
from jax import Array

from gradlab.nn.chain import Block, BlockAux, BlockContext
from gradlab.nn.found_blocks import found_blocks
from gradlab.nn.module_names import unused
from gradlab.nn.modules import Pure, by_path, from_paths, function_name, is_pair, pure
from gradlab.nn.plan import Model, Plan
from gradlab.numerics.tree import Tree
from gradlab.recipe.errors import RecipeError

Build = Callable[[Plan, Array], Any]


class Piece(NamedTuple):
    """One block. Pieces of equal `kind` and shapes may be stacked if input and output have equal shapes too.

    `run(params, stats, h, key, train)` -> (h, stats).
    """

    name: str
    kind: Any
    params: Any
    stats: Any
    run: Callable[[Any, Any, Any, Array, bool], tuple[Any, Any]]
    input_shapes: Any = None  # those of h before and after it
    output_shapes: Any = None


def from_user_build(build: Build) -> Model:
    """A model from a user's `build`, which is called again for each seed; it may also return given weights."""
    return lambda plan: blocks_of(partial(build, plan), _input(plan))


def _input(plan: Plan) -> jax.ShapeDtypeStruct:
    """The shape of two examples of the task."""
    return jax.ShapeDtypeStruct((2, *plan.shape), jnp.int32 if plan.vocabulary else plan.dtype)


def blocks_of(draw: Callable[[Array], Any], x: Any) -> list[Block]:
    """The blocks of the network that `draw(key)` returns, for inputs of x's shapes: a pytree of arrays (examples, …).

    Raises:
        RecipeError: it is nothing that gradlab can call, or has no parameters.
    """
    key = jax.random.key(0)
    network = draw(key)
    if isinstance(network, list) and network and all(isinstance(entry, Block) for entry in network):
        return _distinct(network)
    if _is_chain(network):
        pieces: Callable[..., list[Piece]] = lambda network, key: list(_joined(_pieces(network, x, key)))
        return list(_blocks(pieces(network, key), lambda key: pieces(draw(key), key)))
    return found_blocks(partial(_whole, draw, x), x)


def _distinct(blocks: list[Block]) -> list[Block]:
    """The blocks, if each has a name of its own."""
    names = [block.name for block in blocks]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise RecipeError(f"two blocks are called {', '.join(twice)}; give each block a name of its own")
    return blocks


def _whole(draw: Callable[[Array], Any], x: Any, key: Array) -> Pure:
    """The network as one function.

    Raises:
        RecipeError: it is nothing that gradlab can call.
    """
    network = draw(key)
    if (found := pure(network, x, key)) is None:
        raise RecipeError(
            "a network is a list of (function, parameters), one such pair, or a module of Flax NNX, Linen, Equinox or "
            f"Haiku; got {type(network).__name__}"
        )
    return found


def _is_chain(network: Any) -> bool:
    """Whether it is given block by block."""
    if isinstance(network, nnx.Sequential | linen.Sequential):
        return True
    return isinstance(network, list) or (type(network) is tuple and len(network) > 0 and not is_pair(network))


def _pieces(network: Any, x: Any, key: Array) -> Iterator[Piece]:
    """Each entry of the user's network; Linen modules are initialized with the shape that arrives there."""
    h = x
    entries = network if isinstance(network, list | tuple) else network.layers
    for index, entry in enumerate(entries):
        piece = _piece(entry, h, jax.random.fold_in(key, index))
        output = _output_shapes(piece, h, key)
        _require_gradient(piece, index, output)
        yield piece._replace(input_shapes=h, output_shapes=output)
        h = output


def _output_shapes(piece: Piece, h: Any, key: Array) -> Any:
    """The shapes of a piece's output for an input of h's."""
    return jax.eval_shape(lambda h: piece.run(piece.params, piece.stats, h, key, True)[0], h)


def _require_gradient(piece: Piece, index: int, output: Any) -> None:
    for leaf in jax.tree.leaves(output):
        if not jnp.issubdtype(leaf.dtype, jnp.inexact):
            raise RecipeError(
                f"block {index} ({piece.name}) returns {leaf.dtype}, through which no gradient passes; "
                "let it return floating point numbers"
            )


def _piece(entry: Any, h: Any, key: Array) -> Piece:
    if (module := pure(entry, h, key)) is not None:
        return Piece(*module)
    if not callable(entry):
        raise RecipeError(
            f"a block is a function, a module, or (function, parameters); got {type(entry).__name__}"
        )
    return Piece(function_name(entry), ("function", entry), (), {}, partial(_run_function, entry))


def _run_function(
    function: Callable[..., Any], params: Any, stats: Any, h: Any, key: Array, train: bool
) -> tuple[Any, Any]:
    return function(h), stats  # as jax.nn.relu


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
    def run(params: Any, stats: Any, h: Any, key: Array, train: bool) -> tuple[Any, Any]:
        h, first_stats = first.run(params[0], stats[0], h, key, train)
        h, second_stats = second.run(params[1], stats[1], h, key, train)
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
        name = unused(piece.name, used)
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
        trees = [(by_path(drawn[index].params), by_path(drawn[index].stats)) for index in indices]
        return trees[0] if count is None else jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)

    return init


def _apply(piece: Piece) -> Callable[[Tree, Any, BlockContext], tuple[Any, BlockAux]]:
    def apply(params: Tree, h: Any, context: BlockContext) -> tuple[Any, BlockAux]:
        trees = from_paths(piece.params, params), from_paths(piece.stats, context.stats)
        h, stats = piece.run(*trees, h, context.key, context.train)
        return h, BlockAux(by_path(stats) if context.train else dict(context.stats))

    return apply
