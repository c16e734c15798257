"""`gradlab.measure`: what `jax.value_and_grad` gives, and beside it the depth profiles of the network in the loss."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial, wraps
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.extend.core import Var

from gradlab.nn import chain, cuts, measured
from gradlab.nn.chain import Block, BlockAux, BlockContext
from gradlab.nn.equations import Trace, trace
from gradlab.nn.found_blocks import Stack, require_own_parameters, stacks
from gradlab.nn.programs import Program, evaluated
from gradlab.nn.shared_parameters import apart
from gradlab.numerics.tree import Tree
from gradlab.own.parameters import Parameters, parameters_of
from gradlab.recipe.errors import RecipeError


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Row:
    """What one pass measured of each block, (blocks,) each, as log10; −inf is a true zero.

    log10_forward: RMS per unit of the block's output h; log10_backward: √B·‖∂loss/∂h‖; log10_gradient and
    log10_weight: ‖∂loss/∂W‖ and ‖W‖ over the block's arrays of two axes or more (NaN where it has none: `has_kernel`).
    layers: the names of the blocks. It may be returned by a function that is compiled with `jax.jit`.
    """

    log10_forward: Array
    log10_backward: Array
    log10_gradient: Array
    log10_weight: Array
    layers: tuple[str, ...] = field(metadata={"static": True})
    has_kernel: tuple[bool, ...] = field(metadata={"static": True})

    def columns(self) -> dict[str, np.ma.MaskedArray]:
        """The columns by name, (blocks,), masked where a block has no kernel; as `Recorder.write` takes them."""
        columns: dict[str, np.ma.MaskedArray] = {}
        for name in measured.Profiles._fields:
            of_kernels = name in ("log10_gradient", "log10_weight")
            columns[name] = np.ma.array(getattr(self, name), mask=~np.array(self.has_kernel) & of_kernels)
        return columns


def measure(
    loss_fn: Callable[..., Any], has_aux: bool = False, stack: bool = True
) -> Callable[..., tuple[Any, Any, Row]]:
    """`loss_fn(params, *batch)` as a function that returns (loss, gradient, row), to be called inside `jax.jit`.

    Loss and gradient are those of `jax.value_and_grad(loss_fn)`, in the same form; with `has_aux` the loss function
    returns (loss, aux), and the new one ((loss, aux), gradient, row). `params` is a Flax NNX module (its running
    averages and random streams go on as in `nnx.value_and_grad`), an Equinox module, or any pytree of arrays. The
    loss is taken for a mean over the examples; their number B is the length of the first array of the batch.

    The blocks are found in the equations of the loss function, see docs/loops.md; equal neighbours are run by
    `lax.scan`, so that compile time does not grow with depth. `stack=False` writes them out: that takes several times
    as long to compile, and spares wide layers the copy of their parameters into one array at each step.

    Raises:
        RecipeError: the loss is no real scalar, or there are no parameters, or no network between them and the loss.

    >>> import jax, jax.numpy as jnp, gradlab
    >>> def loss(params, x):
    ...     for w in params:
    ...         x = jnp.tanh(x @ w)
    ...     return jnp.mean(x**2)
    >>> params = [jnp.eye(8)] * 5
    >>> value, grads, row = jax.jit(gradlab.measure(loss))(params, jnp.ones((4, 8)))
    >>> row.log10_backward.shape, row.layers[1]
    ((5,), '1')
    """

    @wraps(loss_fn)
    def measured_loss(params: Any, *batch: Any, **options: Any) -> tuple[Any, Any, Row]:
        own = parameters_of(params)
        found = _Loss(partial(loss_fn, **options), has_aux, own, batch)
        loss, aux, grads, row = found.run(stack)
        return ((loss, aux) if has_aux else loss), own.gradients(grads), row

    return measured_loss


class _Loss:
    """A loss function, traced for one batch."""

    def __init__(
        self, loss_fn: Callable[..., Any], has_aux: bool, own: Parameters, batch: tuple[Any, ...]
    ) -> None:
        self.loss_fn, self.has_aux, self.own = loss_fn, has_aux, own
        leaves, self.structure = jax.tree.flatten(batch)
        self.is_array = [hasattr(leaf, "dtype") for leaf in leaves]
        self.static = [
            None if is_array else leaf for leaf, is_array in zip(leaves, self.is_array, strict=True)
        ]
        self.arrays = [leaf for leaf, is_array in zip(leaves, self.is_array, strict=True) if is_array]
        self.aux_structure: Any = None

    def _call(self, leaves: Tree, state: Tree, inputs: list[Array], key: Array) -> tuple[list[Array], Tree]:
        """[loss, the leaves of aux, the streams], and the new state; `inputs`: the batch's arrays, then the streams."""
        given = iter(inputs)
        batch = [
            next(given) if is_array else value
            for is_array, value in zip(self.is_array, self.static, strict=True)
        ]
        model = self.own.whole(leaves, state, list(given))
        result = self.loss_fn(model, *jax.tree.unflatten(self.structure, batch))
        loss, aux = result if self.has_aux else (result, None)
        measured.require_scalar(loss)
        aux_leaves, self.aux_structure = jax.tree.flatten(aux)
        after, streams = self.own.state_of(model)
        return [loss, *map(jnp.asarray, aux_leaves), *streams], after

    def run(self, stack: bool) -> tuple[Array, Any, Tree, Row]:
        """Loss, aux, the gradient by path, and the row; the model that was given gets its new state."""
        inputs = [*map(jnp.asarray, self.arrays), *self.own.streams]
        found = trace(self._call, self.own.leaves, self.own.state, inputs, jax.random.key(0))
        network = _Network(found, inputs, stack)
        tree, back = jax.vjp(network.gather, self.own.leaves)
        direct = {path: self.own.leaves[path] for path in network.tail.parameter_paths.values()}
        result = measured.measured_pass(
            network.blocks,
            network.loss,
            measured.Inputs(
                params=tree,
                stats=network.keys | network.gathered_stats(self.own.state),
                direct=direct,
                x=inputs,
                key=jax.random.key(0),
                examples=_examples(self.arrays),
            ),
        )
        (grads,) = back(result.grads)
        grads |= {path: grads[path] + value for path, value in result.direct.items()}
        others, after = network.others(result.aux, result.stats)
        count = len(others) - len(self.own.streams)
        self.own.update(after, others[count:])
        names = tuple(chain.layer_names(network.blocks))
        has_kernel = tuple(chain.has_kernel(network.blocks, tree))
        aux = jax.tree.unflatten(self.aux_structure, others[:count])
        return result.loss, aux, grads, Row(*result.profiles, layers=names, has_kernel=has_kernel)


