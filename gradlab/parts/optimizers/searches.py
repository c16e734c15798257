"""Optimizers that estimate their gradient: from the gradient elsewhere (SAM), or from losses alone.

The estimate then passes penalty, clip and update like any gradient. The measured gradients stay those of
back-propagation.
"""

from functools import partial
from importlib.util import find_spec
from typing import Any, Literal, NamedTuple

import jax
import jax.flatten_util
import jax.numpy as jnp
import optax
from jax import Array

from gradlab.numerics import norms
from gradlab.numerics.tree import StackedAxes, Tree, select
from gradlab.parts.optimizers.contract import (
    GradientEstimator,
    Objective,
    Optimizer,
    OptimizerContext,
    Update,
)
from gradlab.parts.optimizers.registry import optimizer
from gradlab.parts.optimizers.rules import momentum, sgd
from gradlab.recipe.bounds import Evaluations, Positive, Share
from gradlab.recipe.errors import RecipeError

Strategy = Literal["open_es", "sep_cma_es", "snes", "pgpe"]


@optimizer
def sam(rho: Positive, decay: Share) -> Optimizer:
    """Momentum with the gradient at θ + rho·g/‖g‖, where the loss nearby is largest (Foret et al. 2021).

    Two gradients per step; g is the data loss's. Optax has it as a wrapper, `optax.contrib.sam`, whose norm is not
    right outside float32's range of squares.
    """

    def estimate(params: Tree, state: Any, grads: Tree, key: Array, objective: Objective) -> tuple[Tree, Any]:
        mantissa, exponent = norms.log2_norms(grads, dict.fromkeys(grads, 0)).global_norm
        factor = jnp.where(mantissa > 0, rho / jnp.where(mantissa > 0, mantissa, 1), 0.0)
        ascent = {path: norms.scale(g, -exponent) * factor.astype(g.dtype) for path, g in grads.items()}
        return objective.gradient({path: w + ascent[path] for path, w in params.items()}), state

    return momentum(decay)._replace(estimator=GradientEstimator(estimate, evals=2))


@optimizer
def spsa(perturbation: Positive, pairs: Evaluations) -> Optimizer:
    """g = (L(θ + cΔ) − L(θ − cΔ))/(2c)·Δ with random Δ = ±1, averaged over `pairs` draws of Δ (Spall 1992).

    Two losses per pair whatever the number of parameters P; an unbiased gradient but for c², with P times its noise.
    """

    def estimate(params: Tree, state: Any, grads: Tree, key: Array, objective: Objective) -> tuple[Tree, Any]:
        add_pair = partial(_add_pair, params, objective, perturbation, pairs)
        zeros = jax.tree.map(jnp.zeros_like, params)
        return jax.lax.scan(add_pair, zeros, jax.random.split(key, pairs))[0], state

    return sgd()._replace(estimator=GradientEstimator(estimate, evals=2 * pairs, gradient_free=True))


def _add_pair(
    params: Tree, objective: Objective, perturbation: Array | float, pairs: int, total: Tree, key: Array
) -> tuple[Tree, None]:
    """`total` with one pair's estimate, divided by their number, added."""
    keys = dict(zip(params, jax.random.split(key, len(params)), strict=True))
    delta = {path: jax.random.rademacher(keys[path], w.shape, w.dtype) for path, w in params.items()}
    ends = [{path: w + s * perturbation * delta[path] for path, w in params.items()} for s in (1, -1)]
    slope = (objective.loss(ends[0]) - objective.loss(ends[1])) / (2 * perturbation * pairs)
    return {path: total[path] + slope.astype(d.dtype) * d for path, d in delta.items()}, None


@optimizer
def random_search(sigma: Positive, candidates: Evaluations) -> Optimizer:
    """The best of `candidates` points θ + sigma·ε, ε ~ N(0, 1), is kept where its batch loss is below that of θ.

    g = −sigma·ε of the best one and 0 where none is better, so lr=1 is the search itself (Rastrigin 1963; Solis & Wets
    1981). candidates + 1 losses per step: that of θ counts. A loss of NaN is never better.
    """

    def estimate(params: Tree, state: Any, grads: Tree, key: Array, objective: Objective) -> tuple[Tree, Any]:
        try_one = partial(_better, params, objective, sigma)
        nowhere = jax.tree.map(jnp.zeros_like, params)
        start = (objective.loss(params), nowhere)
        (_, best), _ = jax.lax.scan(try_one, start, jax.random.split(key, candidates))
        return jax.tree.map(jnp.negative, best), state

    return sgd()._replace(estimator=GradientEstimator(estimate, evals=candidates + 1, gradient_free=True))


