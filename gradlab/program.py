"""The compiled programs of a recipe's structure: start, a chunk of steps, an evaluation; seeds run side by side.

Every float of the recipe, the seeds and the number of steps are arguments, so that recipes of equal structure
share the programs, and the last, shorter chunk is the same program as the others.
"""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from gradlab import step
from gradlab.build import build
from gradlab.data.task import Form
from gradlab.evaluate import measures
from gradlab.models import chain
from gradlab.recipe import Recipe, structure
from gradlab.scheme import State
from gradlab.step import Row

TRAIN, LAST, FIXED = 0, 1, 2  # what a chunk is for: steps, the row after them, a row of the fixed batch
Numbers = dict[str, Any]


class Data(NamedTuple):
    """The task on the device."""

    train_x: Array
    train_y: Array
    test_x: Array
    test_y: Array


class Span(NamedTuple):
    """The steps that a chunk makes, from `start` to before `stop`, of `horizon` in all; and what for."""

    start: Any  # whole numbers, here and below
    stop: Any
    horizon: Any
    mode: Any


class Programs(NamedTuple):
    """What trains a recipe. `seeds` is the leading axis of states, rows and evaluations."""

    start: Callable[[Any, Numbers, Data], State]
    chunk: Callable[[State, Any, Numbers, Data, Span], tuple[State, Row]]  # donates the state
    evaluate: Callable[[State, Numbers, Data], Array]  # seeds × measures of the training and the test part
    compile_seconds: float


_compiled: dict[Any, Programs] = {}


def programs(recipe: Recipe, numbers: Numbers, data: Data, form: Form, length: int) -> Programs:
    """The programs for this structure and these shapes, compiled once in a process."""
    shapes = tuple((leaf.shape, str(leaf.dtype)) for leaf in data)
    key = (structure(recipe), shapes, form, length, _place(data))
    if key not in _compiled:
        _compiled[key] = _compile(recipe, numbers, data, form, length)
    return _compiled[key]


def traced(recipe: Recipe, numbers: Numbers, data: Data, form: Form) -> Any:
    """The shapes that a start and a chunk of one step have; raises what a part of the recipe raises."""

    def run(numbers: Numbers, data: Data) -> Any:
        seed, now = jnp.zeros((), jnp.uint32), jnp.zeros((), jnp.int32)
        setup = build(recipe, numbers, form)
        state = step.initial(setup, streams(seed)[0], data.train_x[: recipe.batch_size])
        return _chunk(recipe, form, 1, state, seed, numbers, data, Span(now, now, now, now))

    return jax.eval_shape(run, numbers, data)


def compilations() -> int:
    """How many structures this process has compiled so far."""
    return len(_compiled)


def _place(data: Data) -> str:
    return str(next(iter(data.train_x.devices())))


def _compile(recipe: Recipe, numbers: Numbers, data: Data, form: Form, length: int) -> Programs:
    began = time.perf_counter()
    spread = _spread(recipe, data)

    def start(seed: Array, numbers: Numbers, data: Data) -> State:
        setup = build(recipe, numbers, form)
        return step.initial(setup, streams(seed)[0], data.train_x[: recipe.batch_size])

    def run(state: State, seed: Array, numbers: Numbers, data: Data, span: Span) -> tuple[State, Row]:
        return _chunk(recipe, form, length, state, seed, numbers, data, span)

    def look(state: State, numbers: Numbers, data: Data) -> Array:
        return _evaluate(recipe, form, state, numbers, data)

    seeds = jax.ShapeDtypeStruct((recipe.seeds,), jnp.uint32)
    number: Any = jax.ShapeDtypeStruct((), jnp.int32)
    starting = jax.jit(lambda seeds, numbers, data: spread(start, seeds)(numbers, data)).lower(
        seeds, numbers, data
    )
    state = starting.out_info
    chunking = jax.jit(
        lambda state, seeds, numbers, data, span: spread(run, state, seeds)(numbers, data, span),
        donate_argnums=0,
    ).lower(state, seeds, numbers, data, Span(number, number, number, number))
    looking = jax.jit(lambda state, numbers, data: spread(look, state)(numbers, data))
    made = (starting.compile(_light(data)), chunking.compile(), looking.lower(state, numbers, data).compile())
    return Programs(*made, time.perf_counter() - began)


def _light(data: Data) -> dict[str, Any]:
    """How to compile what runs once, a start: on CPU LLVM's last passes take longer than they save, for equal bits."""
    on_cpu = next(iter(data.train_x.devices())).platform == "cpu"
    return {"xla_backend_optimization_level": 2} if on_cpu else {}


