"""Loss and gradient of a batch: one backward pass with taps or without them, or several over micro-batches."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from gradlab.engine.setup import Setup
from gradlab.measure.probe import BlockSignal, Probe, in_order
from gradlab.nn import chain
from gradlab.nn.chain import SignalMeasure, TapValues
from gradlab.numerics import norms
from gradlab.numerics.tree import Tree
from gradlab.parts.optimizers.contract import Objective
from gradlab.recipe.recipe import Recipe


class BlockMetrics(NamedTuple):
    """What is measured in the forward pass of a block; arrays of a stack have a leading layer axis.

    columns: the values of all signal columns, (…, columns); metrics: the block's own inner measures by name.
    """

    columns: Array
    metrics: dict[str, Array]


class LossAndGrads(NamedTuple):
    """One backward pass: the mean loss, its gradient, new running statistics, and what was measured on the way."""

    loss: Array
    grads: Tree
    stats: Tree
    # the gradient with respect to the zeros of the taps; None where nothing is measured
    tap_measures: TapValues | None
    blocks: list[BlockMetrics]  # one entry per block of the chain; empty where nothing is measured


class LossInputs(NamedTuple):
    """What a loss is a function of, beside the parameters: the network, its statistics, a batch, a random key."""

    setup: Setup
    recipe: Recipe
    stats: Tree
    x: Array
    y: Array
    key: Array


def _loss_of(
    inputs: LossInputs, measure: SignalMeasure | None = None
) -> Callable[[Tree, TapValues | None], tuple[Array, Any]]:
    """The batch's mean data loss as a function of the parameters and the zeros of the taps."""
    setup, recipe, stats, x, y, key = inputs

    def loss(params: Tree, dummies: TapValues | None = None) -> tuple[Array, Any]:
        output, new_stats, blocks = chain.forward(
            setup.chain,
            params,
            stats,
            x,
            key,
            train=True,
            dummies=dummies,
            measure=measure,
            remat=recipe.remat,
        )
        return jnp.mean(setup.loss(output.astype(norms.compute_dtype(output)), y)), (new_stats, blocks)

    return loss


def _micro_batch_loss_and_grads(inputs: LossInputs, params: Tree, measured: bool) -> LossAndGrads:
    """Loss and gradient on one micro-batch, with taps where `measured`."""
    setup = inputs.setup
    dummies = chain.dummies(setup.chain, params) if measured else None
    loss = _loss_of(inputs, signal_measure(setup.probes) if measured else None)
    # differentiate with respect to the zeros of the taps only when measuring
    arguments = (0, 1) if measured else (0,)
    (value, (stats, blocks)), grads = jax.value_and_grad(loss, arguments, has_aux=True)(params, dummies)
    return LossAndGrads(
        loss=value,
        grads=grads[0],
        stats=stats,
        tap_measures=grads[1] if measured else None,
        blocks=blocks if measured else [],
    )


def loss_and_grads(inputs: LossInputs, params: Tree, measured: bool) -> LossAndGrads:
    """Mean loss and gradient of a batch, over recipe.accumulate equal micro-batches; taps measure the first only."""
    count = inputs.recipe.accumulate
    if count == 1:
        return _micro_batch_loss_and_grads(inputs, params, measured)
    cut: Callable[[Array], Array] = lambda array: array.reshape(count, len(array) // count, *array.shape[1:])
    xs, ys, keys = cut(inputs.x), cut(inputs.y), jax.random.split(inputs.key, count)
    first = _micro_batch_loss_and_grads(inputs._replace(x=xs[0], y=ys[0], key=keys[0]), params, measured)

    def add(total: tuple[Array, Tree, Tree], micro_batch: Any) -> tuple[tuple[Array, Tree, Tree], None]:
        (loss, grads, stats), (x, y, key) = total, micro_batch
        more = _micro_batch_loss_and_grads(
            inputs._replace(stats=stats, x=x, y=y, key=key), params, measured=False
        )
        return (loss + more.loss, jax.tree.map(jnp.add, grads, more.grads), more.stats), None

    other_batches = (xs[1:], ys[1:], keys[1:])
    (loss, grads, stats), _ = jax.lax.scan(add, (first.loss, first.grads, first.stats), other_batches)
    return first._replace(loss=loss / count, grads=jax.tree.map(lambda g: g / count, grads), stats=stats)


def loss_only(inputs: LossInputs, params: Tree) -> LossAndGrads:
    """Loss and statistics with a gradient of zeros, for an optimizer that needs no gradient."""
    value, (stats, _) = _loss_of(inputs)(params, None)
    return LossAndGrads(
        loss=value,
        grads=jax.tree.map(jnp.zeros_like, params),
        stats=stats,
        tap_measures=None,
        blocks=[],
    )


def objective(inputs: LossInputs) -> Objective:
    """The batch's loss and gradient as functions of the parameters, for an optimizer that evaluates them elsewhere."""
    loss_of = _loss_of(inputs)
    loss = lambda params: loss_of(params, None)[0]
    return Objective(loss, jax.grad(loss))


def signal_measure(probes: list[Probe]) -> SignalMeasure:
    """All signal probes as one function; its values are one vector, so that a scan stacks one array."""

    def measure(signal: BlockSignal) -> BlockMetrics:
        values: list[Array] = []
        for probe in probes:
            if probe.signal and (signal.slope is not None or not probe.active):
                values += [value.astype(jnp.float32) for value in in_order(probe, probe.signal(signal))]
        return BlockMetrics(jnp.stack(values or [jnp.zeros(())]), dict(signal.metrics))

    return measure
