"""One optimizer until its phase ends, then another: Adam first, then SGD (SWATS, Keskar & Socher 2017)."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from gradlab.numerics.tree import StackedAxes, Tree
from gradlab.parts.optimizers.contract import (
    GradientEstimator,
    Objective,
    Optimizer,
    OptimizerContext,
    Update,
)
from gradlab.parts.optimizers.registry import optimizer
from gradlab.recipe.bounds import Positive, bound
from gradlab.recipe.errors import RecipeError

ENDS = ("until_step", "until_loss", "until_plateau")
SMOOTHING = 0.9  # what the loss's running mean keeps per step: ends look at it, not at single batches
# no phases within phases; whether a step sees all examples is a matter of the whole run; Optax's have their own names
NO_PHASE = {"phases", "gd", "optax"}
_positive = bound(Positive)

PhaseOptions = dict[str, Any]  # {optimizer: adam, lr: 0.01, until_step: 250, …}


@dataclass(frozen=True)
class PhaseList:
    """The bound of a list of phases, each `{optimizer: adam, lr: 0.01, until_step: 250, …}`."""

    def __str__(self) -> str:
        return "a list of phases, [{optimizer: adam, lr: 0.01, until_step: 250}, {optimizer: sgd, lr: 0.1}]"

    def check(self, key: str, value: Any) -> list[PhaseOptions]:
        """The phases, with every number in its bounds.

        Raises:
            RecipeError: fewer than two phases, an optimizer that is not known, a number out of its bounds, an end that
                is missing or one too many, or steps that do not grow.
        """
        if not isinstance(value, list) or len(value) < 2 or not all(isinstance(item, dict) for item in value):
            raise RecipeError(f"{key}={value} must be {self}")
        phases = [self._check_phase(f"{key} {number}", dict(item)) for number, item in enumerate(value, 1)]
        for number, phase in enumerate(phases, 1):
            ends = [end for end in ENDS if end in phase]
            if len(ends) != (number < len(phases)):
                needed = f"one of {', '.join(ENDS)}" if number < len(phases) else "no end, it is the last"
                raise RecipeError(
                    f"{key} {number} ({phase['optimizer']}) needs {needed}; got {ends or 'none'}"
                )
        steps = [phase["until_step"] for phase in phases if "until_step" in phase]
        if steps != sorted(set(steps)):
            raise RecipeError(f"{key}: until_step must grow from phase to phase, got {steps}")
        return phases

    def _check_phase(self, key: str, phase: PhaseOptions) -> PhaseOptions:
        name = phase.pop("optimizer", None)
        if not isinstance(name, str) or name in NO_PHASE or "name" in phase:
            names = ", ".join(sorted(optimizer.makers.keys() - NO_PHASE))
            raise RecipeError(
                f"{key} needs an optimizer of its own: optimizer: one of {names}, or optax:NAME"
            )
        phase_keys = [word for word in ("lr", *ENDS) if word in phase]
        phase_values = {word: _positive.check(f"{key} {word}", phase.pop(word)) for word in phase_keys}
        try:
            part = optimizer.check({"name": name, **phase})
        except RecipeError as error:
            raise RecipeError(f"{key}: {error}") from None
        return {"optimizer": part.pop("name"), **phase_values, **part}


class PhasesState(NamedTuple):
    """Which phase is in use and for how long, the smoothed loss and its lowest value, and each optimizer's own state.

    All but `states` are scalars; `since` counts the steps since the lowest smoothed loss of this phase.
    """

    phase: Array
    evals_so_far: Array
    smooth: Array
    best: Array
    since: Array
    states: tuple[Any, ...]


@optimizer
def phases(
    phases: Annotated[list[PhaseOptions], PhaseList()], memory: Literal["fresh", "carried"]
) -> Optimizer:
    """Each phase's optimizer until the phase ends, at its own `lr` (else the recipe's), times the schedule.

    Ends: `until_step`, `until_loss` (the smoothed loss is below), `until_plateau` (that many steps without a new
    lowest smoothed loss). memory=fresh: an optimizer's state begins with its phase; carried: it has seen every
    gradient before.
    """
    phased = _PhasedOptimizer(phases, [_make(phase) for phase in phases], memory == "carried")
    estimator = GradientEstimator(
        phased.estimate_gradient,
        evals=max(rule.evals_per_step for rule in phased.rules),
        gradient_free=all(rule.gradient_free for rule in phased.rules),
    )
    return Optimizer(
        phased.init,
        phased.update,
        estimator=estimator if any(rule.estimator for rule in phased.rules) else None,
        begin_step=phased.begin_step,
        evals_so_far=lambda state: state.evals_so_far,
        phase=lambda state: state.phase,
        peak_lr=phased.peak_lr,
        eval_params=phased.eval_params,
    )


def _make(phase: PhaseOptions) -> Optimizer:
    numbers = {key: value for key, value in phase.items() if key not in ("optimizer", "lr", *ENDS)}
    rule: Optimizer = optimizer.make({"name": phase["optimizer"], **numbers})
    return rule


class _PhasedOptimizer(NamedTuple):
    """The options and the optimizer of each phase, and whether an optimizer sees the gradients before its phase.

    Its methods are an Optimizer's hooks. What the phase in use does is one branch of a `lax.switch`.
    """

    options: list[PhaseOptions]
    rules: list[Optimizer]
    carried: bool

    def init(self, params: Tree, stacked_axes: StackedAxes) -> PhasesState:
        """The state before the first step: the first phase, with no loss seen."""
        zero, infinite = jnp.zeros((), jnp.int32), jnp.full((), jnp.inf, jnp.float32)
        return PhasesState(
            phase=zero,
            evals_so_far=zero,
            smooth=infinite,
            best=infinite,
            since=zero,
            states=tuple(rule.init(params, stacked_axes) for rule in self.rules),
        )

    def begin_step(
        self, state: PhasesState, step: Array, loss: Array, params: Tree, stacked_axes: StackedAxes
    ) -> PhasesState:
        """The state with this step's loss, and a fresh state for the optimizer whose phase begins (not if carried)."""
        after = _next_phase(self.options, state, step, loss)
        if self.carried:
            return after
        states = tuple(
            jax.lax.cond(
                (after.phase == index) & (state.phase != index),
                partial(rule.init, params, stacked_axes),
                partial(_identity, rule_state),
            )
            for index, (rule, rule_state) in enumerate(zip(self.rules, state.states, strict=True))
        )
        return after._replace(states=states)

    def estimate_gradient(
        self, params: Tree, state: PhasesState, grads: Tree, key: Array, objective: Objective
    ) -> tuple[Tree, PhasesState]:
        """The estimate of the phase in use; `grads` where its optimizer needs none."""
        branches = self._branches(self._estimate_in_phase, params, state.states, grads, key, objective)
        estimate, states = jax.lax.switch(state.phase, branches)
        return estimate, state._replace(states=states)

    def _estimate_in_phase(
        self,
        index: int,
        params: Tree,
        states: tuple[Any, ...],
        grads: Tree,
        key: Array,
        objective: Objective,
    ) -> tuple[Tree, tuple[Any, ...]]:
        estimator = self.rules[index].estimator
        if estimator is None:
            return grads, states
        gradient, after = estimator.estimate(params, states[index], grads, key, objective)
        return gradient, (*states[:index], after, *states[index + 1 :])

    def update(
        self, grads: Tree, state: PhasesState, params: Tree, context: OptimizerContext
    ) -> tuple[Update, PhasesState]:
        """The update of the phase in use, scaled already: optimizers differ in step size and decay."""
        branches = self._branches(self._update_in_phase, grads, state.states, params, context)
        direction, decay, states = jax.lax.switch(state.phase, branches)
        evals = jnp.array([rule.evals_per_step for rule in self.rules], jnp.int32)[state.phase]
        after = state._replace(states=states, evals_so_far=state.evals_so_far + evals)
        return Update(direction, jnp.ones(()), decay), after

    def _update_in_phase(
        self, index: int, grads: Tree, states: tuple[Any, ...], params: Tree, context: OptimizerContext
    ) -> tuple[Tree, Tree, tuple[Any, ...]]:
        after, update = list(states), Update({})
        for other, rule in enumerate(self.rules):
            if other == index or self.carried:
                others_update, after[other] = rule.update(grads, after[other], params, context)
                update = others_update if other == index else update
        decay = {path: jnp.zeros_like(w) for path, w in params.items()} | (update.decay or {})
        return update.scaled_direction(context.learning_rate), decay, tuple(after)

    def _branches(self, in_phase: Callable[..., Any], *arguments: Any) -> list[Callable[[], Any]]:
        """`in_phase(index, *arguments)` of every phase, to be called without arguments."""
        return [partial(in_phase, index, *arguments) for index in range(len(self.rules))]

    def peak_lr(self, state: PhasesState, lr: Array | float) -> Array:
        """The phase's own peak rate, else the recipe's, `lr`."""
        return jnp.stack([jnp.asarray(phase.get("lr", lr)) for phase in self.options])[state.phase]

    def eval_params(self, state: PhasesState, params: Tree) -> Tree:
        """The parameters that the phase in use is evaluated at."""
        branches = [
            partial(rule.eval_params, rule_state, params)
            for rule, rule_state in zip(self.rules, state.states, strict=True)
        ]
        return dict(jax.lax.switch(state.phase, branches))


