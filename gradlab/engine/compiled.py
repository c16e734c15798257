"""The compiled programs of a recipe's structure, which run the seeds side by side; the most recently used are kept."""

import ctypes
import gc
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from gradlab.data.task import Form
from gradlab.engine import seed_programs
from gradlab.engine.flops import flops
from gradlab.engine.seed_programs import Data, Numbers, Span
from gradlab.engine.update import TrainState
from gradlab.measurements.row import Row
from gradlab.recipe import signals
from gradlab.recipe.recipe import Recipe, structure

MOST_KEPT = 4  # structures whose programs a process holds: each has about 900 memory maps and 60–100 MiB
# dropped structures after which JAX's own caches are cleared: for each it keeps about 5 MiB of single operations on
# arrays of its shapes
CLEAR_EVERY = 8


class Programs(NamedTuple):
    """What trains a recipe. `seeds` is the leading axis of states, rows and evaluations."""

    start: Callable[[Any, Numbers, Data], TrainState]
    chunk: Callable[[TrainState, Any, Numbers, Data, Span], tuple[TrainState, Row]]  # donates the state
    # (seeds, measures of the training set, then of the test set)
    evaluate: Callable[[TrainState, Numbers, Data], Array]
    # by the snapshot's key: (state, seeds, numbers, data, steps made, steps in all) -> what it computes; those that
    # compute nothing are left out
    snapshots: dict[str, Callable[[TrainState, Any, Numbers, Data, Any, Any], Any]]
    flops_per_step: int | None  # of a measured step of all seeds (`flops`)


_kept: OrderedDict[Any, Programs] = OrderedDict()  # by structure, the least recently used first
_layouts: OrderedDict[Any, Any] = OrderedDict()  # by what they follow from, the least recently used first
_dropped = 0  # structures dropped since JAX's own caches were cleared


def programs(
    recipe: Recipe, numbers: Numbers, data: Data, form: Form, length: int, lanes: int = 0
) -> Programs:
    """The programs for this structure and these shapes, compiled now or taken from the most recently used ones.

    With `lanes` the leading axis is not the seeds of one recipe but those of several recipes side by side, and each
    leaf of `numbers` has it, too, (lanes,).
    """
    shapes = tuple((leaf.shape, str(leaf.dtype)) for leaf in data)
    key = (structure(recipe), shapes, form, length, lanes, _device(data))
    if key not in _kept:
        release(MOST_KEPT - 1)
        _kept[key] = _compile(recipe, numbers, data, form, length, lanes)
    _kept.move_to_end(key)
    return _kept[key]


def kept_layout(key: Any, make: Callable[[], Any]) -> Any:
    """What `make` returns, made now or taken from the most recently used ones: runs that share programs share it."""
    if key not in _layouts:
        _layouts[key] = make()
    _layouts.move_to_end(key)
    while len(_layouts) > MOST_KEPT:
        _layouts.popitem(last=False)
    return _layouts[key]


def release(most: int = 0) -> None:
    """Drops the least recently used programs until at most `most` structures are kept, and gives their memory back.

    On CPU a compiled structure holds about 900 memory maps, and a process dies at 65 530 of them.
    """
    global _dropped
    while len(_layouts) > most:
        _layouts.popitem(last=False)
    if len(_kept) <= most:
        return
    while len(_kept) > most:
        _kept.popitem(last=False)
        _dropped += 1
    if _dropped >= CLEAR_EVERY:
        _dropped = 0
        jax.clear_caches()
    free_memory()


def free_memory() -> None:
    """Gives the memory of programs that nobody holds back to the system; glibc keeps free pages until it is asked."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def trace(recipe: Recipe, numbers: Numbers, data: Data, form: Form) -> Any:
    """The shapes that a start, a chunk of one step and the snapshots return; raises what the recipe's parts raise."""

    def run(numbers: Numbers, data: Data) -> Any:
        seed, zero = jnp.zeros((), jnp.uint32), jnp.zeros((), jnp.int32)
        state = seed_programs.start(recipe, form, seed, numbers, data)
        snapshots = [
            seed_programs.snapshot(recipe, form, key, state, seed, numbers, data, zero, zero)
            for key in recipe.snapshots
        ]
        span = Span(zero, zero, zero, zero)
        return seed_programs.chunk(recipe, form, 1, state, seed, numbers, data, span), snapshots

    return jax.eval_shape(run, numbers, data)


def trace_snapshots(recipe: Recipe, numbers: Numbers, data: Data, form: Form, keys: list[str]) -> Any:
    """The shapes that some snapshots return; raises RecipeError where the network has nothing for one to measure."""

    def run(numbers: Numbers, data: Data) -> Any:
        seed, zero = jnp.zeros((), jnp.uint32), jnp.zeros((), jnp.int32)
        state = seed_programs.start(recipe, form, seed, numbers, data)
        return [
            seed_programs.snapshot(recipe, form, key, state, seed, numbers, data, zero, zero) for key in keys
        ]

    return jax.eval_shape(run, numbers, data)


