"""Optimizers from functions that take the learning rate first: Optax's by name, and user-defined ones."""

import inspect
from collections.abc import Callable
from functools import cache, partial
from types import ModuleType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from gradlab.numerics.tree import StackedAxes, Tree
from gradlab.parts.optimizers.contract import Optimizer, OptimizerContext, Update
from gradlab.recipe.errors import RecipeError, hint

# Optax's rules that look at a whole array at once: a stack of layers is given to them layer by layer.
_BY_ARRAY = frozenset("adafactor fromage lamb lars muon novograd sm3".split())

MakeTransformation = Callable[[Array | float], optax.GradientTransformation]  # from the learning rate


def from_function(make: MakeTransformation) -> Optimizer:
    """The optimizer of a function (learning rate) -> optax.GradientTransformation."""
    name = getattr(getattr(make, "func", make), "__name__", "")
    rule = _FunctionRule(make, by_array=name in _BY_ARRAY)
    return Optimizer(rule.init, rule.update, eval_params=_eval_params)


class _FunctionRule(NamedTuple):
    """A transformation that is made anew at every step, with the learning rate in use.

    Its state is a pair: of the rule on all parameters together, and of the rule mapped over the layers of the stacked
    arrays (() where there are none, as always unless `by_array`).
    """

    make: MakeTransformation
    by_array: bool

    def split(self, tree: Tree, stacked_axes: StackedAxes) -> tuple[Tree, Tree]:
        """The leaves that the rule may see whole, and those that it is given layer by layer."""
        stacked = {path: value for path, value in tree.items() if self.by_array and stacked_axes[path]}
        return {path: value for path, value in tree.items() if path not in stacked}, stacked

    def init(self, params: Tree, stacked_axes: StackedAxes) -> Any:
        """The state before the first step."""
        rule, (single, stacked) = self.make(1.0), self.split(params, stacked_axes)
        return rule.init(single), (jax.vmap(rule.init)(stacked) if stacked else ())

    def update(self, grads: Tree, state: Any, params: Tree, context: OptimizerContext) -> tuple[Update, Any]:
        """The rule's own update, so that the step size is 1 and the direction is what it subtracts."""
        rule = optax.with_extra_args_support(self.make(context.learning_rate))
        single_grads, stacked_grads = self.split(grads, context.stacked_axes)
        single_params, stacked_params = self.split(params, context.stacked_axes)
        loss_of = lambda single: context.objective.loss(single | stacked_params)
        updates, single = rule.update(
            single_grads, state[0], single_params, value=context.loss, grad=single_grads, value_fn=loss_of
        )
        stacked = state[1]
        if stacked_grads:
            stacked_updates, stacked = jax.vmap(rule.update)(stacked_grads, stacked, stacked_params)
            updates = {**updates, **stacked_updates}
        direction = {path: -value for path, value in updates.items()}
        # a rule may return other dtypes than it was given; a loop's state must keep its own
        after = jax.tree.map(lambda old, new: jnp.asarray(new).astype(old.dtype), state, (single, stacked))
        return Update(direction, jnp.ones(())), after


def _eval_params(state: Any, params: Tree) -> Tree:
    """The parameters, or the average that a schedule-free rule is evaluated at."""
    single = state[0]
    if isinstance(single, optax.contrib.ScheduleFreeState):
        return dict(optax.contrib.schedule_free_eval_params(single, params))
    return params


def optax_function(name: str) -> MakeTransformation:
    """The function that `optax:lamb` names, also where it stands in optax.contrib.

    Raises:
        RecipeError: Optax has no optimizer of this name.
    """
    names = _optimizer_names()
    word = name.partition(":")[2].removeprefix("contrib.")
    if word not in names:
        raise RecipeError(f"optimizer={name}: Optax has no optimizer '{word}'{hint(word, names)}")
    module = optax if _is_optimizer(optax, word) else optax.contrib
    make: MakeTransformation = getattr(module, word)
    return make


@cache
def _optimizer_names() -> frozenset[str]:
    """The names of all optimizers that Optax has."""
    return frozenset(
        name for module in (optax, optax.contrib) for name in dir(module) if _is_optimizer(module, name)
    )


def _is_optimizer(module: ModuleType, name: str) -> bool:
    """Whether the module has a function of this name whose first parameter is a learning rate."""
    function = getattr(module, name, None)
    if name.startswith("_") or not (inspect.isroutine(function) or isinstance(function, partial)):
        return False
    return next(iter(inspect.signature(function).parameters), "").endswith("learning_rate")
