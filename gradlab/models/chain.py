"""A network as a chain of blocks with taps between them: what places every measurement, for any model.

A block maps the whole state to the whole state. Equal blocks are one block with a leading axis on its
parameters, run by `lax.scan`, so that compile time does not grow with depth.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from gradlab import taps
from gradlab.taps import Record

Tree = dict[str, Array]  # parameters by path: {"input/linear/kernel": ...}
Columns = dict[str, Array]


class Visit(NamedTuple):
    """What a block is given beside its parameters and the signal."""

    key: Array
    stats: Tree
    train: bool
    watch: Callable[[Array], Array]  # the identity that measures the cotangent at the pre-activation
    layer: Array | int  # its number within a stack, from 1
    weigh: Callable[[str, Array], Array] = lambda path, z: z  # sees (path of a kernel, its layer's W h + b)
    time: Array | None = (
        None  # the dummy (2, times) whose "gradient" is log2 of the cotangents' norms at h_t, c_t
    )


class Notes(NamedTuple):
    """What a block tells beside its output: running statistics, φ' at its activation's input, and max|φ'|.

    `inner`: a number for each name that its Block says it tells.
    """

    stats: Tree
    slope: Array | None = None
    steepest: float | Array | None = None
    inner: Mapping[str, Array] = MappingProxyType({})


@dataclass(frozen=True)
class Block:
    """One block, or `count` equal ones in a row."""

    name: str
    init: Callable[[Array], tuple[Tree, Tree]]  # key -> (parameters, statistics)
    apply: Callable[[Tree, Any, Visit], tuple[Any, Notes]]
    count: int | None = None
    active: bool = True  # whether it has an activation
    signal: Callable[[Any], Array] = lambda state: state  # which array of its state is h_l
    times: int = 0  # time steps inside it whose backward signal it measures
    told: tuple[str, ...] = ()  # names of its inner measures
    squares: tuple[
        tuple[str, tuple[str, ...]], ...
    ] = ()  # kernels that recur, and names of their square blocks
    together: bool = False  # whether `init` draws all layers of a stack at once

    @property
    def layers(self) -> int:
        """How many rows it has in a table of layers."""
        return 1 if self.count is None else self.count


class Dummies(NamedTuple):
    """The zeros whose "gradients" are the taps' measurements, one entry a block of the chain."""

    taps: list[Record]
    inner: list[Array]
    times: list[Array]
    last: Record


class Signal(NamedTuple):
    """What a signal probe sees of one block: its output, φ' where it has an activation, its inner measures."""

    h: Array
    slope: Array | None
    steepest: float | Array | None
    inner: Mapping[str, Array] = MappingProxyType({})


Ask = Callable[[Signal], Any]  # -> what it tells, as any pytree of arrays


def initialize(chain: list[Block], key: Array) -> tuple[Tree, Tree]:
    """Parameters and statistics of the whole chain, each block from its own stream of the key."""
    params: Tree = {}
    stats: Tree = {}
    for index, block in enumerate(chain):
        stream = jax.random.fold_in(key, index)
        alone = block.count is None or block.together
        draw = block.init if alone else jax.vmap(block.init)
        keys = stream if alone else jax.random.split(stream, block.layers)
        own_params, own_stats = draw(keys)
        params |= {f"{block.name}/{path}": value for path, value in own_params.items()}
        stats |= {f"{block.name}/{path}": value for path, value in own_stats.items()}
    return params, stats


def of_block(tree: Tree, block: Block) -> Tree:
    """The part of a chain's tree that belongs to one block, without its name."""
    start = f"{block.name}/"
    return {path.removeprefix(start): value for path, value in tree.items() if path.startswith(start)}


def lead(chain: list[Block], tree: Tree) -> dict[str, int]:
    """How many leading axes of each leaf count layers: one in a stack, else none."""
    stacked = tuple(f"{block.name}/" for block in chain if block.count is not None)
    return {path: int(path.startswith(stacked)) if stacked else 0 for path in tree}


def dummies(chain: list[Block], params: Tree) -> Dummies:
    """The zeros to differentiate by, for these blocks."""
    records = [taps.blank(len(of_block(params, block)), block.count) for block in chain]
    lead = [() if block.count is None else (block.count,) for block in chain]
    inner = [jnp.zeros(axes, jnp.float32) for axes in lead]
    times = [jnp.zeros((*axes, 2, block.times), jnp.float32) for axes, block in zip(lead, chain, strict=True)]
    return Dummies(records, inner, times, taps.blank(0))


