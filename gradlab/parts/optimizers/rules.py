"""Optimizers: from the clipped gradient to a direction, Δθ = −rate·direction; the rules are Optax's own.

Where Optax and PyTorch mean different things by one name, the docstring says which is meant.
"""

import inspect
from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from gradlab.numerics.tree import StackedAxes, Tree
from gradlab.parts.family import Family, UserFunction
from gradlab.parts.penalties import Mask, subject
from gradlab.recipe.bounds import Flag, NonNegative, Positive, Share
from gradlab.recipe.errors import RecipeError, hint


class Objective(NamedTuple):
    """The batch's data loss at any parameters, and its gradient."""

    loss: Callable[[Tree], Array]
    gradient: Callable[[Tree], Tree]


class OptimizerContext(NamedTuple):
    """What an optimizer may use beside the gradient, its state and the parameters."""

    rate: Array  # in use: peak times schedule
    step: Array
    loss: Array
    stacked_axes: StackedAxes
    objective: Objective


class Update(NamedTuple):
    """Δθ = −step_size·direction − rate·decay, `rate` being the learning rate in use; no clip touches the decay.

    A step size of None stands for the rate; any other is 1.
    """

    direction: Tree
    step_size: Array | None = None
    decay: Tree | None = None

    def step_size_or(self, rate: Array) -> Array:
        """What multiplies the direction, `rate` being the learning rate in use."""
        return rate if self.step_size is None else self.step_size

    def scaled_direction(self, rate: Array) -> Tree:
        """step_size·direction: −Δθ without the decay."""
        factor = self.step_size_or(rate)
        return {path: (factor * value).astype(value.dtype) for path, value in self.direction.items()}


class Optimizer(NamedTuple):
    """A rule, and its hooks into the training step; only `init` and `update` are needed.

    init: (parameters, stacked axes) -> state; update: (gradient, state, parameters, context) -> (update, state).
    begin_step: what a step's number and loss change in the state before it.
    estimate_gradient: finds the gradient otherwise than by back-propagation at θ, which a `gradient_free` optimizer
    does not need.
    evals_per_step: loss evaluations per step, a gradient counting as the one that it takes; evals_so_far: those
    before this step, where they are not evals_per_step times steps.
    phase: which of several optimizers is at work; peak_lr: its own peak rate, given the recipe's;
    eval_params: the parameters that evaluations look at.
    """

    init: Callable[[Tree, StackedAxes], Any]
    update: Callable[[Tree, Any, Tree, OptimizerContext], tuple[Update, Any]]
    begin_step: Callable[[Any, Array, Array, Tree, StackedAxes], Any] = lambda state, *_: state
    estimate_gradient: Callable[[Tree, Any, Tree, Array, Objective], tuple[Tree, Any]] | None = None
    gradient_free: bool = False
    evals_per_step: int = 1
    evals_so_far: Callable[[Array, Any], Array] | None = None
    phase: Callable[[Any], Array] = lambda state: jnp.zeros((), jnp.int32)
    peak_lr: Callable[[Any, Array | float], Array] | None = None
    eval_params: Callable[[Any, Tree], Tree] = lambda state, params: params


def _plain(rule: optax.GradientTransformation) -> Optimizer:
    """An Optax rule that gives a direction."""

    def update(grads: Tree, state: Any, params: Tree, given: OptimizerContext) -> tuple[Update, Any]:
        direction, state = rule.update(grads, state, params)
        return Update(direction), state

    return Optimizer(lambda params, stacked_axes: rule.init(params), update)


def _decayed(rule: optax.GradientTransformation, decay: Array | float, mask: Mask) -> Optimizer:
    """The same with decoupled decay."""
    made = _plain(rule)

    def update(grads: Tree, state: Any, params: Tree, given: OptimizerContext) -> tuple[Update, Any]:
        move, state = made.update(grads, state, params, given)
        shrunk = {path: decay * w for path, w in subject(params, given.stacked_axes, mask).items()}
        return move._replace(decay=shrunk), state

    return made._replace(update=update)


# Optax's rules that look at a whole array at once: a stack of layers is given to them layer by layer.
_BY_ARRAY = frozenset("adafactor fromage lamb lars muon novograd sm3".split())


def _alias(make: Callable[..., optax.GradientTransformation], by_array: bool) -> Optimizer:
    """A function that takes the learning rate first, as Optax's do: given the rate in use, at every step."""

    def parts(tree: Tree, stacked_axes: StackedAxes) -> tuple[Tree, Tree]:
        stacked = {path: value for path, value in tree.items() if by_array and stacked_axes[path]}
        return {path: value for path, value in tree.items() if path not in stacked}, stacked

    def init(params: Tree, stacked_axes: StackedAxes) -> Any:
        rule, (single, stacked) = make(1.0), parts(params, stacked_axes)
        return rule.init(single), (jax.vmap(rule.init)(stacked) if stacked else ())

    def update(grads: Tree, state: Any, params: Tree, given: OptimizerContext) -> tuple[Update, Any]:
        rule = optax.with_extra_args_support(make(given.rate))
        (g, gs), (w, ws) = parts(grads, given.stacked_axes), parts(params, given.stacked_axes)
        found, single = rule.update(
            g, state[0], w, value=given.loss, grad=g, value_fn=lambda own: given.objective.loss(own | ws)
        )
        stacked = state[1]
        if gs:
            more, stacked = jax.vmap(rule.update)(gs, stacked, ws)
            found = {**found, **more}
        updates = {path: -value for path, value in found.items()}
        same = jax.tree.map(lambda old, new: jnp.asarray(new).astype(old.dtype), state, (single, stacked))
        return Update(updates, jnp.ones(())), same

    def eval_params(state: Any, params: Tree) -> Tree:
        single = state[0]
        if isinstance(single, optax.contrib.ScheduleFreeState):
            return dict(optax.contrib.schedule_free_eval_params(single, params))
        return params

    return Optimizer(init, update, eval_params=eval_params)


