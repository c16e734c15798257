"""The found blocks of a network as a chain, equal neighbours as one stack."""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.extend.core import Var

from gradlab.nn import cuts, module_names
from gradlab.nn.chain import Block, BlockAux, BlockContext
from gradlab.nn.equations import Trace, trace
from gradlab.nn.modules import Pure, by_path, from_paths
from gradlab.nn.programs import Program, fresh_keys
from gradlab.nn.shared_parameters import Uses, apart
from gradlab.numerics.tree import Tree
from gradlab.recipe.errors import RecipeError

Draw = Callable[[Array], Pure]  # key -> the network with parameters drawn from it


def found_blocks(draw: Draw, x: Any) -> list[Block]:
    """The blocks of the network that `draw` gives, for inputs of x's shapes: a pytree of arrays (examples, …).

    Raises:
        RecipeError: the network has no parameters, or side effects.
    """
    network = _Network(draw(jax.random.key(0)), x)
    return list(_stacked(network, draw, network.parts(len_of(x), True), network.parts(len_of(x), False)))


def len_of(x: Any) -> int:
    """The number of examples of an input, any pytree of arrays."""
    return int(jax.tree.leaves(x)[0].shape[0])


class Stack(NamedTuple):
    """Equal programs in a row; name: of their list, labels: their own."""

    name: str
    labels: list[str]
    indices: list[int]

    @property
    def layer_count(self) -> int | None:
        """How many there are; None of a block that stands alone."""
        return len(self.indices) if len(self.indices) > 1 else None


class Parts(NamedTuple):
    """A traced network: which parameters its blocks use, and the program of each block."""

    uses: Uses
    programs: list[Program]


class _Network:
    """A network of which parts can be run by themselves: it is traced once for each size of a batch and each mode."""

    def __init__(self, network: Pure, x: Any) -> None:
        self.network, self.x = network, x
        self.changing = self._changing_stats()
        self._parts: dict[tuple[int, bool], Parts] = {}

    def _trace(self, examples: int, train: bool, stats: Tree) -> Trace:
        fixed = {path: value for path, value in by_path(self.network.stats).items() if path not in stats}

        def run(params: Tree, stats: Tree, inputs: list[Array], key: Array) -> tuple[Any, Tree]:
            trees = (
                from_paths(self.network.params, params),
                from_paths(self.network.stats, {**fixed, **stats}),
            )
            h = jax.tree.unflatten(jax.tree.structure(self.x), inputs)
            output, after = self.network.run(*trees, h, key, train)
            return output, {path: value for path, value in by_path(after).items() if path in stats}

        leaves = jax.tree.leaves(self.x)
        x = [jax.ShapeDtypeStruct((examples, *leaf.shape[1:]), leaf.dtype) for leaf in leaves]
        return trace(run, by_path(self.network.params), stats, x, jax.random.key(0))

    def _changing_stats(self) -> set[str]:
        """The paths of the statistics that training changes; the others are constants."""
        if not (stats := by_path(self.network.stats)):
            return set()
        found = self._trace(len_of(self.x), True, stats)
        return {path for path in stats if found.new_stats[path] is not found.stats[path]}

    def parts(self, examples: int, train: bool) -> Parts:
        """The blocks for a batch of this size."""
        if (examples, train) not in self._parts:
            stats = {path: x for path, x in by_path(self.network.stats).items() if path in self.changing}
            uses = apart(self._trace(examples, train, stats), only_slices=True)
            self._parts[examples, train] = Parts(uses, list(programs(uses.trace, *cuts.cut(uses.trace))))
        return self._parts[examples, train]


def programs(found: Trace, blocks: list[cuts.Block], rest: list[Any]) -> Iterator[Program]:
    """The blocks as programs, the last one with what follows it; each returns its signal and its new statistics."""
    if not blocks:
        raise RecipeError(
            "the network has no parameters that its output depends on; there is nothing to measure"
        )
    require_own_parameters(found, blocks)
    last = blocks[-1]
    blocks = [*blocks[:-1], last._replace(equations=[*last.equations, *rest], output=found.outputs[0])]
    owners = _stat_owners(found, blocks)
    signal: Any = found.inputs[0]
    for block in blocks:
        stats = [path for path, owner in owners.items() if owner is block]
        yield Program(found, block, signal, [block.output, *(found.new_stats[path] for path in stats)], stats)
        signal = block.output


def require_own_parameters(found: Trace, blocks: list[cuts.Block]) -> None:
    """Refuse a parameter of two blocks: it would be measured and trained as two."""
    users: dict[str, str] = {}
    for block in blocks:
        for path in found.used_by(block.equations):
            if path in users:
                raise RecipeError(
                    f"several blocks use the parameter '{path}' ({users[path]} and {block.label}); give each block "
                    "parameters of its own, as a list of them, or mark fewer blocks"
                )
            users[path] = block.label


