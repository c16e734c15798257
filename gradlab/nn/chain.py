"""A network as a chain of blocks with taps between them: what places every measurement, for any model.

A block maps the signal h, any pytree of arrays, to the next signal. It is one row of the layers table ("layer l"
there). Equal consecutive blocks are a stack: one Block with a `count` and a leading axis on its parameters, run by
`lax.scan`, so that compile time does not grow with depth. A weight layer (nn/linear_layer.py) is one W h + b inside a
block, which may have several.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from gradlab.measurements.probe import BackwardNorms, BlockSignal
from gradlab.measurements.probing import RowShapes
from gradlab.numerics import taps
from gradlab.numerics.taps import TapRecord
from gradlab.numerics.tree import StackedAxes, Tree, prefixed, under

SAFE_LOG2 = 100.0  # up to 2^±100 a norm is right in float32, though some squares and small entries may not be


def identity(z: Array) -> Array:
    """z itself, of any shape: the tap of a pass that measures nothing."""
    return z


class BlockContext(NamedTuple):
    """What a block receives in addition to its parameters and its input."""

    key: Array
    stats: Tree
    train: bool
    tap: Callable[[Array], Array]  # the identity that measures the cotangent at the pre-activation
    layer: Array | int  # its number within a stack, from 1
    # called with (path of a kernel, its layer's W h + b); what it returns takes the place of W h + b
    on_linear: Callable[[str, Array], Array] = lambda path, z: z
    # (2, time steps): the dummy whose "gradient" is log2 of the cotangents' norms at h_t and c_t
    time_dummy: Array | None = None
    input: Any = None  # the network's input, for a block that reads more than its predecessor's output


class BlockAux(NamedTuple):
    """What a block returns beside its output.

    stats: its running statistics; slope, max_slope: φ' at its activation's input, and max |φ'|;
    metrics: a number for each of the block's `metric_names`.
    """

    stats: Tree
    slope: Array | None = None
    max_slope: float | Array | None = None
    metrics: Mapping[str, Array] = MappingProxyType({})


class Attention(NamedTuple):
    """The heads of a block's attention: their number, whether they are causal, and the kernels that make Q and K."""

    heads: int
    causal: bool
    query: str
    key: str


@dataclass(frozen=True)
class Block:
    """One block, or `count` equal ones in a row."""

    name: str
    init: Callable[[Array], tuple[Tree, Tree]]  # key -> (parameters, statistics)
    apply: Callable[[Tree, Any, BlockContext], tuple[Any, BlockAux]]
    count: int | None = None
    active: bool = True  # whether it has an activation
    signal: Callable[[Any], Array] = identity  # from its output to the array h_l that is measured
    time_steps: int = 0  # how many time steps inside it have their backward signal measured
    metric_names: tuple[str, ...] = ()
    # (path of a recurrent kernel, names of its square blocks): their spectra are taken when evaluating
    recurrent_kernels: tuple[tuple[str, tuple[str, ...]], ...] = ()
    attention: Attention | None = None
    init_stacked: bool = False  # whether `init` draws all layers of a stack at once
    labels: tuple[str, ...] = ()  # the names of its rows, where they are not its own, numbered

    @property
    def layers(self) -> int:
        """How many rows it has in a table of layers."""
        return 1 if self.count is None else self.count

    @property
    def row_names(self) -> list[str]:
        """The name of each row: `output`, or `hidden 1` … `hidden L`."""
        if self.labels or self.count is None:
            return list(self.labels) or [self.name]
        return [f"{self.name} {index}" for index in range(1, self.count + 1)]


class TapValues(NamedTuple):
    """The taps' arrays, one entry per block: zeros as arguments of a pass, measurements as their gradient."""

    taps: list[TapRecord]
    preactivation: list[Array]  # () or (layers,)
    time: list[Array]  # (2, time steps) or (layers, 2, time steps)
    last: TapRecord  # of the tap after the last block


SignalMeasure = Callable[[BlockSignal], Any]  # -> any pytree of arrays


def initialize(chain: list[Block], key: Array) -> tuple[Tree, Tree]:
    """Parameters and statistics of the whole chain, each block from its own stream of the key."""
    params: Tree = {}
    stats: Tree = {}
    for index, block in enumerate(chain):
        stream = jax.random.fold_in(key, index)
        single = block.count is None or block.init_stacked
        init = block.init if single else jax.vmap(block.init)
        keys = stream if single else jax.random.split(stream, block.layers)
        block_params, block_stats = init(keys)
        params |= prefixed(block_params, f"{block.name}/")
        stats |= prefixed(block_stats, f"{block.name}/")
    return params, stats


