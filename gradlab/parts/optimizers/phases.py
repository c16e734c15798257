"""One optimizer until something happens, then another: Adam first, then SGD (SWATS, Keskar & Socher 2017)."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from gradlab.numerics.tree import StackedAxes, Tree
from gradlab.parts.optimizers.rules import Objective, Optimizer, OptimizerContext, Update, optimizer
from gradlab.recipe.bounds import Positive, bound
from gradlab.recipe.errors import RecipeError

ENDS = ("until_step", "until_loss", "until_plateau")
SMOOTHED = 0.9  # what the loss's running mean keeps a step: triggers look at it, not at single batches
APART = {"phases", "gd", "optax"}  # no phases within phases; all examples at once or not is the whole run's
_positive = bound(Positive)


@dataclass(frozen=True)
class Phases:
    """The bound of a list of phases, each `{optimizer: adam, lr: 0.01, until_step: 250, …}`."""

    def __str__(self) -> str:
        return "a list of phases, [{optimizer: adam, lr: 0.01, until_step: 250}, {optimizer: sgd, lr: 0.1}]"

    def check(self, key: str, value: Any) -> list[dict[str, Any]]:
        """Every phase with an optimizer that is there, its numbers, and an end but for the last."""
        if not isinstance(value, list) or len(value) < 2 or not all(isinstance(one, dict) for one in value):
            raise RecipeError(f"{key}={value} must be {self}")
        found = [self._one(f"{key} {number}", dict(one)) for number, one in enumerate(value, 1)]
        for number, one in enumerate(found, 1):
            ends = [end for end in ENDS if end in one]
            if len(ends) != (number < len(found)):
                wanted = f"one of {', '.join(ENDS)}" if number < len(found) else "no end, it is the last"
                raise RecipeError(f"{key} {number} ({one['optimizer']}) needs {wanted}; got {ends or 'none'}")
        steps = [one["until_step"] for one in found if "until_step" in one]
        if steps != sorted(set(steps)):
            raise RecipeError(f"{key}: until_step must grow from phase to phase, got {steps}")
        return found

    def _one(self, key: str, one: dict[str, Any]) -> dict[str, Any]:
        name = one.pop("optimizer", None)
        if not isinstance(name, str) or name in APART or "name" in one:
            known = ", ".join(sorted(optimizer.makers.keys() - APART))
            raise RecipeError(
                f"{key} needs an optimizer of its own: optimizer: one of {known}, or optax:NAME"
            )
        own = {end: _positive.check(f"{key} {end}", one.pop(end)) for end in ("lr", *ENDS) if end in one}
        try:
            part = optimizer.check({"name": name, **one})
        except RecipeError as error:
            raise RecipeError(f"{key}: {error}") from None
        return {"optimizer": part.pop("name"), **own, **part}


class PhasesState(NamedTuple):
    """Which phase is on and since when, the smoothed loss and its best, and every optimizer's own state."""

    phase: Array
    evals_so_far: Array
    smooth: Array
    best: Array
    since: Array  # steps since the best
    states: tuple[Any, ...]


