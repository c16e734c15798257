"""What the programs compute for a seed: its start, a chunk of steps with their rows, an evaluation, a snapshot.

The numbers of the recipe (recipe.numbers), the seed and the number of steps are arguments, so that recipes which differ
only in these share programs, and a last, shorter chunk needs no program of its own.
"""

import enum
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from gradlab.data.task import Form
from gradlab.engine.evaluate import measures
from gradlab.engine.gradients import StepContext, mean_loss, objective
from gradlab.engine.setup import Setup, make_setup
from gradlab.engine.step import init_state, train_step
from gradlab.engine.update import TrainState, learning_rate_of
from gradlab.measurements.probing import checked
from gradlab.measurements.row import Row
from gradlab.measurements.snapshot import LayerAttention, RecurrentKernel, SnapshotInputs
from gradlab.nn import chain
from gradlab.nn.chain import Block
from gradlab.numerics.tree import Tree
from gradlab.recipe.errors import RecipeError
from gradlab.recipe.recipe import Recipe, widest

Numbers = dict[str, Any]


class ChunkKind(enum.Enum):
    """Which rows a chunk computes; the value is an argument of the program."""

    STEPS = 0
    FINAL = 1  # the row after the last step, which no update follows
    FIXED_BATCH = 2  # a row of the fixed batch, at an evaluation


class Data(NamedTuple):
    """The arrays of a Task (its shapes) on the device; floats are of the recipe's dtype."""

    train_x: Array
    train_y: Array
    test_x: Array
    test_y: Array


class Span(NamedTuple):
    """The steps that a chunk makes, from `start` to before `stop`, of `total_steps`; all are int32.

    kind: the value of a ChunkKind.
    """

    start: Any
    stop: Any
    total_steps: Any
    kind: Any


class Streams(NamedTuple):
    """The random keys of a seed."""

    init: Array
    order: Array  # of the training examples
    dropout: Array


def streams(seed: Array) -> Streams:
    """Independent random keys, () each, for initialization, data order and dropout, from a seed ()."""
    key = jax.random.key(seed)
    return Streams(*(jax.random.fold_in(key, index) for index in range(3)))


def start(recipe: Recipe, form: Form, seed: Array, numbers: Numbers, data: Data) -> TrainState:
    """The state before the first step."""
    setup = make_setup(recipe, numbers, form)
    return init_state(setup, streams(seed).init, data.train_x[: recipe.batch_size])


def chunk(
    recipe: Recipe,
    form: Form,
    length: int,
    state: TrainState,
    seed: Array,
    numbers: Numbers,
    data: Data,
    span: Span,
) -> tuple[TrainState, Row]:
    """Up to `length` steps and their rows, (length, …) each; rows of steps that were not measured or made are zero.

    One scan, whose every iteration takes one of three branches: 0, nothing (from `span.stop` on, so that a shorter
    chunk is the same program); 1, a measured step with taps; 2, a step without taps. An epoch is a permutation of the
    examples, drawn at the start of each epoch and carried between its steps.
    """
    setup = make_setup(recipe, numbers, form)
    keys = streams(seed)
    examples = len(data.train_y)
    first_order = _order(keys.order, span.start // (examples // recipe.batch_size), examples)
    step_on_batch = partial(_step_on_batch, setup, recipe, keys, data, span)
    row = jax.eval_shape(lambda: step_on_batch(state, first_order, span.start, True)[1])
    no_row = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), row)
    body = partial(_scan_body, recipe, keys, examples, span, step_on_batch, no_row)
    (state, _), rows = jax.lax.scan(body, (state, first_order), span.start + jnp.arange(length))
    return state, rows


def _order(key: Array, epoch: Array, examples: int) -> Array:
    """The order of the training examples in an epoch, (examples,)."""
    return jax.random.permutation(jax.random.fold_in(key, epoch), examples)


def _step_on_batch(
    setup: Setup,
    recipe: Recipe,
    keys: Streams,
    data: Data,
    span: Span,
    state: TrainState,
    order: Array,
    index: Array,
    measured: bool,
) -> tuple[TrainState, Row | None]:
    """Step `index` on its minibatch, or on the fixed batch: the first training examples."""
    batches = len(data.train_y) // recipe.batch_size
    first = index % batches * recipe.batch_size
    shuffled = jax.lax.dynamic_slice(order, (first,), (recipe.batch_size,))
    rows = jnp.where(span.kind == ChunkKind.FIXED_BATCH.value, jnp.arange(recipe.batch_size), shuffled)
    context = StepContext(
        setup=setup,
        recipe=recipe,
        x=data.train_x[rows],
        y=data.train_y[rows],
        key=jax.random.fold_in(keys.dropout, index),
        step=index,
        total_steps=span.total_steps,
        every_probe=span.kind != ChunkKind.STEPS.value,
    )
    return train_step(context, state, measured)