def stacked_axes(chain: list[Block], tree: Tree) -> StackedAxes:
    """How many leading axes of each leaf count layers: one in a stack, else none."""
    stacked = tuple(f"{block.name}/" for block in chain if block.count is not None)
    return {path: int(path.startswith(stacked)) if stacked else 0 for path in tree}


def dummies(chain: list[Block], params: Tree) -> TapValues:
    """The zeros to differentiate by, for these blocks."""
    records = [taps.zeros_record(len(under(params, f"{block.name}/")), block.count) for block in chain]
    axes = [() if block.count is None else (block.count,) for block in chain]
    preactivation = [jnp.zeros(shape, jnp.float32) for shape in axes]
    time = [
        jnp.zeros((*shape, 2, block.time_steps), jnp.float32)
        for shape, block in zip(axes, chain, strict=True)
    ]
    return TapValues(records, preactivation, time, taps.zeros_record(0))


def forward(
    chain: list[Block],
    params: Tree,
    stats: Tree,
    x: Any,
    key: Array,
    *,
    train: bool,
    dummies: TapValues | None = None,
    measure: SignalMeasure | None = None,
    remat: bool = False,
) -> tuple[Any, Tree, list[Any]]:
    """The chain's output, its new statistics, and what `measure` returns of each block (of a stack with a layer axis).

    x: (examples, …), the input. The output is (examples, …, outputs).
    With `dummies` there is a tap before every block and one after the last; the first block's sees only the parameters,
    not the input. The taps' measurements are the gradient with respect to `dummies`.
    """
    # the second entry is always 0 in the forward pass; its cotangent carries the power of two by which the taps have
    # scaled the backward signal (numerics/taps.py)
    carry = (x, jnp.zeros((), jnp.float32))
    new_stats: Tree = {}
    measured: list[Any] = []
    for index, block in enumerate(chain):
        start = f"{block.name}/"
        selected = (under(params, start), under(stats, start))
        zeros = (
            None
            if dummies is None
            else (dummies.taps[index], dummies.preactivation[index], dummies.time[index])
        )
        first = index == 0 and block.count is None
        body: Callable[..., Any] = partial(_tapped, block, train, measure, first, x)
        body = jax.checkpoint(body) if remat else body
        stream = jax.random.fold_in(key, index)
        if block.count is None:
            carry, (block_stats, values) = body(carry, (*selected, zeros, stream, 1))
        else:
            keys = jax.random.split(stream, block.count)
            layers = jnp.arange(1, block.count + 1)
            carry, (block_stats, values) = jax.lax.scan(body, carry, (*selected, zeros, keys, layers))
        new_stats |= prefixed(block_stats, start)
        measured.append(values)
    output, exponent_carrier = carry
    if dummies is not None:
        output, _, _ = taps.tap(output, exponent_carrier, (), dummies.last)
    return output, new_stats, measured


def _tapped(
    block: Block,
    train: bool,
    measure: SignalMeasure | None,
    first: bool,
    x: Any,
    carry: tuple[Any, Array],
    xs: Any,
) -> tuple[tuple[Any, Array], tuple[Tree, Any]]:
    """One block after its tap, as the body of a scan; the tap of the `first` block leaves out its input, the data."""
    (h, exponent_carrier), (params, stats, zeros, key, layer) = carry, xs
    context = BlockContext(key, stats, train, identity, layer, input=x)
    if zeros is not None:
        record, preactivation, time = zeros
        tapped, exponent_carrier, params = taps.tap(() if first else h, exponent_carrier, params, record)
        h = h if first else tapped
        inner = partial(taps.inner_tap, record=preactivation)
        context = context._replace(tap=inner, time_dummy=time if block.time_steps else None)
    h, aux = block.apply(params, h, context)
    values = None if measure is None else measure(_signal(block.signal(h), aux))
    return (h, exponent_carrier), (aux.stats, values)


def _signal(h: Array, aux: BlockAux) -> BlockSignal:
    slope = None if aux.slope is None else jax.lax.stop_gradient(aux.slope)
    metrics = {name: jax.lax.stop_gradient(value) for name, value in aux.metrics.items()}
    return BlockSignal(jax.lax.stop_gradient(h), slope, aux.max_slope, metrics)


