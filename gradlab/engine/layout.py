"""What stands where in a Row: the names of its columns, layers and parameters, from shapes alone."""

import math
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow as pa

from gradlab.data.task import Task, has_labels
from gradlab.engine import seed_programs, step
from gradlab.engine.setup import Setup, make_setup
from gradlab.engine.tasks import with_batch_size
from gradlab.engine.update import TrainState
from gradlab.measurements.columns import schemas
from gradlab.measurements.probing import RowShapes
from gradlab.measurements.row import RowColumns, path_order, row_bytes, row_columns
from gradlab.measurements.snapshot import Snapshot
from gradlab.nn import chain
from gradlab.nn.chain import Block
from gradlab.numerics.tree import Tree
from gradlab.recipe.errors import RecipeError
from gradlab.recipe.memory import physical_memory
from gradlab.recipe.recipe import Recipe, is_import_path, numbers


class LayerParameter(NamedTuple):
    """One parameter of one layer; size is its number of entries."""

    layer: int
    parameter: str
    size: int


class Layout(NamedTuple):
    """The names of everything in a Row."""

    blocks: list[Block]
    columns: RowColumns
    snapshots: dict[str, Snapshot]
    entries: list[LayerParameter]  # each parameter of each layer
    kernels: list[list[int]]  # of each layer, which entries are its kernels: parameters of two axes or more
    notes: list[tuple[int, str]]  # (layer, name) of each inner metric
    times: list[tuple[int, int]]  # (layer, time steps) of each layer that measures its time steps
    schemas: dict[str, pa.Schema]  # of each table
    shapes: RowShapes
    used: frozenset[str]  # the sizes and parts of the recipe that take part in the network

    @property
    def names(self) -> list[str]:
        """The names of the layers."""
        return chain.layer_names(self.blocks)

    @property
    def has_activation(self) -> np.ndarray:
        """Which layers have an activation, (layers,)."""
        return np.array([block.active for block in self.blocks for _ in range(block.layers)])

    @property
    def layers_of_kernels(self) -> list[int]:
        """The layer of each kernel, in the order of the entries."""
        places = sorted(index for group in self.kernels for index in group)
        return [self.entries[index].layer for index in places]

    @property
    def row_bytes(self) -> int:
        """The bytes of one row on the device."""
        time_steps = sum(steps for _, steps in self.times)
        return row_bytes(self.columns, len(self.names), len(self.entries), len(self.notes), time_steps)


def layout(recipe: Recipe, task: Task) -> Layout:
    """The layout of a recipe's rows; nothing is allocated.

    Raises:
        RecipeError: where the network's outputs are not what the targets need, or two probes declare one column, or
            the state does not fit into memory.
    """
    recipe = with_batch_size(recipe, task)
    values: dict[str, Any] = seed_programs.numbers_for(numbers(recipe), recipe.dtype)
    setup = make_setup(recipe, values, task.form)
    dtype = jnp.int32 if task.vocabulary else jnp.dtype(recipe.dtype)
    x = jax.ShapeDtypeStruct((recipe.batch_size, *task.form.shape), dtype)
    state = jax.eval_shape(lambda x: step.init_state(setup, jax.random.key(0), x), x)
    _check_memory(recipe, state)
    if setup.clip.scope == "example":
        _check_examples(recipe, state)
    # a trace alone shows what the blocks use
    outputs = jax.eval_shape(partial(_outputs, setup), state.params, state.stats, x)
    if task.form.label_per_step or is_import_path(recipe.model["name"]):
        _check_outputs(recipe, jnp.shape(outputs), task)
    _check_needs(setup, state.params)
    layers = _block_layers(setup.chain)
    entries, kernels = _entries(setup.chain, state.params)
    columns = row_columns(setup.probes.values(), step.more_columns(setup))
    of_snapshots = [column for snapshot in setup.snapshots.values() for column in snapshot.columns]
    return Layout(
        blocks=setup.chain,
        columns=columns,
        snapshots=setup.snapshots,
        entries=entries,
        kernels=kernels,
        notes=[
            (layer, name)
            for block in setup.chain
            for name in block.metric_names
            for layer in layers[block.name]
        ],
        times=[
            (layer, block.time_steps)
            for block in setup.chain
            if block.time_steps
            for layer in layers[block.name]
        ],
        schemas=schemas([*columns.declared, *of_snapshots]),
        shapes=chain.row_shapes(setup.chain, state.params),
        used=frozenset(setup.used | ({"initializer"} if setup.adjust else set())),
    )


