"""gradlab's own step on a tiny task, compiled once for a recipe's structure, its row told by names."""

from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradlab.commands.compose.grid import grid
from gradlab.data.task import Form, Task
from gradlab.engine import seed_programs, step
from gradlab.engine.gradients import LossAndGrads, StepContext, loss_and_grads
from gradlab.engine.layout import layout
from gradlab.engine.setup import make_setup
from gradlab.engine.update import TrainState
from gradlab.measurements.row import Row, unpack
from gradlab.recipe.recipe import Recipe, numbers

FEATURES, CLASSES, BATCH = 9, 4, 12
FORM = Form((FEATURES,), 0, CLASSES, False)
SMALL = ("depth=4", "width=8", f"batch_size={BATCH}", "steps=20")
RICH = (
    "activation=gelu",
    "normalization=batch",
    "residual=scaled",
    "penalty=l2",
    "clip=norm",
    "optimizer=adam",
    "dropout=0.2",
)
LINEAR = ("activation=linear", "optimizer=momentum")
Tree = dict[str, Any]


def recipe(*words: str) -> Recipe:
    """The recipe of these words, small where they do not say otherwise."""
    given = {word.partition("=")[0] for word in words}
    small = [word for word in SMALL if word.partition("=")[0] not in given]
    return grid([*small, *words]).recipes[0]


def task(train: int = 43, test: int = 10) -> Task:
    """Random inputs with random labels."""
    rng = np.random.default_rng(3)
    x = rng.standard_normal((train + test, FEATURES)).astype(np.float32)
    y = rng.integers(0, CLASSES, train + test).astype(np.int32)
    return Task("made up", x[:train], y[:train], x[train:], y[train:], CLASSES)


class Taken(NamedTuple):
    """The state after one step, and its row by names; parameters by (layer, name)."""

    state: TrainState
    layers: dict[str, np.ndarray]
    parameters: dict[tuple[int, str], dict[str, float]]
    steps: dict[str, float]


class Driver:
    """One structure, compiled when first asked; the recipe's floats may differ from call to call."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.layout = layout(recipe, task())
        self._train_step = jax.jit(self._step, static_argnums=7)
        self._start = jax.jit(self._initial)
        self._loss_and_grads = jax.jit(self._backward, static_argnums=5)

    def numbers(self, **changes: float) -> dict[str, Any]:
        """The recipe's floats with changes: clip__threshold is clip.threshold."""
        named = {key.replace("__", "."): value for key, value in changes.items()}
        return seed_programs.numbers_for(numbers(self.recipe) | named, self.recipe.dtype)

    def start(self, seed: int = 0, **changes: float) -> TrainState:
        """The state that gradlab's initializer draws."""
        return self._start(self.numbers(**changes), jax.random.key(seed))

    def _initial(self, numbers: dict[str, Any], key: Any) -> TrainState:
        x = task().train_x[: self.recipe.batch_size].astype(self.recipe.dtype)
        return step.init_state(self._setup(numbers), key, jnp.asarray(x))

    def random(self, seed: int = 0, gain: float = 1.2, bias: float = 0.3) -> TrainState:
        """A state with nothing special in it: biases and scales are drawn too."""
        shapes = jax.eval_shape(lambda: self._initial(self.numbers(), jax.random.key(0)))
        rng = np.random.default_rng([11, seed])

        def draw(path: str, shape: tuple[int, ...]) -> np.ndarray:
            if path.endswith("kernel"):
                return gain / np.sqrt(shape[-2]) * rng.standard_normal(shape)
            return (
                rng.uniform(0.5, 1.5, shape) if path.endswith("scale") else bias * rng.standard_normal(shape)
            )

        state = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
        params = {
            path: jnp.asarray(draw(path, leaf.shape), leaf.dtype) for path, leaf in state.params.items()
        }
        stats = {path: leaf + 1.0 * path.endswith("var") for path, leaf in state.stats.items()}
        return state._replace(params=params, stats=stats)

    def train_step(
        self,
        state: TrainState,
        batch: tuple[Any, Any],
        at: int = 0,
        total_steps: int = 20,
        key: int = 0,
        measured: bool = True,
        **changes: float,
    ) -> Taken:
        """One step of gradlab from this state, on this batch."""
        x, y = (jnp.asarray(array) for array in batch)
        time = (jnp.int32(at), jnp.int32(total_steps))
        after, row = self._train_step(
            self.numbers(**changes), state, x, y, jax.random.key(key), *time, measured
        )
        return self._named(after, row) if measured else Taken(after, {}, {}, {})

    def loss_and_grads(
        self, state: TrainState, batch: tuple[Any, Any], measured: bool, key: int = 0
    ) -> LossAndGrads:
        """Loss, gradient and the taps' measurements as the step sees them."""
        x, y = (jnp.asarray(array) for array in batch)
        return self._loss_and_grads(self.numbers(), state, x, y, jax.random.key(key), measured)

    def _setup(self, numbers: dict[str, Any]) -> Any:
        return make_setup(self.recipe, numbers, FORM)

    def context(
        self, numbers: Any, x: Any, y: Any, key: Any, at: Any = 0, total_steps: Any = 20
    ) -> StepContext:
        """What a step is computed from."""
        return StepContext(self._setup(numbers), self.recipe, x, y, key, at, total_steps, False)

    def _step(
        self, numbers: Any, state: Any, x: Any, y: Any, key: Any, at: Any, total_steps: Any, measured: bool
    ) -> Any:
        return step.train_step(self.context(numbers, x, y, key, at, total_steps), state, measured)

    def _backward(self, numbers: Any, state: Any, x: Any, y: Any, key: Any, measured: bool) -> Any:
        return loss_and_grads(self.context(numbers, x, y, key), state.params, state.stats, measured)

    def _named(self, state: TrainState, row: Row) -> Taken:
        columns = unpack(self.layout.columns, row)
        layers = {name: np.array(values, np.float64) for name, values in columns["layers"].items()}
        for slot in self.layout.columns.layers:
            if slot.active:
                layers[slot.name][~self.layout.has_activation] = np.nan
        counts = {slot.name for slot in self.layout.columns.counts}
        entries = {
            name: values if name in counts else values.astype(np.float64)
            for name, values in columns["parameters"].items()
        }
        parameters = {
            (layer, name): {column: values[index] for column, values in entries.items()}
            for index, (layer, name, _) in enumerate(self.layout.entries)
        }
        steps = {name: np.float64(value) for name, value in columns["steps"].items()}
        return Taken(state, layers, parameters, steps)


@lru_cache
def driver(*words: str) -> Driver:
    """One driver a structure, shared by all tests."""
    return Driver(recipe(*words))


def batch(size: int = BATCH, scale: float = 1.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and labels."""
    rng = np.random.default_rng([5, seed])
    x = scale * rng.standard_normal((size, FEATURES))
    return x.astype(np.float32), rng.integers(0, CLASSES, size).astype(np.int32)


def tree(params: Tree) -> Tree:
    """gradlab's parameters as float64 NumPy arrays."""
    return {path: np.asarray(value, np.float64) for path, value in params.items()}


def with_(state: TrainState, **params: Any) -> TrainState:
    """The state with some parameters put in: hidden__linear__kernel is hidden/linear/kernel."""
    changed = {path.replace("__", "/"): jnp.asarray(value, jnp.float32) for path, value in params.items()}
    return state._replace(params=state.params | changed)