def signals(chain: list[Block], params: Tree, stats: Tree, x: Any, key: Array) -> list[Array]:
    """h_l of every layer in training, (examples, …) each, as a differentiable function of parameters and input."""
    outputs: list[Array] = []
    for block, value in _outputs(chain, params, stats, x, key):
        h = block.signal(value) if block.count is None else jax.vmap(block.signal)(value)
        outputs += [h] if block.count is None else list(h)
    return outputs


def run(
    chain: list[Block], first: int, last: int, params: Tree, stats: Tree, h: Any, x: Any, key: Array
) -> Any:
    """The output in training of the blocks from number `first` to before `last`, of the input h of the first.

    x: the network's input, for blocks that read it.
    """
    for index in range(first, last):
        h, _ = _run_block(chain[index], index, params, stats, h, x, key)
    return h


def _outputs(
    chain: list[Block], params: Tree, stats: Tree, x: Any, key: Array
) -> Iterator[tuple[Block, Any]]:
    """Each block with its output; of a stack those of its layers, with a layer axis."""
    h = x
    for index, block in enumerate(chain):
        h, (outputs, _) = _run_block(block, index, params, stats, h, x, key)
        yield block, outputs


def queries_and_keys(
    chain: list[Block], params: Tree, stats: Tree, x: Any, key: Array
) -> list[tuple[int, Attention, Array, Array]]:
    """The number, the attention, Q and K, (examples, time, units) each, of every layer that has one, in training."""
    h, first = x, 0
    layers: list[tuple[int, Attention, Array, Array]] = []
    for index, block in enumerate(chain):
        site = block.attention
        paths = () if site is None else (site.query, site.key)
        h, (_, kept) = _run_block(block, index, params, stats, h, x, key, paths)
        if site is not None:
            q, k = (kept[path] if block.count is not None else kept[path][None] for path in paths)
            layers += [(first + layer, site, q[layer], k[layer]) for layer in range(block.layers)]
        first += block.layers
    return layers


def _run_block(
    block: Block,
    index: int,
    params: Tree,
    stats: Tree,
    h: Any,
    x: Any,
    key: Array,
    kernels: tuple[str, ...] = (),
) -> tuple[Any, tuple[Any, Tree]]:
    """A block's output; those of all its layers, and W h + b of the weight layers with these `kernels`, by path."""
    start = f"{block.name}/"
    selected, stream = (under(params, start), under(stats, start)), jax.random.fold_in(key, index)

    def body(h: Any, xs: Any) -> tuple[Any, tuple[Any, Tree]]:
        params, stats, key, layer = xs
        kept: Tree = {}  # filled and returned by the same trace, so that no tracer leaves it

        def keep(path: str, z: Array) -> Array:
            if path in kernels:
                kept[path] = z
            return z

        h, _ = block.apply(params, h, BlockContext(key, stats, True, identity, layer, keep, input=x))
        return h, (h, kept)

    if block.count is None:
        return body(h, (*selected, stream, 1))
    layers = jnp.arange(1, block.count + 1)
    after: tuple[Any, tuple[Any, Tree]] = jax.lax.scan(
        body, h, (*selected, jax.random.split(stream, block.count), layers)
    )
    return after


def layers_of(chain: list[Block], paths: Iterable[str]) -> dict[str, range]:
    """By path of a parameter: the numbers of the layers that it belongs to, several for a stack."""
    ranges, first = {}, 0
    for block in chain:
        ranges[block.name] = range(first, first := first + block.layers)
    return {path: ranges[path.partition("/")[0]] for path in paths}


RunBlock = Callable[
    [Tree, Any, Callable[[str, Array], Array]], Any
]  # (parameters, input, on_linear) -> output


def walk(
    chain: list[Block],
    params: Tree,
    stats: Tree,
    x: Any,
    key: Array,
    fit: Callable[[RunBlock, Tree, Any], tuple[Any, Tree]],
) -> Tree:
    """The parameters that `fit(run, params, h) -> (h, params)` gives each block, in order, starting from the input x.

    `run` is the block in training mode. It is for initializers that fit a block on the output of those before it.
    """
    h = x
    fitted: Tree = {}
    for index, block in enumerate(chain):
        start = f"{block.name}/"
        selected = (under(params, start), under(stats, start))
        body = partial(_fitted, block, fit, x)
        stream = jax.random.fold_in(key, index)
        if block.count is None:
            h, block_params = body(h, (*selected, stream, 1))
        else:
            layers = jnp.arange(1, block.count + 1)
            h, block_params = jax.lax.scan(
                body, h, (*selected, jax.random.split(stream, block.count), layers)
            )
        fitted |= prefixed(block_params, start)
    return fitted