def _check_memory(recipe: Recipe, state: TrainState) -> None:
    """Refuse a state that is larger than all memory there is, before any of it is allocated."""
    seed_bytes = sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))
    needed, memory = recipe.seeds * seed_bytes, physical_memory()
    if needed > memory:
        raise RecipeError(
            f"the parameters and the optimizer's state of depth={recipe.depth} width={recipe.width} "
            f"seeds={recipe.seeds} take {needed / 2**30:,.0f} GiB, and there are {memory / 2**30:,.0f}; "
            "choose smaller ones"
        )


def _check_needs(setup: Setup, params: Tree) -> None:
    """Refuse a probe that needs a parameter which the network does not have."""
    names = {path.rpartition("/")[2] for path in params}
    for key, probe in setup.probes.items():
        if probe.needs and probe.needs not in names and not probe.optional:
            raise RecipeError(
                f"probe={key}: the network has no {probe.needs}, which it measures; leave the probe out, or choose "
                "data of tokens"
            )


def _check_examples(recipe: Recipe, state: TrainState) -> None:
    """Refuse running statistics, which couple examples, and more gradients of examples than memory holds."""
    if state.stats:
        raise RecipeError(
            "clip=per_example: this network has running statistics over its examples, so that none has a gradient of "
            "its own; choose a network without batch normalization"
        )
    examples = recipe.batch_size // recipe.accumulate
    gradient_bytes = sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in state.params.values())
    # each example's gradient before and after the clip
    needed, memory = 2 * examples * gradient_bytes, physical_memory()
    if needed > memory:
        raise RecipeError(
            f"clip=per_example: the gradients of {examples} examples take about {needed / 2**30:,.0f} GiB, and there "
            f"are {memory / 2**30:,.0f}; give a larger accumulate, which takes fewer at a time, or a smaller network"
        )


def _block_layers(blocks: list[Block]) -> dict[str, range]:
    """The numbers of each block's layers."""
    layers: dict[str, range] = {}
    first = 0
    for block in blocks:
        layers[block.name] = range(first, first + block.layers)
        first += block.layers
    return layers


def _entries(blocks: list[Block], params: Tree) -> tuple[list[LayerParameter], list[list[int]]]:
    """The entries in the order of a row's entries; and of each layer, which entries are its kernels."""
    layers, by_name = _block_layers(blocks), {block.name: block for block in blocks}
    kernel_paths = set(chain.kernel_paths(blocks, params))
    entries: list[LayerParameter] = []
    kernels: list[list[int]] = [[] for block in blocks for _ in range(block.layers)]
    for path in path_order(params):
        name, _, parameter = path.partition("/")
        block = by_name[name]
        size = params[path].size // block.layers
        for layer in layers[name]:
            if path in kernel_paths:
                kernels[layer].append(len(entries))
            entries.append(LayerParameter(layer, parameter, size))
    return entries, kernels


def _outputs(setup: Setup, params: Tree, stats: Tree, x: Any) -> Any:
    """The network's outputs in training."""
    return chain.forward(setup.chain, params, stats, x, jax.random.key(0), train=True)[0]


def _check_outputs(recipe: Recipe, outputs: tuple[int, ...], task: Task) -> None:
    """Raise RecipeError unless the outputs have the shape that the targets need; broadcasting could hide it."""
    needed = (recipe.batch_size, *task.train_y.shape[1:], task.outputs)
    needed = needed if has_labels(task.train_y) else needed[:-1]
    if outputs != needed:
        more = "; data=copy and data=reverse are for model=seq2seq" if task.form.label_per_step else ""
        raise RecipeError(
            f"model={recipe.model['name']} gives outputs of shape {outputs}, and data={recipe.data['name']} needs "
            f"{needed}{more}"
        )