def _identity(x: Any) -> Any:
    return x


def _next_phase(phases: list[PhaseOptions], state: PhasesState, step: Array, loss: Array) -> PhasesState:
    """The state at this step: its loss in the running mean, and the next phase where this one has ended."""
    loss = loss.astype(jnp.float32)
    smooth = jnp.where(jnp.isinf(state.smooth), loss, SMOOTHING * state.smooth + (1 - SMOOTHING) * loss)
    improves = smooth < state.best
    since = jnp.where(improves, 0, state.since + 1)
    reached: dict[str, Callable[[Any], Array]] = {
        "until_step": lambda limit: step >= limit,
        "until_loss": lambda limit: smooth < limit,
        "until_plateau": lambda limit: since >= limit,
    }
    # each phase has one end, the last has none
    ended = [next((reached[end](phase[end]) for end in ENDS if end in phase), False) for phase in phases]
    ends = jnp.stack([jnp.asarray(flag) for flag in ended])[state.phase]
    best = jnp.where(ends, smooth, jnp.minimum(smooth, state.best))
    return state._replace(
        phase=state.phase + ends.astype(jnp.int32),
        smooth=smooth,
        best=best,
        since=jnp.where(ends, 0, since),
    )


def remarks(part: dict[str, Any], steps: int) -> list[str]:
    """One sentence per phase that a run of this many steps does not reach the end of."""
    late = [phase for phase in part.get("phases", []) if phase.get("until_step", 0) >= steps > 0]
    return [
        f"{phase['optimizer']} until_step={phase['until_step']:g} is not reached in {steps} steps"
        for phase in late
    ]
