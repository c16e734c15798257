"""Optimizers that look for their gradient elsewhere: beside θ (SAM), or by losses alone (SPSA, evolution).

What they find goes the usual way: penalty, clip, update. The measured gradients stay those of back-propagation.
"""

from importlib.util import find_spec
from typing import Any, Literal

import jax
import jax.flatten_util
import jax.numpy as jnp
import optax
from jax import Array

from gradlab.numerics import norms
from gradlab.numerics.tree import StackedAxes, Tree
from gradlab.parts.optimizers.rules import Objective, Optimizer, Update, momentum, optimizer, sgd
from gradlab.recipe.bounds import Positive, Share, Size
from gradlab.recipe.errors import RecipeError

Strategy = Literal["open_es", "sep_cma_es", "snes", "pgpe"]


@optimizer
def sam(rho: Positive, decay: Share) -> Optimizer:
    """Momentum with the gradient at θ + rho·g/‖g‖, the worst place near (Foret et al. 2021): two gradients a step.

    g is the data loss's. Optax has it as a wrapper, `optax.contrib.sam`, whose norm is not safe beyond float32.
    """

    def estimate_gradient(
        params: Tree, state: Any, grads: Tree, key: Array, batch: Objective
    ) -> tuple[Tree, Any]:
        length, exponent = norms.log2_norms(grads, dict.fromkeys(grads, 0)).global_norm
        there = jnp.where(length > 0, rho / jnp.where(length > 0, length, 1), 0.0)
        up = {path: norms.scale(g, -exponent) * there.astype(g.dtype) for path, g in grads.items()}
        return batch.gradient({path: w + up[path] for path, w in params.items()}), state

    return momentum(decay)._replace(estimate_gradient=estimate_gradient, evals_per_step=2)


@optimizer
def spsa(perturbation: Positive, pairs: Size) -> Optimizer:
    """g = (L(θ + cΔ) − L(θ − cΔ))/(2c)·Δ with Δ = ±1 at random, the mean of so many pairs (Spall 1992).

    Two losses a pair whatever the number of parameters P; an unbiased gradient but for c², with P times its noise.
    """

    def estimate_gradient(
        params: Tree, state: Any, grads: Tree, key: Array, batch: Objective
    ) -> tuple[Tree, Any]:
        def one(total: Tree, key: Array) -> tuple[Tree, None]:
            keys = dict(zip(params, jax.random.split(key, len(params)), strict=True))
            delta = {path: jax.random.rademacher(keys[path], w.shape, w.dtype) for path, w in params.items()}
            ends = [{path: w + s * perturbation * delta[path] for path, w in params.items()} for s in (1, -1)]
            slope = (batch.loss(ends[0]) - batch.loss(ends[1])) / (2 * perturbation * pairs)
            return {path: total[path] + slope.astype(w.dtype) * w for path, w in delta.items()}, None

        nothing = jax.tree.map(jnp.zeros_like, params)
        return jax.lax.scan(one, nothing, jax.random.split(key, pairs))[0], state

    return sgd()._replace(estimate_gradient=estimate_gradient, gradient_free=True, evals_per_step=2 * pairs)


_EVOSAX = {"open_es": "Open_ES", "sep_cma_es": "Sep_CMA_ES", "snes": "SNES", "pgpe": "PGPE"}


def _available(population: int, **others: Any) -> None:
    if population % 2:
        raise RecipeError(f"optimizer.population={population} must be even: samples come in pairs")
    if find_spec("evosax") is None:
        raise RecipeError(
            "optimizer=es needs the package evosax: pip install 'gradlab-jax[evolution]'; optimizer=spsa needs none"
        )


@optimizer.checked(_available)
def es(strategy: Strategy, population: Size, sigma: Positive) -> Optimizer:
    """An evolution strategy of evosax: a population about θ, at first of deviation sigma, judged by losses alone.

    g = θ − the mean that the strategy would go to at its own rate 1: lr=1 is the strategy itself. OpenAI's
    (Salimans et al. 2017) keeps sigma; separable CMA-ES, SNES and PGPE adapt it, entry by entry.
    """

    def rule(params: Tree) -> tuple[Any, Any]:
        from evosax import algorithms  # an extra, and slow to import

        more: dict[str, Any] = {} if strategy == "sep_cma_es" else {"optimizer": optax.sgd(1.0)}
        more |= {"std_schedule": lambda count: sigma} if strategy == "open_es" else {}
        made = getattr(algorithms, _EVOSAX[strategy])(population_size=population, solution=params, **more)
        numbers = made.default_params
        return made, numbers if strategy == "open_es" else numbers.replace(std_init=sigma)

    def init(params: Tree, stacked_axes: StackedAxes) -> Any:
        made, numbers = rule(params)
        return made.init(jax.random.key(0), params, numbers)

    def estimate_gradient(
        params: Tree, state: Any, grads: Tree, key: Array, batch: Objective
    ) -> tuple[Tree, Any]:
        made, numbers = rule(params)
        # θ may have gone another way than the strategy's mean: by the rate, a clip, a penalty
        here = state.replace(mean=jax.flatten_util.ravel_pytree(params)[0])
        ask, tell = jax.random.split(key)
        people, here = made.ask(ask, here, numbers)
        after, _ = made.tell(tell, people, jax.vmap(batch.loss)(people), here, numbers)
        mean = made.get_mean(after)
        same = jax.tree.map(lambda old, new: jnp.asarray(new, old.dtype), state, after)
        return {path: w - mean[path] for path, w in params.items()}, same

    # the strategy's memory is the optimizer's: what follows is the plain step
    return sgd()._replace(
        init=init,
        update=lambda grads, state, params, given: (Update(grads), state),
        estimate_gradient=estimate_gradient,
        gradient_free=True,
        evals_per_step=population,
    )