def _stat_owners(found: Trace, blocks: list[cuts.Block]) -> dict[str, cuts.Block]:
    """The block that each new statistic belongs to: the one that computes it, else the first that reads the old one."""
    made_in = {var: block for block in blocks for equation in block.equations for var in equation.eqn.outvars}
    read_in: dict[str, cuts.Block] = {}
    for block in reversed(blocks):
        read_in |= dict.fromkeys(found.used_by(block.equations), block)
    return {
        path: made_in.get(new) or read_in.get(path, blocks[-1]) if isinstance(new, Var) else blocks[-1]
        for path, new in found.new_stats.items()
    }


def _stacked(network: _Network, draw: Draw, training: Parts, evaluation: Parts) -> Iterator[Block]:
    labels = [program.block.label for program in training.programs]
    if labels != [program.block.label for program in evaluation.programs]:
        raise RecipeError(
            "the network has other blocks in training than in evaluation "
            f"({len(labels)} and {len(evaluation.programs)}); mark them with gradlab.block(name)"
        )
    for stack in stacks(training.programs, evaluation.programs):
        yield Block(
            stack.name,
            _init(draw, training, stack),
            _apply(network, stack.indices[0]),
            stack.layer_count,
            active=False,
            init_stacked=True,
            labels=tuple(stack.labels),
        )


def stacks(*modes: Sequence[Program], together: bool = True) -> list[Stack]:
    """The programs with equal neighbours together: equal in every mode, and with an output of their input's shape.

    Without `together` each stays alone.
    """

    def kind(index: int) -> Any:
        if not (together and modes[0][index].keeps_shape):
            return index
        return [mode[index].identity for mode in modes]

    def gradient(index: int) -> Any:
        return [mode[index].gradient_identity for mode in modes]

    groups: list[list[int]] = []
    for _, group in groupby(range(len(modes[0])), key=kind):
        indices = list(group)
        if len(indices) == 1:  # it need not be traced once more
            groups.append(indices)
        else:
            groups += [list(same) for _, same in groupby(indices, key=gradient)]
    return _named(modes[0], groups)


def _named(programs: Sequence[Program], groups: list[list[int]]) -> list[Stack]:
    """The groups with names: of a list as a whole, or of the first and last of its items."""
    items = [module_names.item_of(program.block.module) for program in programs]
    named = []
    for group in groups:
        labels = [programs[index].block.label for index in group]
        first, last = items[group[0]], items[group[-1]]
        name = labels[0]
        if len(group) > 1 and first and last and first[0] == last[0]:
            whole = sum(item is not None and item[0] == first[0] for item in items) == len(group)
            start = module_names.label(first[0])
            name = start if whole and start else f"{labels[0]}-{last[1]}"
        elif len(group) > 1:
            name = f"{labels[0]}-{labels[-1]}"
        named.append(Stack(name, labels, group))
    return _distinct(named)


def _distinct(named: list[Stack]) -> list[Stack]:
    """With a number behind a name that comes again."""
    used: set[str] = set()
    distinct = []
    for stack in named:
        name = module_names.unused(stack.name, used)
        distinct.append(stack._replace(name=name, labels=[name] if len(stack.indices) == 1 else stack.labels))
    return distinct


def _init(draw: Draw, parts: Parts, stack: Stack) -> Callable[[Array], tuple[Tree, Tree]]:
    def init(key: Array) -> tuple[Tree, Tree]:
        drawn = draw(key)
        params, stats = parts.uses.parameters(by_path(drawn.params)), by_path(drawn.stats)
        trees = [
            (
                {local: params[path] for local, path in parts.programs[index].parameter_paths.items()},
                {local: stats[path] for local, path in parts.programs[index].stat_paths.items()},
            )
            for index in stack.indices
        ]
        return (
            trees[0] if stack.layer_count is None else jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)
        )

    return init


def _apply(network: _Network, index: int) -> Callable[[Tree, Any, BlockContext], tuple[Any, BlockAux]]:
    def apply(params: Tree, h: Any, context: BlockContext) -> tuple[Any, BlockAux]:
        program = network.parts(len_of(context.input), context.train).programs[index]
        inputs, keys = jax.tree.leaves(context.input), fresh_keys(program, context.key)
        output, *stats = program(params, context.stats, h, inputs, keys)
        after = {**context.stats, **dict(zip(program.new_stats, stats, strict=True))}
        return output, BlockAux(after)

    return apply