def forward(
    chain: list[Block],
    params: Tree,
    stats: Tree,
    x: Any,
    key: Array,
    *,
    train: bool,
    probes: Dummies | None = None,
    ask: Ask | None = None,
    remat: bool = False,
) -> tuple[Any, Tree, list[Any]]:
    """The chain's output, its new statistics, and what `ask` says of each block (stacked along a stack).

    With `probes`, taps stand before every block and after the last; their measurements are the gradient
    with respect to `probes`.
    """
    state = (x, jnp.zeros((), jnp.float32))
    new_stats: Tree = {}
    told: list[Any] = []
    for index, block in enumerate(chain):
        own = (of_block(params, block), of_block(stats, block))
        record = None if probes is None else (probes.taps[index], probes.inner[index], probes.times[index])
        step = _step(block, train, ask, first=index == 0 and block.count is None)
        step = jax.checkpoint(step) if remat else step
        stream = jax.random.fold_in(key, index)
        if block.count is None:
            state, (own_stats, said) = step(state, (*own, record, stream, 1))
        else:
            keys = jax.random.split(stream, block.count)
            layers = jnp.arange(1, block.count + 1)
            state, (own_stats, said) = jax.lax.scan(step, state, (*own, record, keys, layers))
        new_stats |= {f"{block.name}/{path}": value for path, value in own_stats.items()}
        told.append(said)
    output, s = state
    if probes is not None:
        output, _, _ = taps.tap(output, s, (), probes.last)
    return output, new_stats, told


def _step(block: Block, train: bool, ask: Ask | None, first: bool) -> Callable[[Any, Any], Any]:
    """One block between its taps, as a scan's body."""

    def step(state: tuple[Any, Array], xs: Any) -> tuple[tuple[Any, Array], tuple[Tree, Array | None]]:
        (h, s), (params, stats, record, key, layer) = state, xs
        watch: Callable[[Array], Array] = lambda z: z
        if record is not None:
            seen, s, params = taps.tap(() if first else h, s, params, record[0])
            h = h if first else seen
            watch = lambda z: taps.inner_tap(z, record[1])
        time = None if record is None or not block.times else record[2]
        h, notes = block.apply(params, h, Visit(key, stats, train, watch, layer, time=time))
        said = None if ask is None else ask(_seen(block.signal(h), notes))
        return (h, s), (notes.stats, said)

    return step


def _seen(h: Array, notes: Notes) -> Signal:
    slope = None if notes.slope is None else jax.lax.stop_gradient(notes.slope)
    inner = {name: jax.lax.stop_gradient(value) for name, value in notes.inner.items()}
    return Signal(jax.lax.stop_gradient(h), slope, notes.steepest, inner)


class Backward(NamedTuple):
    """The taps' measurements, aligned: entry l belongs to block l of the unrolled chain; log2 of true norms."""

    signal: Array  # ‖∂L/∂h_l‖
    inner: Array  # the same at the pre-activation; meaningless where the block has none
    half_log2_batch: Array | float  # log2 √B
    times: list[Array]  # of each block with time steps: ‖∂L/∂h_t‖ and ‖∂L/∂c_t‖, layers × 2 × times


def backward(chain: list[Block], seen: Dummies, batch: Array | int) -> Backward:
    """Lines up the taps' records: the tap before block l+1 saw h_l and set the exponent inside block l.

    `batch`: how many terms the mean loss has.
    """
    following = [*seen.taps[1:], seen.last]
    signal, inner, times = [], [], []
    for block, record, after, z, t in zip(chain, seen.taps, following, seen.inner, seen.times, strict=True):
        shift = _first(after.exponent)
        if block.count is None:
            signal.append(_first(after.signal))
        else:
            signal += [record.signal[1:], _first(after.signal)]
            shift = jnp.concatenate([record.exponent[1:], shift])
        inner.append(z - shift)
        if block.times:
            times.append(t.reshape(block.layers, 2, block.times) - shift[:, None, None])
    return Backward(
        jnp.concatenate([jnp.atleast_1d(part) for part in signal]),
        jnp.concatenate([jnp.atleast_1d(part) for part in inner]),
        0.5 * jnp.log2(jnp.asarray(batch, jnp.float32))
        if isinstance(batch, Array)
        else 0.5 * math.log2(batch),
        times,
    )


def true_norms(chain: list[Block], seen: Dummies, norms: Tree) -> Tree:
    """log2 of each parameter's gradient norm: the tap's where the gradient was scaled, else `norms`."""
    found: Tree = {}
    for block, record in zip(chain, seen.taps, strict=True):
        for index, path in enumerate(sorted(of_block(norms, block))):  # a dict's leaves come sorted
            full = f"{block.name}/{path}"
            found[full] = jnp.where(record.arrived == 0, norms[full], record.params[..., index])
    return found


def _first(x: Array) -> Array:
    return jnp.atleast_1d(x)[:1]