def _own(make: Callable[..., Any]) -> Optimizer:
    name = getattr(getattr(make, "func", make), "__name__", "")
    return _alias(make, name in _BY_ARRAY)


def optax_function(name: str) -> Callable[..., Any]:
    """`optax:lamb`, also where it stands in optax.contrib; an optimizer takes its learning rate first."""
    known = _optimizers()
    word = name.partition(":")[2].removeprefix("contrib.")
    if word not in known:
        raise RecipeError(f"optimizer={name}: Optax has no optimizer '{word}'{hint(word, known)}")
    return getattr(optax, word) if _is_optimizer(optax, word) else getattr(optax.contrib, word)


@cache
def _optimizers() -> frozenset[str]:
    """The names of all that Optax has."""
    return frozenset(
        one for place in (optax, optax.contrib) for one in dir(place) if _is_optimizer(place, one)
    )


def _is_optimizer(place: Any, name: str) -> bool:
    found = getattr(place, name, None)
    if name.startswith("_") or not (inspect.isroutine(found) or isinstance(found, partial)):
        return False
    return next(iter(inspect.signature(found).parameters), "").endswith("learning_rate")


optimizer = Family(
    "optimizer", "gradlab.parts.optimizers", own=UserFunction(1, _own, {"optax": optax_function})
)


@optimizer
def sgd() -> Optimizer:
    """Δθ = −rate·g, the gradient of a minibatch."""
    return _plain(optax.identity())


@optimizer
def gd() -> Optimizer:
    """Δθ = −rate·g, the gradient of the whole training part (`batch_size=0`): no noise from batches."""
    return _plain(optax.identity())


@optimizer
def momentum(decay: Share) -> Optimizer:
    """m <- g + decay·m, Δθ = −rate·m (heavy ball; Optax's and PyTorch's form without dampening)."""
    return _plain(optax.trace(decay))


@optimizer
def nesterov(decay: Share) -> Optimizer:
    """m <- g + decay·m, Δθ = −rate·(g + decay·m): Optax's and PyTorch's form, not the look-ahead of Sutskever 2013."""
    return _plain(optax.trace(decay, nesterov=True))


@optimizer
def adagrad(initial: NonNegative, eps: Positive) -> Optimizer:
    """G <- G + g² from G = initial, Δθ = −rate·g/√(G + eps) (Duchi et al. 2011).

    Optax's form (initial 0.1, eps 1e-7 inside the root); PyTorch starts at 0 with eps 1e-10 outside.
    """
    return _plain(optax.scale_by_rss(initial, eps))


@optimizer
def rmsprop(decay: Share, eps: Positive, eps_in_sqrt: Flag) -> Optimizer:
    """v <- decay·v + (1 − decay)·g², Δθ = −rate·g/√(v + eps) (Tieleman & Hinton 2012).

    Optax's form (decay 0.9); PyTorch's is decay 0.99 and g/(√v + eps), `optimizer.eps_in_sqrt=false`.
    """
    return _plain(optax.scale_by_rms(decay, eps, eps_in_sqrt=eps_in_sqrt))


@optimizer
def adam(b1: Share, b2: Share, eps: Positive) -> Optimizer:
    """m, v: averages of g, g²; Δθ = −rate·m̂/(√v̂ + eps) (Kingma & Ba 2015), in Optax as in PyTorch.

    Each entry is divided by its own size: tiny gradients get healthy updates, so look at the raw ones beside.
    """
    return _plain(optax.scale_by_adam(b1, b2, eps))


@optimizer
def adamw(b1: Share, b2: Share, eps: Positive, decay: NonNegative, mask: Mask) -> Optimizer:
    """Adam, and θ <- θ − rate·decay·θ beside it (Loshchilov & Hutter 2019), by default on kernels only."""
    return _decayed(optax.scale_by_adam(b1, b2, eps), decay, mask)


@optimizer
def lion(b1: Share, b2: Share, decay: NonNegative, mask: Mask) -> Optimizer:
    """Δθ = −rate·sign(b1·m + (1 − b1)·g), m <- b2·m + (1 − b2)·g, with decoupled decay (Chen et al. 2023)."""
    return _decayed(optax.scale_by_lion(b1, b2), decay, mask)


@optimizer
def sign() -> Optimizer:
    """Δθ = −rate·sign(g): blind to the size of a gradient, so that vanishing only costs its direction's noise."""
    return _plain(optax.scale_by_sign())