def _examples(batch: Sequence[Array]) -> int:
    """The number of examples: the length of the first array that is no random key."""
    is_key: Callable[[Array], bool] = lambda x: (
        jnp.issubdtype(x.dtype, jax.dtypes.prng_key) or (x.dtype == jnp.uint32 and x.shape == (2,))
    )
    return next((len(x) for x in batch if jnp.ndim(x) and not is_key(x)), 1)


class _Network:
    """The blocks of a traced loss function, and what follows them."""

    def __init__(self, found: Trace, inputs: Sequence[Array], stack: bool) -> None:
        self.uses = apart(found)
        self.found, self.inputs = self.uses.trace, inputs
        pieces, rest = cuts.cut(self.found)
        if not pieces:
            raise RecipeError(
                "no part of the loss depends on both parameters and the batch; give the loss function the batch as an "
                "argument"
            )
        require_own_parameters(self.found, pieces)
        self.results = [*found.outputs[1:], *found.new_stats.values()]
        self.programs = self._programs(pieces)
        self.tail = self._tail(pieces[-1].output, rest)
        self.stacks = stacks(self.programs, together=stack)
        self.blocks = [self._block(stack) for stack in self.stacks]
        self.tail_keys, self.keys = self._keys()

    def _programs(self, pieces: list[cuts.Block]) -> list[Program]:
        """Each block, with those of the results beside the loss that it computes."""
        programs = []
        signal: Any = None
        for piece in pieces:
            made = {var for equation in piece.equations for var in equation.eqn.outvars}
            results = [atom for atom in self.results if isinstance(atom, Var) and atom in made]
            programs.append(Program(self.found, piece, signal, [piece.output, *results]))
            signal = piece.output
        return programs

    def _tail(self, signal: Any, rest: list[Any]) -> Program:
        """From the last block's output to the loss, and the results that no block computes."""
        in_blocks = {
            atom for program in self.programs for atom in program.outputs[1:] if isinstance(atom, Var)
        }
        results = [atom for atom in self.results if not (isinstance(atom, Var) and atom in in_blocks)]
        block = cuts.Block((), "", rest, self.found.outputs[0])
        return Program(self.found, block, signal, [self.found.outputs[0], *results])

    def _block(self, stack: Stack) -> Block:
        program = self.programs[stack.indices[0]]

        def apply(params: Tree, h: Any, context: BlockContext) -> tuple[Any, BlockAux]:
            keys = [context.stats[f"key{index}"] for index in range(len(program.keys))]
            output, *results = program(params, context.stats, h, context.input, keys)
            return output, BlockAux({f"result{index}": result for index, result in enumerate(results)})

        unused: Any = lambda key: ({}, {})
        return Block(stack.name, unused, apply, stack.layer_count, active=False, labels=tuple(stack.labels))

    def _keys(self) -> tuple[list[Array], Tree]:
        """The random keys of the tail, and those of every block by path."""
        wanted = [var for program in [*self.programs, self.tail] for var in program.keys]
        values = dict(zip(wanted, evaluated(self.found, wanted, self.inputs), strict=True))
        keys: Tree = {}
        for stack in self.stacks:
            own = [[values[var] for var in self.programs[index].keys] for index in stack.indices]
            for place, same in enumerate(zip(*own, strict=True)):
                keys[f"{stack.name}/key{place}"] = _joined(list(same))
        return [values[var] for var in self.tail.keys], keys

    def gather(self, leaves: Tree) -> Tree:
        """The parameters by path as the blocks hold them: those of a stack with a layer axis."""
        own = self.uses.parameters(leaves)
        return self._gathered(own, [program.parameter_paths for program in self.programs])

    def gathered_stats(self, state: Tree) -> Tree:
        """The state by path, in the same way."""
        self.state = state
        return self._gathered(state, [program.stat_paths for program in self.programs])

    def _gathered(self, leaves: Tree, paths: list[dict[str, str]]) -> Tree:
        return {
            f"{stack.name}/{local}": _joined([leaves[paths[index][local]] for index in stack.indices])
            for stack in self.stacks
            for local in paths[stack.indices[0]]
        }

    def loss(self, output: Array, leaves: Tree) -> tuple[Array, list[Array]]:
        """The loss, and the results that no block computes."""
        params = {local: leaves[path] for local, path in self.tail.parameter_paths.items()}
        stats = {local: self.state[path] for local, path in self.tail.stat_paths.items()}
        loss, *results = self.tail(params, stats, output, self.inputs, self.tail_keys)
        return loss, results

    def others(self, after: list[Array], stats: Tree) -> tuple[list[Array], Tree]:
        """The outputs beside the loss, and the new state by path: from the tail and from the blocks."""
        in_blocks: dict[Any, Array] = {}
        for stack in self.stacks:
            for layer, index in enumerate(stack.indices):
                for place, atom in enumerate(self.programs[index].outputs[1:]):
                    value = stats[f"{stack.name}/result{place}"]
                    in_blocks[atom] = value if len(stack.indices) == 1 else value[layer]
        in_tail = iter(after)
        values = [
            in_blocks[atom] if isinstance(atom, Var) and atom in in_blocks else next(in_tail)
            for atom in self.results
        ]
        count = len(self.found.outputs) - 1
        return values[:count], dict(zip(self.found.new_stats, values[count:], strict=True))


def _joined(values: list[Array]) -> Array:
    return values[0] if len(values) == 1 else jnp.stack(values)