def _better(
    params: Tree, objective: Objective, sigma: Array | float, best: tuple[Array, Tree], key: Array
) -> tuple[tuple[Array, Tree], None]:
    """The lowest loss so far and its distance from θ, a candidate's among them."""
    keys = dict(zip(params, jax.random.split(key, len(params)), strict=True))
    step = {
        path: (sigma * jax.random.normal(keys[path], w.shape, w.dtype)).astype(w.dtype)
        for path, w in params.items()
    }
    loss = objective.loss({path: w + step[path] for path, w in params.items()})
    return select(loss < best[0], (loss, step), best), None


_EVOSAX = {"open_es": "Open_ES", "sep_cma_es": "Sep_CMA_ES", "snes": "SNES", "pgpe": "PGPE"}


def _check_es(population: int, **others: Any) -> None:
    """Refuse what evosax cannot run.

    Raises:
        RecipeError: the population is odd, or evosax is not installed.
    """
    if population % 2:
        raise RecipeError(f"optimizer.population={population} must be even: samples come in pairs")
    if find_spec("evosax") is None:
        raise RecipeError(
            "optimizer=es needs the package evosax: pip install 'gradlab-jax[evolution]'; optimizer=spsa needs none"
        )


@optimizer.checked(_check_es)
def es(strategy: Strategy, population: Evaluations, sigma: Positive) -> Optimizer:
    """An evolution strategy of evosax: a population around θ, of deviation sigma at first, judged by losses alone.

    g = θ − the mean that the strategy would move to at its own rate 1, so lr=1 is the strategy itself. OpenAI's
    (Salimans et al. 2017) keeps sigma; separable CMA-ES, SNES and PGPE adapt it, entry by entry.
    """
    evolution = _Evolution(strategy, population, sigma)
    # the strategy's state is the optimizer's: what follows the estimate is the plain step
    return sgd()._replace(
        init=evolution.init,
        update=_keep_state,
        estimator=GradientEstimator(evolution.estimate, evals=population, gradient_free=True),
    )


def _keep_state(grads: Tree, state: Any, params: Tree, context: OptimizerContext) -> tuple[Update, Any]:
    return Update(grads), state


class _Evolution(NamedTuple):
    """A strategy of evosax and its numbers."""

    strategy: Strategy
    population: int
    sigma: Any

    def build(self, params: Tree) -> tuple[Any, Any]:
        """evosax's own object for parameters of these shapes, and its hyperparameters."""
        from evosax import algorithms  # an extra, and slow to import

        options: dict[str, Any] = {} if self.strategy == "sep_cma_es" else {"optimizer": optax.sgd(1.0)}
        options |= {"std_schedule": lambda count: self.sigma} if self.strategy == "open_es" else {}
        algorithm = getattr(algorithms, _EVOSAX[self.strategy])
        built = algorithm(population_size=self.population, solution=params, **options)
        numbers = built.default_params
        return built, numbers if self.strategy == "open_es" else numbers.replace(std_init=self.sigma)

    def init(self, params: Tree, stacked_axes: StackedAxes) -> Any:
        """evosax's state, with the parameters as its mean."""
        built, numbers = self.build(params)
        return built.init(jax.random.key(0), params, numbers)

    def estimate(
        self, params: Tree, state: Any, grads: Tree, key: Array, objective: Objective
    ) -> tuple[Tree, Any]:
        """How far one generation moves the mean, and evosax's next state."""
        built, numbers = self.build(params)
        # θ may have moved otherwise than the strategy's mean: by the rate, a clip, a penalty
        state_at_params = state.replace(mean=jax.flatten_util.ravel_pytree(params)[0])
        ask_key, tell_key = jax.random.split(key)
        candidates, sampled = built.ask(ask_key, state_at_params, numbers)
        losses = jax.vmap(objective.loss)(candidates)
        updated, _ = built.tell(tell_key, candidates, losses, sampled, numbers)
        mean = built.get_mean(updated)
        after = jax.tree.map(lambda old, new: jnp.asarray(new, old.dtype), state, updated)
        return {path: w - mean[path] for path, w in params.items()}, after