def _scan_body(
    recipe: Recipe,
    keys: Streams,
    examples: int,
    span: Span,
    step_on_batch: Callable[..., tuple[TrainState, Row | None]],
    no_row: Row,
    carry: tuple[TrainState, Array],
    index: Array,
) -> tuple[tuple[TrainState, Array], Row]:
    """One iteration of the scan of a chunk: the new carry, and the row, zeros where nothing is measured.

    carry: the state and the order of the examples in this epoch, (examples,); index: the step, ().
    """
    state, order = carry
    batches = examples // recipe.batch_size
    new_epoch = index % batches == 0
    order = jax.lax.cond(new_epoch, lambda: _order(keys.order, index // batches, examples), lambda: order)
    branch = jnp.where(index >= span.stop, 0, jnp.where(is_measured(recipe, index, span.kind), 1, 2))
    branches: list[Callable[[], Any]] = [
        lambda: (state, no_row),
        lambda: step_on_batch(state, order, index, True),
    ]
    if recipe.log.every > 1:
        branches.append(lambda: (step_on_batch(state, order, index, False)[0], no_row))
    state, row = jax.lax.switch(branch, branches)
    return (state, order), row


def is_measured(recipe: Recipe, step: Any, kind: Any) -> Any:
    """Whether the row of a step is measured, of the shape of `step`.

    At multiples of `log.every` and of `eval.every`, and always in a FINAL or FIXED_BATCH chunk; `kind` is the value of
    a ChunkKind.
    """
    every = (step % recipe.log.every == 0) | (step % recipe.eval.every == 0)
    return every | (kind != ChunkKind.STEPS.value)


def evaluate(recipe: Recipe, form: Form, state: TrainState, numbers: Numbers, data: Data) -> Array:
    """The measures of the whole training set and test set, in evaluation mode."""
    setup = make_setup(recipe, numbers, form)
    frozen = setup.frozen(chain.stacked_axes(setup.chain, state.params), state.params)
    evaluated = setup.optimizer.eval_params(state.optimizer, frozen.without(state.params))
    params = frozen.merged(state.params, evaluated)

    def network(x: Array) -> Array:
        outputs: Array
        outputs, _, _ = chain.forward(setup.chain, params, state.stats, x, jax.random.key(0), train=False)
        return outputs

    parts = ((data.train_x, data.train_y), (data.test_x, data.test_y))
    results = [measures(network, setup.loss, x, y, form.outputs, widest(recipe)) for x, y in parts]
    return jnp.concatenate(results)


def snapshot(
    recipe: Recipe,
    form: Form,
    key: str,
    state: TrainState,
    seed: Array,
    numbers: Numbers,
    data: Data,
    step: Array,
    total_steps: Array,
) -> Any:
    """What the snapshot `key` of the recipe computes of a state; `step`, (), is the number of steps made.

    Nothing where it is optional and the network has nothing to measure.
    """
    setup = make_setup(recipe, numbers, form)
    context = StepContext(
        setup=setup,
        recipe=recipe,
        x=data.train_x[: recipe.batch_size],
        y=data.train_y[: recipe.batch_size],
        key=jax.random.fold_in(streams(seed).dropout, step),
        step=step,
        total_steps=total_steps,
        every_probe=True,
    )
    taken = setup.snapshots[key]
    try:
        computed = jax.tree.map(jnp.asarray, taken.compute(_snapshot_inputs(context, state, form)))
    except RecipeError as error:
        if taken.optional:
            return {}
        raise RecipeError(f"snapshot={key}: {error}") from None
    if taken.finish is not None:
        return computed
    shapes = chain.row_shapes(setup.chain, state.params)
    return checked(taken.columns, computed, shapes.fit)


def _snapshot_inputs(context: StepContext, state: TrainState, form: Form) -> SnapshotInputs:
    """What a snapshot may use of a state."""
    blocks, params, stats, key = context.setup.chain, state.params, state.stats, context.key
    axes = chain.stacked_axes(blocks, params)
    loss = objective(context, stats).loss
    rate, _ = learning_rate_of(context, state, state.optimizer, params, loss(params), axes)
    stability = context.setup.optimizer.stability
    return SnapshotInputs(
        params=params,
        loss=loss,
        recurrent_kernels=_recurrent_kernels(blocks, params),
        stacked_axes=axes,
        x=context.x,
        y=context.y,
        outputs=lambda params: chain.run(blocks, 0, len(blocks), params, stats, context.x, context.x, key),
        loss_of_outputs=partial(mean_loss, context),
        loss_rule=context.setup.loss,
        heads=form.heads,
        mean_loss=lambda params, x, y: objective(context._replace(x=x, y=y), stats).loss(params),
        signals=lambda params, x: chain.signals(blocks, params, stats, x, key),
        hidden=lambda params, h: chain.run(blocks, 1, len(blocks) - 1, params, stats, h, context.x, key),
        first_hidden=chain.run(blocks, 0, 1, params, stats, context.x, context.x, key),
        attention=lambda: [
            LayerAttention(layer, site.heads, site.causal, query, key)
            for layer, site, query, key in chain.queries_and_keys(
                blocks, params, stats, context.x, context.key
            )
        ],
        layers_of=chain.layers_of(blocks, params),
        kernels=frozenset(chain.kernel_paths(blocks, params)),
        layers=sum(block.layers for block in blocks),
        has_batch_statistics=bool(stats),
        accumulate=context.recipe.accumulate,
        optimizer=state.optimizer,
        stability=None if stability is None else stability(state.optimizer, rate),
        learning_rate=rate,
        step=context.step,
        key=jax.random.fold_in(key, len(blocks)),
    )


def _recurrent_kernels(blocks: list[Block], params: Tree) -> list[RecurrentKernel]:
    """Those of every layer."""
    kernels: list[RecurrentKernel] = []
    first = 0
    for block in blocks:
        for path, names in block.recurrent_kernels:
            values = params[f"{block.name}/{path}"]
            stacked = values[None] if block.count is None else values
            kernels += [RecurrentKernel(first + l, names, stacked[l]) for l in range(block.layers)]
        first += block.layers
    return kernels


def numbers_for(recipe_numbers: dict[str, float], dtype: str) -> Numbers:
    """The recipe's numbers as NumPy scalars: float64 for dtype=float64, else float32."""
    wide = np.float64 if dtype == "float64" else np.float32
    return {key: wide(value) for key, value in recipe_numbers.items()}