def step_flops(recipe: Recipe, numbers: Numbers, data: Data, form: Form) -> int | None:
    """The floating-point operations of a measured step of all seeds, counted in a trace; nothing is compiled."""

    def run(numbers: Numbers, data: Data) -> Any:
        seed, zero = jnp.zeros((), jnp.uint32), jnp.zeros((), jnp.int32)
        state = jax.eval_shape(partial(seed_programs.start, recipe, form), seed, numbers, data)
        state = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), state)
        return seed_programs.chunk(recipe, form, 1, state, seed, numbers, data, Span(zero, zero, zero, zero))

    count = flops(jax.make_jaxpr(run)(numbers, data).jaxpr)
    return None if count is None else recipe.seeds * count


def _device(data: Data) -> str:
    return str(next(iter(data.train_x.devices())))


def _on_cpu(data: Data) -> bool:
    return str(next(iter(data.train_x.devices())).platform) == "cpu"


def _compile(recipe: Recipe, numbers: Numbers, data: Data, form: Form, length: int, lanes: int) -> Programs:
    over_seeds = partial(_over_seeds, lanes or recipe.seeds, _on_cpu(data) and not lanes)
    # which of its arguments a function gets along the leading axis
    seeded: Callable[..., Any] = lambda *arguments, numbers: (*arguments, numbers) if lanes else arguments
    shared: Callable[..., Any] = lambda numbers, *arguments: arguments if lanes else (numbers, *arguments)
    start_one = partial(seed_programs.start, recipe, form)
    chunk_one = partial(seed_programs.chunk, recipe, form, length)
    evaluate_one = partial(seed_programs.evaluate, recipe, form)

    def start(seeds: Array, numbers: Numbers, data: Data) -> TrainState:
        state: TrainState = over_seeds(start_one, seeded(seeds, numbers=numbers), shared(numbers, data))
        return state

    def chunk(state: TrainState, seeds: Array, numbers: Numbers, data: Data, span: Span) -> Any:
        return over_seeds(chunk_one, seeded(state, seeds, numbers=numbers), shared(numbers, data, span))

    def evaluate(state: TrainState, numbers: Numbers, data: Data) -> Any:
        return over_seeds(evaluate_one, seeded(state, numbers=numbers), shared(numbers, data))

    def snapshot(
        take: Any, state: TrainState, seeds: Array, numbers: Numbers, data: Data, step: Array, total: Array
    ) -> Any:
        return over_seeds(take, seeded(state, seeds, numbers=numbers), shared(numbers, data, step, total))

    seeds = jax.ShapeDtypeStruct((lanes or recipe.seeds,), jnp.uint32)
    number: Any = jax.ShapeDtypeStruct((), jnp.int32)
    span = Span(number, number, number, number)
    # a signal is looked for between these: an exception inside JAX may crash the process
    lowered_start = jax.jit(start).lower(seeds, numbers, data)
    state = lowered_start.out_info
    signals.check()
    traced_chunk = jax.jit(chunk, donate_argnums=0).trace(state, seeds, numbers, data, span)
    lowered_chunk = traced_chunk.lower()
    chunk_flops = flops(traced_chunk.jaxpr)
    signals.check()
    lowered_evaluate = jax.jit(evaluate).lower(state, numbers, data)
    lowered_snapshots = {}
    for key in recipe.snapshots:
        signals.check()
        take = partial(snapshot, partial(seed_programs.snapshot, recipe, form, key))
        lowered = jax.jit(take).lower(state, seeds, numbers, data, number, number)
        if jax.tree.leaves(lowered.out_info):  # a network without recurrent kernels has no spectrum
            lowered_snapshots[key] = lowered
    # a start runs once: on CPU LLVM's highest level of optimization takes longer than it saves, for equal bits
    options: Any = {"xla_backend_optimization_level": 2} if _on_cpu(data) else {}
    return Programs(
        start=_compiled(lowered_start, options),
        chunk=_compiled(lowered_chunk),
        evaluate=_compiled(lowered_evaluate),
        snapshots={key: _compiled(lowered) for key, lowered in lowered_snapshots.items()},
        flops_per_step=None if chunk_flops is None else chunk_flops // length,
    )


def _compiled(lowered: Any, options: Any = None) -> Any:
    return signals.awaited(lambda: lowered.compile(options))


def _over_seeds(
    seeds: int,
    one_by_one: bool,
    function: Callable[..., Any],
    seeded: tuple[Any, ...],
    shared: tuple[Any, ...],
) -> Any:
    """`function(*seeded, *shared)` over the leading axis of the `seeded` arguments.

    One after the other on CPU, where each seed has the bits of a lone run and no program is slower for it; side by
    side by `vmap` on an accelerator.
    """
    for_seed: Callable[[Any], Any] = lambda items: function(*items, *shared)
    if seeds == 1:  # keep the axis without a loop around the loop of steps
        result = for_seed(jax.tree.map(lambda leaf: leaf[0], seeded))
        return jax.tree.map(lambda leaf: leaf[None], result)
    return jax.lax.map(for_seed, seeded) if one_by_one else jax.vmap(for_seed)(seeded)
