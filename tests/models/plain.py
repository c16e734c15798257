"""The mlp of a recipe without training around it: what one forward and backward pass shows, many networks at once."""

from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradlab.data.task import Form
from gradlab.engine import step
from gradlab.engine.seed_programs import numbers_for
from gradlab.engine.setup import make_setup
from gradlab.nn import chain
from gradlab.recipe.recipe import Recipe, numbers
from tests.driver import recipe

SQUARED = 2 * np.log(2)  # log2‖·‖ -> ln‖·‖²


class Seen(NamedTuple):
    """Networks × layers 0 … L+1; backward as ln of the squared norm."""

    backward: np.ndarray
    mean: np.ndarray
    var: np.ndarray


@lru_cache
def made(*words: str) -> Recipe:
    """The recipe of these words; its parts are what the functions below build."""
    return recipe("probe=[forward]", *words)


def passes(*words: str, networks: int = 4, train: bool = True, **changes: float) -> Seen:
    """Random networks as they start, on normal inputs as many as units, with a random cotangent at the output.

    initializer__sigma_w is initializer.sigma_w: numbers that change need no new program.
    """
    the = made(*words)
    named = {key.replace("__", "."): value for key, value in changes.items()}
    given = numbers_for(numbers(the) | named, the.dtype)
    keys = jax.random.split(jax.random.key(0), networks)
    return Seen(*(np.asarray(value, np.float64) for value in _program(the.width, train, words)(keys, given)))


@lru_cache
def _program(size: int, train: bool, words: tuple[str, ...]) -> Any:
    the = made(*words)

    def one(key: jax.Array, given: Any) -> Seen:
        keys = jax.random.split(key, 4)
        x = jax.random.normal(keys[0], (the.batch_size, size))
        parts = make_setup(the, given, Form((size,), 0, size, False))
        start = step.init_state(parts, keys[1], x)
        cotangent = jax.random.normal(keys[2], (the.batch_size, size))

        def product(probes: chain.TapValues) -> Any:
            ask = lambda signal: jnp.stack([signal.h.mean(), signal.h.var()])
            output, _, told = chain.forward(
                parts.chain, start.params, start.stats, x, keys[3], train=train, dummies=probes, measure=ask
            )
            return jnp.vdot(output, cotangent), told

        found, told = jax.grad(product, has_aux=True)(chain.dummies(parts.chain, start.params))
        rows = jnp.concatenate([part.reshape(-1, 2) for part in told])
        back = chain.backward_norms(parts.chain, found, the.batch_size)
        return Seen(back.signal * SQUARED, rows[:, 0], rows[:, 1])

    return jax.jit(lambda keys, given: jax.lax.map(lambda key: one(key, given), keys))
