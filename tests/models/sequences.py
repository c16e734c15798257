"""A sequence network without training around it: its gradients, and what its taps measured."""

from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradlab.data.task import Form
from gradlab.engine.seed_programs import numbers_for
from gradlab.engine.setup import make_setup
from gradlab.nn import chain
from gradlab.recipe.recipe import Recipe, numbers
from tests.driver import recipe

Tree = dict[str, Any]


class Seen(NamedTuple):
    """The loss and its gradient; log2 of the cotangents' norms by layer, and by (layer, 2, time)."""

    loss: float
    grads: Tree
    signal: Any
    times: Any
    notes: dict[str, np.ndarray]


class Network:
    """A recipe's chain for one form of the data."""

    def __init__(self, the: Recipe, form: Form) -> None:
        self.recipe, self.form = the, form
        self._grad = jax.jit(self._gradient, static_argnums=3)
        self._run = jax.jit(self._output, static_argnums=2)

    def setup(self, **changes: float) -> Any:
        """All parts; model__radius changes model.radius."""
        named = {key.replace("__", "."): value for key, value in changes.items()}
        return make_setup(
            self.recipe, numbers_for(numbers(self.recipe) | named, self.recipe.dtype), self.form
        )

    def start(self, seed: int = 0, **changes: float) -> Tree:
        """The parameters that gradlab draws."""
        return jax.jit(lambda key: chain.initialize(self.setup(**changes).chain, key)[0])(
            jax.random.key(seed)
        )

    def random(self, seed: int = 0, scale: float = 0.3) -> Tree:
        """Parameters with nothing special in them."""
        rng = np.random.default_rng([7, seed])
        shapes = jax.eval_shape(lambda: self.start())
        draw = lambda leaf: jnp.asarray(scale * rng.standard_normal(leaf.shape), leaf.dtype)
        return {path: draw(leaf) for path, leaf in sorted(shapes.items())}

    def run(self, params: Tree, x: Any, train: bool = False) -> np.ndarray:
        """The output."""
        return np.asarray(self._run(params, jnp.asarray(x), train))

    def _output(self, params: Tree, x: Any, train: bool) -> Any:
        blocks = self.setup().chain
        stats = chain.initialize(blocks, jax.random.key(0))[1]
        return chain.forward(blocks, params, stats, x, jax.random.key(0), train=train)[0]

    def loss_and_grads(self, params: Tree, x: Any, u: Any, measured: bool = True) -> Seen:
        """One backward pass of ⟨u, output⟩."""
        value, grads, back, notes = self._grad(params, jnp.asarray(x), jnp.asarray(u), measured)
        times = np.concatenate([np.asarray(part) for part in back.time]) if measured and back.time else None
        signal = np.asarray(back.signal) if measured else None
        told = {name: np.asarray(value) for name, value in notes.items()}
        return Seen(float(value), jax.tree.map(np.asarray, grads), signal, times, told)

    def _gradient(self, params: Tree, x: Any, u: Any, measured: bool) -> Any:
        blocks = self.setup().chain
        stats = chain.initialize(blocks, jax.random.key(0))[1]
        zeros = chain.dummies(blocks, params)
        options: dict[str, Any] = {"measure": lambda signal: dict(signal.metrics)} if measured else {}

        def objective(params: Tree, probes: Any) -> Any:
            given = probes if measured else None
            key = jax.random.key(0)
            out, _, told = chain.forward(blocks, params, stats, x, key, train=True, dummies=given, **options)
            notes = {name: value for part in told if part for name, value in part.items()}
            return jnp.vdot(out, u), notes

        (value, notes), found = jax.value_and_grad(objective, (0, 1), has_aux=True)(params, zeros)
        return value, found[0], chain.backward_norms(blocks, found[1], 1) if measured else None, notes


@lru_cache
def network(words: tuple[str, ...], form: Form) -> Network:
    """One network; small where the words do not say otherwise."""
    return Network(recipe("probe=[forward]", "width=8", "depth=1", *words), form)
