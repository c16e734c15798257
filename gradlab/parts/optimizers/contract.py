"""What an optimizer is, what it may use, and what it returns."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array

from gradlab.numerics.tree import StackedAxes, Tree


class Objective(NamedTuple):
    """The batch's data loss at any parameters, (), and its gradient, a tree of their shapes."""

    loss: Callable[[Tree], Array]
    gradient: Callable[[Tree], Tree]


class OptimizerContext(NamedTuple):
    """What an optimizer may use beside the gradient, its state and the parameters; step and loss are scalars."""

    learning_rate: Array  # peak rate times schedule factor, ()
    step: Array
    loss: Array
    stacked_axes: StackedAxes
    objective: Objective


class Update(NamedTuple):
    """Δθ = −step_size·direction − learning_rate·decay; the decay is never clipped.

    step_size None: the direction is still to be multiplied by the learning rate; 1: it already is. Both trees have the
    parameters' shapes.
    """

    direction: Tree
    step_size: Array | None = None
    decay: Tree | None = None

    def step_size_or(self, learning_rate: Array) -> Array:
        """The factor of the direction; both are scalars."""
        return learning_rate if self.step_size is None else self.step_size

    def scaled_direction(self, learning_rate: Array) -> Tree:
        """step_size·direction, in the parameters' shapes: −Δθ without the decay; `learning_rate` is a scalar."""
        factor = self.step_size_or(learning_rate)
        return {path: (factor * value).astype(value.dtype) for path, value in self.direction.items()}


class Optimizer(NamedTuple):
    """A rule, and its hooks into the training step; only `init` and `update` are needed.

    init: (params, stacked axes) -> state.
    update: (grads, state, params, context) -> (update, state).
    begin_step: (state, step, loss, params, stacked axes) -> state; what a step's number and loss change before it.
    estimate_gradient: (params, state, grads, key, objective) -> (grads, state); finds the gradient otherwise than by
    back-propagation at θ, which a `gradient_free` optimizer does not need.
    evals_per_step: loss evaluations per step, where a gradient counts as one; evals_so_far: (step, state) -> those
    before this step, where they are not evals_per_step times steps.
    phase: (state) -> which of several optimizers is in use; peak_lr: (state, the recipe's peak rate) -> its own;
    eval_params: (state, params) -> the parameters that are evaluated.
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
