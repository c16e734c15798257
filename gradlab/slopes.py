"""Loss and gradient of a batch: by one backward pass with taps or without, or over micro-batches."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from gradlab import numerics
from gradlab.build import Setup
from gradlab.models import chain
from gradlab.models.chain import Dummies, Signal, Tree
from gradlab.parts.optimizers import Batch
from gradlab.probes.family import Probe
from gradlab.recipe import Recipe


class Told(NamedTuple):
    """What a block's signals told: the values of all signal columns, and its own inner measures by name."""

    columns: Array
    inner: dict[str, Array]


class Slopes(NamedTuple):
    """One backward pass: the loss, its gradient by path, new statistics, and what the taps and signals told."""

    loss: Array
    grads: Tree
    stats: Tree
    seen: Dummies | None
    told: list[Told]


class Scene(NamedTuple):
    """What a loss is taken of: the network with its running statistics, the batch, and the key of its noise."""

    setup: Setup
    recipe: Recipe
    stats: Tree
    x: Array
    y: Array
    key: Array


def _loss(scene: Scene, **looks: Any) -> Callable[[Tree, Dummies | None], tuple[Array, Any]]:
    """The batch's mean data loss as a function of the parameters (and the taps' dummies)."""
    setup, recipe, stats, x, y, key = scene

    def objective(params: Tree, probes: Dummies | None = None) -> tuple[Array, Any]:
        output, after, told = chain.forward(
            setup.chain, params, stats, x, key, train=True, probes=probes, remat=recipe.remat, **looks
        )
        return jnp.mean(setup.loss(output.astype(numerics.compute_dtype(output)), y)), (after, told)

    return objective


def slopes(scene: Scene, params: Tree, measured: bool) -> Slopes:
    """Loss and gradient on one batch, with taps where `measured`."""
    setup = scene.setup
    blanks = chain.dummies(setup.chain, params) if measured else None
    objective = _loss(scene, ask=_signals(setup.probes) if measured else None)
    # the dummies' zeros are differentiated by only where there are taps
    wanted = (0, 1) if measured else (0,)
    (value, (stats, told)), found = jax.value_and_grad(objective, wanted, has_aux=True)(params, blanks)
    return Slopes(value, found[0], stats, found[1] if measured else None, told)


def accumulated(scene: Scene, params: Tree, measured: bool) -> Slopes:
    """The same over `accumulate` equal micro-batches: mean loss, mean gradient; the first one is measured."""
    parts = scene.recipe.accumulate
    if parts == 1:
        return slopes(scene, params, measured)
    cut = lambda whole: whole.reshape(parts, len(whole) // parts, *whole.shape[1:])
    xs, ys, keys = cut(scene.x), cut(scene.y), jax.random.split(scene.key, parts)
    first = slopes(scene._replace(x=xs[0], y=ys[0], key=keys[0]), params, measured)

    def add(total: tuple[Array, Tree, Tree], part: Any) -> tuple[tuple[Array, Tree, Tree], None]:
        (loss, grads, stats), (x, y, key) = total, part
        found = slopes(scene._replace(stats=stats, x=x, y=y, key=key), params, measured=False)
        return (loss + found.loss, jax.tree.map(jnp.add, grads, found.grads), found.stats), None

    rest = (xs[1:], ys[1:], keys[1:])
    (loss, grads, stats), _ = jax.lax.scan(add, (first.loss, first.grads, first.stats), rest)
    return first._replace(loss=loss / parts, grads=jax.tree.map(lambda g: g / parts, grads), stats=stats)


def forward(scene: Scene, params: Tree) -> Slopes:
    """Loss and statistics alone, for an optimizer that needs no gradient."""
    value, (stats, told) = _loss(scene)(params, None)
    return Slopes(value, jax.tree.map(jnp.zeros_like, params), stats, None, told)


def elsewhere(scene: Scene) -> Batch:
    """The same batch, for an optimizer that looks at other parameters than θ."""
    objective = _loss(scene)
    loss = lambda params: objective(params, None)[0]
    return Batch(loss, jax.grad(loss))


def _signals(probes: list[Probe]) -> chain.Ask:
    """All signal probes as one question: a block's answers are one vector, so that a scan stacks one array."""

    def ask(signal: Signal) -> Told:
        asked = [probe for probe in probes if probe.signal and (signal.slope is not None or not probe.active)]
        told = {column: value for probe in asked for column, value in probe.signal(signal).items()}  # type: ignore[misc]
        values = jnp.stack([value.astype(jnp.float32) for value in told.values()] or [jnp.zeros(())])
        return Told(values, dict(signal.inner))

    return ask