@optimizer
def phases(phases: Annotated[list, Phases()], memory: Literal["fresh", "carried"]) -> Optimizer:
    """Each phase's optimizer until its end, at its own `lr` (else the recipe's), times the schedule.

    Ends: `until_step`, `until_loss` (the smoothed loss is below), `until_plateau` (so many steps without a new
    least). memory=fresh: an optimizer's state begins with its phase; carried: it has seen every gradient before.
    """
    rules = [_made(phase) for phase in phases]
    searches = any(rule.estimate_gradient for rule in rules)

    def init(params: Tree, stacked_axes: StackedAxes) -> PhasesState:
        none, far = jnp.zeros((), jnp.int32), jnp.full((), jnp.inf, jnp.float32)
        return PhasesState(
            none, none, far, far, none, tuple(rule.init(params, stacked_axes) for rule in rules)
        )

    def begin_step(
        state: PhasesState, step: Array, loss: Array, params: Tree, stacked_axes: StackedAxes
    ) -> PhasesState:
        after = _switched(phases, state, step, loss)
        if memory == "carried":
            return after
        begins = lambda index: (after.phase == index) & (state.phase != index)
        states = tuple(
            jax.lax.cond(
                begins(index), lambda rule=rule: rule.init(params, stacked_axes), lambda own=own: own
            )
            for index, (rule, own) in enumerate(zip(rules, state.states, strict=True))
        )
        return after._replace(states=states)

    def estimate_gradient(
        params: Tree, state: PhasesState, grads: Tree, key: Array, batch: Objective
    ) -> tuple[Tree, PhasesState]:
        def one(index: int) -> Any:
            def branch() -> tuple[Tree, tuple[Any, ...]]:
                find = rules[index].estimate_gradient
                if find is None:
                    return grads, state.states
                found, own = find(params, state.states[index], grads, key, batch)
                return found, _put(state.states, index, own)

            return branch

        found, states = jax.lax.switch(state.phase, [one(index) for index in range(len(rules))])
        return found, state._replace(states=states)

    def update(
        grads: Tree, state: PhasesState, params: Tree, given: OptimizerContext
    ) -> tuple[Update, PhasesState]:
        def one(index: int) -> Any:
            def branch() -> tuple[Tree, Tree, tuple[Any, ...]]:
                states, found = list(state.states), Update({})
                for other, rule in enumerate(rules):
                    if other == index or memory == "carried":
                        move, states[other] = rule.update(grads, states[other], params, given)
                        found = move if other == index else found
                decay = {path: jnp.zeros_like(w) for path, w in params.items()} | (found.decay or {})
                return found.scaled_direction(given.rate), decay, tuple(states)

            return branch

        branches = [one(index) for index in range(len(rules))]
        step, decay, states = jax.lax.switch(state.phase, branches)
        costs = jnp.array([rule.evals_per_step for rule in rules], jnp.int32)
        return Update(step, jnp.ones(()), decay), state._replace(
            states=states, evals_so_far=state.evals_so_far + costs[state.phase]
        )

    def eval_params(state: PhasesState, params: Tree) -> Tree:
        looks = [
            lambda rule=rule, own=own: rule.eval_params(own, params)
            for rule, own in zip(rules, state.states, strict=True)
        ]
        return dict(jax.lax.switch(state.phase, looks))

    return Optimizer(
        init,
        update,
        begin_step=begin_step,
        estimate_gradient=estimate_gradient if searches else None,
        gradient_free=all(rule.gradient_free for rule in rules),
        evals_so_far=lambda step, state: state.evals_so_far,
        phase=lambda state: state.phase,
        peak_lr=lambda state, lr: jnp.stack([jnp.asarray(one.get("lr", lr)) for one in phases])[state.phase],
        eval_params=eval_params,
    )


def remarks(part: dict[str, Any], steps: int) -> list[str]:
    """The phases that a run of so many steps does not reach."""
    late = [one for one in part.get("phases", []) if one.get("until_step", 0) >= steps > 0]
    return [
        f"{one['optimizer']} until_step={one['until_step']:g} is not reached in {steps} steps" for one in late
    ]


def _made(phase: dict[str, Any]) -> Optimizer:
    numbers = {key: value for key, value in phase.items() if key not in ("optimizer", "lr", *ENDS)}
    made: Optimizer = optimizer.make({"name": phase["optimizer"], **numbers})
    return made


def _put(states: tuple[Any, ...], index: int, own: Any) -> tuple[Any, ...]:
    return (*states[:index], own, *states[index + 1 :])


def _switched(phases: list[dict[str, Any]], state: PhasesState, step: Array, loss: Array) -> PhasesState:
    """The state at this step: the loss seen, and the next phase where this one's end has come."""
    loss = loss.astype(jnp.float32)
    smooth = jnp.where(jnp.isinf(state.smooth), loss, SMOOTHED * state.smooth + (1 - SMOOTHED) * loss)
    better = smooth < state.best
    since = jnp.where(better, 0, state.since + 1)
    reached = {
        "until_step": lambda at: step >= at,
        "until_loss": lambda at: smooth < at,
        "until_plateau": lambda at: since >= at,
    }
    # each phase has one end, the last has none
    over = [next((test(one[end]) for end, test in reached.items() if end in one), False) for one in phases]
    ends = jnp.stack([jnp.asarray(one) for one in over])[state.phase]
    fresh = jnp.where(ends, smooth, jnp.minimum(smooth, state.best))
    return state._replace(
        phase=state.phase + ends.astype(jnp.int32), smooth=smooth, best=fresh, since=jnp.where(ends, 0, since)
    )