def _spread(recipe: Recipe, data: Data) -> Callable[..., Any]:
    """A function over the seeds' leading axis: one after the other on CPU, where that has the bits of a lone
    run and no program is slower for it; side by side by `vmap` on an accelerator."""
    on_cpu = next(iter(data.train_x.devices())).platform == "cpu"

    def over(function: Callable[..., Any], *seeded: Any) -> Callable[..., Any]:
        def call(*shared: Any) -> Any:
            one = lambda items: function(*items, *shared)
            if recipe.seeds == 1:  # the axis is there; no loop around the loop
                alone = one(jax.tree.map(lambda leaf: leaf[0], seeded))
                return jax.tree.map(lambda leaf: leaf[None], alone)
            return jax.lax.map(one, seeded) if on_cpu else jax.vmap(one)(seeded)

        return call

    return over


def streams(seed: Array) -> tuple[Array, Array, Array]:
    """The seed's own streams: initialization, order of the data, dropout."""
    key = jax.random.key(seed)
    return jax.random.fold_in(key, 0), jax.random.fold_in(key, 1), jax.random.fold_in(key, 2)


def _chunk(
    recipe: Recipe,
    form: Form,
    length: int,
    state: State,
    seed: Array,
    numbers: Numbers,
    data: Data,
    span: Span,
) -> tuple[State, Row]:
    """Up to `length` steps; rows of steps that were not measured or not made are zero."""
    setup = build(recipe, numbers, form)
    _, order_key, dropout_key = streams(seed)
    examples = len(data.train_y)
    batches = examples // recipe.batch_size

    def order(epoch: Array) -> Array:
        return jax.random.permutation(jax.random.fold_in(order_key, epoch), examples)

    def move(state: State, order: Array, index: Array, measured: bool) -> tuple[State, Row | None]:
        first = index % batches * recipe.batch_size
        shuffled = jax.lax.dynamic_slice(order, (first,), (recipe.batch_size,))
        rows = jnp.where(span.mode == FIXED, jnp.arange(recipe.batch_size), shuffled)
        batch = (data.train_x[rows], data.train_y[rows])
        key = jax.random.fold_in(dropout_key, index)
        return step.take(setup, recipe, state, batch, key, (index, span.horizon), measured)

    first_order = order(span.start // batches)
    shape = jax.eval_shape(lambda: move(state, first_order, span.start, True)[1])
    blank = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shape)

    def body(carry: tuple[State, Array], index: Array) -> tuple[tuple[State, Array], Row]:
        state, shuffled = carry
        fresh = index % batches == 0
        shuffled = jax.lax.cond(fresh, lambda: order(index // batches), lambda: shuffled)
        kind = jnp.where(index >= span.stop, 0, jnp.where(looked(recipe, index, span.mode), 1, 2))
        branches: list[Callable[[], Any]] = [
            lambda: (state, blank),
            lambda: move(state, shuffled, index, True),
        ]
        if recipe.log.every > 1:
            branches.append(lambda: (move(state, shuffled, index, False)[0], blank))
        state, row = jax.lax.switch(kind, branches)
        return (state, shuffled), row

    (state, _), rows = jax.lax.scan(body, (state, first_order), span.start + jnp.arange(length))
    return state, rows


def looked(recipe: Recipe, step: Any, mode: Any) -> Any:
    """Whether a step is measured: every `log.every`, where an evaluation is, and all rows that are no step."""
    return (step % recipe.log.every == 0) | (step % recipe.eval.every == 0) | (mode != TRAIN)


def _evaluate(recipe: Recipe, form: Form, state: State, numbers: Numbers, data: Data) -> Array:
    """The measures of the whole training and test part, in evaluation mode."""
    setup = build(recipe, numbers, form)
    params = setup.optimizer.evaluated(state.optimizer, state.params)

    def network(x: Array) -> Array:
        return chain.forward(setup.chain, params, state.stats, x, jax.random.key(0), train=False)[0]

    parts = ((data.train_x, data.train_y), (data.test_x, data.test_y))
    found = [measures(network, setup.loss, x, y, form.outputs, recipe.width) for x, y in parts]
    return jnp.concatenate(found)


def numbers_for(recipe_numbers: dict[str, float], dtype: str) -> Numbers:
    """The recipe's floats as the program takes them."""
    wide = np.float64 if dtype == "float64" else np.float32
    return {key: wide(value) for key, value in recipe_numbers.items()}
