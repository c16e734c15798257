"""Optimizers: from the clipped gradient to a direction, Δθ = −rate·direction; the rules are Optax's own.

Where Optax and PyTorch mean different things by one name, the docstring says which is meant.
"""

from functools import partial
from typing import Any

import jax.numpy as jnp
import optax
from jax import Array

from gradlab.numerics.tree import StackedAxes, Tree
from gradlab.parts.optimizers.contract import Optimizer, OptimizerContext, Stability, Update
from gradlab.parts.optimizers.registry import optimizer
from gradlab.parts.penalties import Mask, subject
from gradlab.recipe.bounds import Flag, NonNegative, Positive, Share


def _from_transformation(rule: optax.GradientTransformation) -> Optimizer:
    """The optimizer of an Optax rule that gives a direction."""

    def init(params: Tree, stacked_axes: StackedAxes) -> Any:
        return rule.init(params)

    def update(grads: Tree, state: Any, params: Tree, context: OptimizerContext) -> tuple[Update, Any]:
        direction, state = rule.update(grads, state, params)
        return Update(direction), state

    return Optimizer(init, update)


def _with_decay(rule: optax.GradientTransformation, decay: Array | float, mask: Mask) -> Optimizer:
    """The same with decoupled weight decay."""
    without_decay = _from_transformation(rule)

    def update(grads: Tree, state: Any, params: Tree, context: OptimizerContext) -> tuple[Update, Any]:
        update, state = without_decay.update(grads, state, params, context)
        decays = {path: decay * w for path, w in subject(params, context.stacked_axes, mask).items()}
        return update._replace(decay=decays), state

    return without_decay._replace(update=update)


def _gradient_descent() -> Optimizer:
    """Gradient descent is stable on a quadratic whose curvature is below 2/rate."""
    rule = _from_transformation(optax.identity())
    return rule._replace(stability=lambda state, rate: Stability(2 / rate))


def _stability_of_adam(
    b1: Array | float, b2: Array | float, eps: Array | float, state: Any, rate: Array
) -> Stability:
    """Adam as momentum with the preconditioner √v̂ + eps (Cohen et al. 2022); undefined before the first step."""
    correction = 1 - b2 ** state.count.astype(jnp.float32)
    root = {path: jnp.sqrt(v / correction) + eps for path, v in state.nu.items()}
    return Stability((2 + 2 * b1) / ((1 - b1) * rate), root)


@optimizer
def sgd() -> Optimizer:
    """Δθ = −rate·g, the gradient of a minibatch."""
    return _gradient_descent()


@optimizer
def gd() -> Optimizer:
    """Δθ = −rate·g, the gradient of the whole training set (`batch_size=0`): no noise from batches."""
    return _gradient_descent()


@optimizer
def ascent() -> Optimizer:
    """Δθ = +rate·g: away from the minimum, the wrong sign of a published example; it is there to be compared with."""
    return _from_transformation(optax.scale(-1.0))


@optimizer
def momentum(decay: Share) -> Optimizer:
    """m <- g + decay·m, Δθ = −rate·m (heavy ball; Optax's and PyTorch's form without dampening)."""
    rule = _from_transformation(optax.trace(decay))
    return rule._replace(stability=lambda state, rate: Stability(2 * (1 + decay) / rate))


@optimizer
def nesterov(decay: Share) -> Optimizer:
    """m <- g + decay·m, Δθ = −rate·(g + decay·m): Optax's and PyTorch's form, not the look-ahead of Sutskever 2013."""
    rule = _from_transformation(optax.trace(decay, nesterov=True))
    return rule._replace(stability=lambda state, rate: Stability(2 * (1 + decay) / ((1 + 2 * decay) * rate)))


@optimizer
def adagrad(initial: NonNegative, eps: Positive) -> Optimizer:
    """G <- G + g² from G = initial, Δθ = −rate·g/√(G + eps) (Duchi et al. 2011).

    Optax's form (initial 0.1, eps 1e-7 inside the root); PyTorch starts at 0 with eps 1e-10 outside.
    """
    rule = _from_transformation(optax.scale_by_rss(initial, eps))

    def stability(state: Any, rate: Array) -> Stability:
        return Stability(2 / rate, {path: jnp.sqrt(g + eps) for path, g in state.sum_of_squares.items()})

    return rule._replace(stability=stability)


@optimizer
def rmsprop(decay: Share, eps: Positive, eps_in_sqrt: Flag) -> Optimizer:
    """v <- decay·v + (1 − decay)·g², Δθ = −rate·g/√(v + eps) (Tieleman & Hinton 2012).

    Optax's form (decay 0.9); PyTorch's is decay 0.99 and g/(√v + eps), `optimizer.eps_in_sqrt=false`.
    """
    rule = _from_transformation(optax.scale_by_rms(decay, eps, eps_in_sqrt=eps_in_sqrt))

    def stability(state: Any, rate: Array) -> Stability:
        roots = {
            path: jnp.sqrt(v + eps) if eps_in_sqrt else jnp.sqrt(v) + eps for path, v in state.nu.items()
        }
        return Stability(2 / rate, roots)

    return rule._replace(stability=stability)


@optimizer
def adam(b1: Share, b2: Share, eps: Positive) -> Optimizer:
    """m, v: averages of g, g²; Δθ = −rate·m̂/(√v̂ + eps) (Kingma & Ba 2015), in Optax as in PyTorch.

    Each entry is divided by its own size: tiny gradients get ordinary updates, so look at the gradients too.
    """
    rule = _from_transformation(optax.scale_by_adam(b1, b2, eps))
    return rule._replace(stability=partial(_stability_of_adam, b1, b2, eps))


@optimizer
def adamw(b1: Share, b2: Share, eps: Positive, decay: NonNegative, mask: Mask) -> Optimizer:
    """Adam, and apart from it θ <- θ − rate·decay·θ (Loshchilov & Hutter 2019), by default on kernels only."""
    rule = _with_decay(optax.scale_by_adam(b1, b2, eps), decay, mask)
    return rule._replace(stability=partial(_stability_of_adam, b1, b2, eps))


@optimizer
def lion(b1: Share, b2: Share, decay: NonNegative, mask: Mask) -> Optimizer:
    """Δθ = −rate·sign(b1·m + (1 − b1)·g), m <- b2·m + (1 − b2)·g, with decoupled decay (Chen et al. 2023)."""
    return _with_decay(optax.scale_by_lion(b1, b2), decay, mask)


@optimizer
def sign() -> Optimizer:
    """Δθ = −rate·sign(g): the size of a gradient has no effect, so vanishing only makes its direction noisier."""
    return _from_transformation(optax.scale_by_sign())
