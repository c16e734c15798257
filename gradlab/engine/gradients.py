"""Loss and gradient of a batch: one backward pass with taps or without them, or several over micro-batches."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from gradlab.engine import loss_scale
from gradlab.engine.setup import Setup
from gradlab.measurements import probing
from gradlab.measurements.probe import BlockSignal
from gradlab.nn import chain
from gradlab.nn.chain import SignalMeasure, TapValues
from gradlab.numerics import norms
from gradlab.numerics.tree import Tree
from gradlab.parts.optimizers.contract import Objective
from gradlab.recipe.recipe import Recipe


class BlockMetrics(NamedTuple):
    """What is measured in the forward pass of a block; arrays of a stack have a leading layer axis.

    columns: the values of all signal columns, (…, columns); metrics: the block's own inner measures by name; vectors:
    the columns that are vectors, (…, size) each.
    """

    columns: Array
    metrics: dict[str, Array]
    vectors: dict[str, Array]


class LossAndGrads(NamedTuple):
    """One backward pass: the mean loss, its gradient, new running statistics, and what was measured on the way."""

    loss: Array
    grads: Tree
    stats: Tree
    # the gradient with respect to the zeros of the taps; None where nothing is measured
    tap_measures: TapValues | None
    blocks: list[BlockMetrics]  # one entry per block of the chain; empty where nothing is measured


class StepContext(NamedTuple):
    """What one step is computed from, beside the state of the training."""

    setup: Setup
    recipe: Recipe
    x: Array  # (batch, …)
    y: Array  # (batch,), (batch, time) or (batch, outputs)
    key: Array  # (), a random key
    step: Array  # (), int32
    total_steps: Array  # (), int32
    every_probe: Array | bool  # (): whether every probe measures the row, whatever its `every`
    loss_exponent: Array | None = None  # (), int32: 2**it multiplies the loss before back-propagation

    def is_due(self, every: int) -> Array:
        """Whether the probes with this `every` measure the row, ()."""
        return self.every_probe | (self.step % every == 0)


def _loss_of(
    context: StepContext, stats: Tree, measure: SignalMeasure | None = None
) -> Callable[[Tree, TapValues | None], tuple[Array, Any]]:
    """The batch's mean data loss, scaled, as a function of the parameters and the zeros of the taps.

    It returns the loss that is differentiated, and (the loss itself, new statistics, what was measured).
    """

    def loss(params: Tree, dummies: TapValues | None = None) -> tuple[Array, Any]:
        output, new_stats, blocks = chain.forward(
            context.setup.chain,
            params,
            stats,
            context.x,
            context.key,
            train=True,
            dummies=dummies,
            measure=measure,
            remat=context.recipe.remat,
        )
        mean = mean_loss(context, output)
        scaled = mean if context.loss_exponent is None else norms.scale(mean, context.loss_exponent)
        return scaled, (mean, new_stats, blocks)

    return loss


def mean_loss(context: StepContext, outputs: Array) -> Array:
    """The mean data loss, (), of the network's outputs for the batch."""
    return jnp.mean(context.setup.loss(outputs.astype(norms.compute_dtype(outputs)), context.y))


def _micro_batch_loss_and_grads(
    context: StepContext, params: Tree, stats: Tree, measured: bool
) -> LossAndGrads:
    """Loss and gradient on one micro-batch, with taps where `measured`."""
    dummies = chain.dummies(context.setup.chain, params) if measured else None
    loss = _loss_of(context, stats, partial(_block_metrics, context) if measured else None)
    # differentiate with respect to the zeros of the taps only when measuring
    arguments = (0, 1) if measured else (0,)
    (_, (value, new_stats, blocks)), grads = jax.value_and_grad(loss, arguments, has_aux=True)(
        params, dummies
    )
    tap_measures = grads[1] if measured else None
    if tap_measures is not None and context.loss_exponent is not None:
        tap_measures = loss_scale.unscaled_measures(tap_measures, context.loss_exponent)
    return LossAndGrads(
        loss=value,
        grads=_unscaled(context, grads[0]),
        stats=new_stats,
        tap_measures=tap_measures,
        blocks=blocks if measured else [],
    )


def _unscaled(context: StepContext, grads: Tree) -> Tree:
    """The gradient of the loss from that of the scaled loss."""
    return grads if context.loss_exponent is None else loss_scale.unscaled(grads, context.loss_exponent)


def loss_and_grads(context: StepContext, params: Tree, stats: Tree, measured: bool) -> LossAndGrads:
    """Mean loss and gradient of a batch, over recipe.accumulate equal micro-batches; taps measure the first only."""
    count = context.recipe.accumulate
    if count == 1:
        return _micro_batch_loss_and_grads(context, params, stats, measured)
    cut: Callable[[Array], Array] = lambda array: array.reshape(count, len(array) // count, *array.shape[1:])
    xs, ys, keys = cut(context.x), cut(context.y), jax.random.split(context.key, count)
    micro_batch: Callable[..., StepContext] = lambda x, y, key: context._replace(x=x, y=y, key=key)
    first = _micro_batch_loss_and_grads(micro_batch(xs[0], ys[0], keys[0]), params, stats, measured)

    def add(total: tuple[Array, Tree, Tree], arrays: Any) -> tuple[tuple[Array, Tree, Tree], None]:
        loss, grads, stats = total
        more = _micro_batch_loss_and_grads(micro_batch(*arrays), params, stats, measured=False)
        return (loss + more.loss, jax.tree.map(jnp.add, grads, more.grads), more.stats), None

    other_batches = (xs[1:], ys[1:], keys[1:])
    (loss, grads, stats), _ = jax.lax.scan(add, (first.loss, first.grads, first.stats), other_batches)
    return first._replace(loss=loss / count, grads=jax.tree.map(lambda g: g / count, grads), stats=stats)


def loss_only(context: StepContext, params: Tree, stats: Tree) -> LossAndGrads:
    """Loss and statistics with a gradient of zeros, for an optimizer that needs no gradient."""
    _, (value, new_stats, _) = _loss_of(context, stats)(params, None)
    return LossAndGrads(
        loss=value,
        grads=jax.tree.map(jnp.zeros_like, params),
        stats=new_stats,
        tap_measures=None,
        blocks=[],
    )


def objective(context: StepContext, stats: Tree) -> Objective:
    """The batch's loss and gradient as functions of the parameters, for an optimizer that evaluates them elsewhere."""
    loss_of = _loss_of(context, stats)
    gradient = jax.grad(lambda params: loss_of(params, None)[0])
    return Objective(
        loss=lambda params: loss_of(params, None)[1][0],
        gradient=lambda params: _unscaled(context, gradient(params)),
    )


def _block_metrics(context: StepContext, signal: BlockSignal) -> BlockMetrics:
    """What the signal probes measure of a block; their values are one vector, so that a scan stacks one array."""
    probes = context.setup.probes
    values = probing.signal_values(probes, context.is_due, signal)
    columns = probing.signal_columns(probes, has_activation=signal.slope is not None)
    ordered = [values[column.name].astype(jnp.float32) for column in columns if not column.size]
    vectors = {column.name: values[column.name] for column in columns if column.size}
    return BlockMetrics(jnp.stack(ordered or [jnp.zeros(())]), dict(signal.metrics), vectors)
