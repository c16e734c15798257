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


class Stability(NamedTuple):
    """How curved a quadratic loss may be for the optimizer to be stable on it at this learning rate.

    limit: of the largest eigenvalue of P^−½ H P^−½, (); preconditioner: the diagonal of P by path, None where P is 1.
    """

    limit: Array
    preconditioner: Tree | None = None


class GradientEstimator(NamedTuple):
    """How a gradient is found otherwise than by back-propagation at θ.

    estimate: (params, state, grads, key, objective) -> (grads, state); `state` is the optimizer's, `grads` the gradient
    by back-propagation, or zeros where the estimator is `gradient_free` and nothing is measured.
    evals: loss evaluations per step, where a gradient counts as one.
    """

    estimate: Callable[[Tree, Any, Tree, Array, Objective], tuple[Tree, Any]]
    evals: int
    gradient_free: bool = False


class Optimizer(NamedTuple):
    """How an update is made of a gradient, and its hooks into the training step; only the first two are needed.

    init: (params, stacked axes) -> state.
    update: (grads, state, params, context) -> (update, state).
    estimator: what finds the gradient, where that is not back-propagation at θ.
    begin_step: (state, step, loss, params, stacked axes) -> state; what a step's number and loss change before it.
    phase: (state) -> which of several optimizers is in use; peak_lr: (state, the recipe's peak rate) -> its own;
    eval_params: (state, params) -> the parameters that are evaluated; evals_so_far: (state) -> loss evaluations before
    this step, where steps cost differently. stability: (state, learning rate) -> its limit, where that is known.
    """

    init: Callable[[Tree, StackedAxes], Any]
    update: Callable[[Tree, Any, Tree, OptimizerContext], tuple[Update, Any]]
    estimator: GradientEstimator | None = None
    begin_step: Callable[[Any, Array, Array, Tree, StackedAxes], Any] = lambda state, *_: state
    phase: Callable[[Any], Array] = lambda state: jnp.zeros((), jnp.int32)
    peak_lr: Callable[[Any, Array | float], Array] | None = None
    eval_params: Callable[[Any, Tree], Tree] = lambda state, params: params
    evals_so_far: Callable[[Any], Array] | None = None
    stability: Callable[[Any, Array], Stability] | None = None

    @property
    def evals_per_step(self) -> int:
        """Loss evaluations of one step, where a gradient counts as one."""
        return 1 if self.estimator is None else self.estimator.evals

    @property
    def gradient_free(self) -> bool:
        """Whether it does not need the gradient by back-propagation."""
        return self.estimator is not None and self.estimator.gradient_free

    def evaluations(self, step: Array, state: Any) -> Array:
        """Loss evaluations before step `step`, whose state is `state`: ()."""
        return step * self.evals_per_step if self.evals_so_far is None else self.evals_so_far(state)