def _fitted(
    block: Block, fit: Callable[[RunBlock, Tree, Any], tuple[Any, Tree]], x: Any, h: Any, xs: Any
) -> tuple[Any, Tree]:
    params, stats, key, layer = xs

    def run(params: Tree, h: Any, on_linear: Callable[[str, Array], Array]) -> Any:
        context = BlockContext(key, stats, True, identity, layer, on_linear, input=x)
        return block.apply(params, h, context)[0]

    return fit(run, params, h)


def backward_norms(chain: list[Block], measured: TapValues, loss_terms: Array | int) -> BackwardNorms:
    """Lines up the taps' records: the tap before block l+1 saw h_l and set the exponent inside block l.

    `measured`: the gradient with respect to the dummies; `loss_terms`: how many terms the mean loss has. Norms are ()
    for a block, (layers,) for a stack.
    """
    following = [*measured.taps[1:], measured.last]
    signal, preactivation, time = [], [], []
    for block, record, after, z, t in zip(
        chain, measured.taps, following, measured.preactivation, measured.time, strict=True
    ):
        shift = _first(after.exponent)
        if block.count is None:
            signal.append(_first(after.signal))
        else:
            signal += [record.signal[1:], _first(after.signal)]
            shift = jnp.concatenate([record.exponent[1:], shift])
        preactivation.append(z - shift)
        if block.time_steps:
            time.append(t.reshape(block.layers, 2, block.time_steps) - shift[:, None, None])
    traced = isinstance(loss_terms, Array)
    return BackwardNorms(
        signal=jnp.concatenate([jnp.atleast_1d(part) for part in signal]),
        preactivation=jnp.concatenate([jnp.atleast_1d(part) for part in preactivation]),
        log2_sqrt_terms=0.5
        * (jnp.log2(jnp.asarray(loss_terms, jnp.float32)) if traced else math.log2(loss_terms)),
        time=time,
    )


def layer_names(chain: list[Block]) -> list[str]:
    """The names of all layers."""
    return [name for block in chain for name in block.row_names]


def kernel_paths(chain: list[Block], params: Mapping[str, Any]) -> list[str]:
    """The paths of the kernels: the parameters of two axes or more, a stack's layer axis not counted."""
    axes = stacked_axes(chain, dict(params))
    return [path for path, w in params.items() if len(w.shape) - axes[path] >= 2]


def has_kernel(chain: list[Block], params: Mapping[str, Any]) -> list[bool]:
    """Whether each layer has a kernel."""
    owners = {path.partition("/")[0] for path in kernel_paths(chain, params)}
    return [block.name in owners for block in chain for _ in range(block.layers)]


def row_shapes(chain: list[Block], params: Mapping[str, Any]) -> RowShapes:
    """The shapes of what is measured of the chain: its number of layers, and the layer axis of each parameter."""
    axes = stacked_axes(chain, dict(params))
    return RowShapes(
        layers=sum(block.layers for block in chain),
        axes={path: tuple(w.shape[: axes[path]]) for path, w in params.items()},
        kernels=frozenset(kernel_paths(chain, params)),
    )


def true_norms(chain: list[Block], measured: TapValues, norms: Tree, is_mean: bool = False) -> Tree:
    """log2 of each parameter's gradient norm: the tap's where the gradient was scaled, else `norms`.

    is_mean: whether the gradient is a mean over micro-batches, of which the taps saw the first. Then the tap's norm is
    taken only where `norms` come near the ends of float32's range.
    """
    by_path: Tree = {}
    for block, record in zip(chain, measured.taps, strict=True):
        for index, path in enumerate(sorted(under(norms, f"{block.name}/"))):  # a dict's leaves come sorted
            full = f"{block.name}/{path}"
            unscaled = record.incoming_exponent == 0
            if is_mean:
                unscaled |= jnp.abs(norms[full]) < SAFE_LOG2
            by_path[full] = jnp.where(unscaled, norms[full], record.params[..., index])
    return by_path


def _first(x: Array) -> Array:
    return jnp.atleast_1d(x)[:1]
