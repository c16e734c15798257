"""Optimizers: from the clipped gradient to a direction, Δθ = −rate·direction; the rules are Optax's own.

Where Optax and PyTorch mean different things by one name, the docstring says which is meant.
"""

from typing import Any

import optax
from jax import Array

from gradlab.numerics.tree import StackedAxes, Tree
from gradlab.parts.optimizers.contract import Optimizer, OptimizerContext, Update
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


@optimizer
def sgd() -> Optimizer:
    """Δθ = −rate·g, the gradient of a minibatch."""
    return _from_transformation(optax.identity())


@optimizer
def gd() -> Optimizer:
    """Δθ = −rate·g, the gradient of the whole training set (`batch_size=0`): no noise from batches."""
    return _from_transformation(optax.identity())


@optimizer
def ascent() -> Optimizer:
    """Δθ = +rate·g: away from the minimum, the wrong sign of a published example; it is there to be compared with."""
    return _from_transformation(optax.scale(-1.0))


@optimizer
def momentum(decay: Share) -> Optimizer:
    """m <- g + decay·m, Δθ = −rate·m (heavy ball; Optax's and PyTorch's form without dampening)."""
    return _from_transformation(optax.trace(decay))


@optimizer
def nesterov(decay: Share) -> Optimizer:
    """m <- g + decay·m, Δθ = −rate·(g + decay·m): Optax's and PyTorch's form, not the look-ahead of Sutskever 2013."""
    return _from_transformation(optax.trace(decay, nesterov=True))


@optimizer
def adagrad(initial: NonNegative, eps: Positive) -> Optimizer:
    """G <- G + g² from G = initial, Δθ = −rate·g/√(G + eps) (Duchi et al. 2011).

    Optax's form (initial 0.1, eps 1e-7 inside the root); PyTorch starts at 0 with eps 1e-10 outside.
    """
    return _from_transformation(optax.scale_by_rss(initial, eps))


@optimizer
def rmsprop(decay: Share, eps: Positive, eps_in_sqrt: Flag) -> Optimizer:
    """v <- decay·v + (1 − decay)·g², Δθ = −rate·g/√(v + eps) (Tieleman & Hinton 2012).

    Optax's form (decay 0.9); PyTorch's is decay 0.99 and g/(√v + eps), `optimizer.eps_in_sqrt=false`.
    """
    return _from_transformation(optax.scale_by_rms(decay, eps, eps_in_sqrt=eps_in_sqrt))


@optimizer
def adam(b1: Share, b2: Share, eps: Positive) -> Optimizer:
    """m, v: averages of g, g²; Δθ = −rate·m̂/(√v̂ + eps) (Kingma & Ba 2015), in Optax as in PyTorch.

    Each entry is divided by its own size: tiny gradients get ordinary updates, so look at the gradients too.
    """
    return _from_transformation(optax.scale_by_adam(b1, b2, eps))


@optimizer
def adamw(b1: Share, b2: Share, eps: Positive, decay: NonNegative, mask: Mask) -> Optimizer:
    """Adam, and apart from it θ <- θ − rate·decay·θ (Loshchilov & Hutter 2019), by default on kernels only."""
    return _with_decay(optax.scale_by_adam(b1, b2, eps), decay, mask)


@optimizer
def lion(b1: Share, b2: Share, decay: NonNegative, mask: Mask) -> Optimizer:
    """Δθ = −rate·sign(b1·m + (1 − b1)·g), m <- b2·m + (1 − b2)·g, with decoupled decay (Chen et al. 2023)."""
    return _with_decay(optax.scale_by_lion(b1, b2), decay, mask)


@optimizer
def sign() -> Optimizer:
    """Δθ = −rate·sign(g): the size of a gradient has no effect, so vanishing only makes its direction noisier."""
    return _from_transformation(optax.scale_by_sign())
