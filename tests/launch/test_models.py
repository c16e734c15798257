"""Every model there is: its numbers are data, it is measured at every block, and it fits what its file says."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradlab.engine import step
from gradlab.engine.gradients import StepContext
from gradlab.engine.layout import layout
from gradlab.engine.loop import LoadedRun, load_run
from gradlab.engine.prepare import prepare
from gradlab.engine.setup import make_setup
from gradlab.recipe import options
from gradlab.recipe.recipe import STRUCTURAL_FLOATS, numbers
from tests.recipes import recipe

SMALL = {  # what makes an option small enough to trace; the others are small as they are
    "mlp": ["depth=3"],
    "alexnet": ["model.width_mult=0.1"],
    "vgg": ["model.width_mult=0.1", "depth=11"],
    "resnet_imagenet": ["model.width_mult=0.1", "depth=18"],
    "densenet": ["depth=22"],
}
NAMES = [name for name in options.groups()["model"] if name != "custom"]  # custom is a place for one's own


def loaded(name: str, *words: str) -> LoadedRun:
    small = recipe(f"model={name}", "steps=2", "batch_size=2", *SMALL.get(name, []), *words)
    return load_run(prepare(small))


PARTS = [("cnn", "normalization=instance"), *(("point", f"loss={name}") for name in ("quadratic", "ravine"))]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "word"), [*((name, "seed=0") for name in NAMES), *PARTS])
def test_no_number_of_a_model_is_baked_into_its_program(name, word):
    run = loaded(name, word)
    rows = slice(run.recipe.batch_size)
    x, y = run.data.train_x[rows], run.data.train_y[rows]
    time = {"step": jnp.int32(0), "total_steps": jnp.int32(9), "every_probe": False}

    def train_step(numbers: dict) -> object:
        setup = make_setup(run.recipe, numbers, run.task.form)
        state = step.init_state(setup, jax.random.key(0), x)
        context = StepContext(setup, run.recipe, x, y, jax.random.key(1), **time)
        return step.train_step(context, state, measured=True)

    traced = jax.make_jaxpr(train_step)(run.numbers).jaxpr
    read = {id(var) for equation in traced.eqns for var in equation.invars}
    baked = {key for key, var in zip(sorted(run.numbers), traced.invars, strict=True) if id(var) not in read}
    assert not {key for key in baked if key.startswith(("model.", "normalization.", "loss."))}


@pytest.mark.few(2)
@pytest.mark.parametrize("name", NAMES)
def test_every_block_of_a_model_has_a_name_and_its_parameters_a_place(name):
    run = loaded(name)
    found = run.layout
    assert len(set(found.names)) == len(found.names)
    assert {layer for layer, _, _ in found.entries} <= set(range(len(found.names)))
    assert found == layout(run.recipe, run.task)._replace(blocks=found.blocks)


def test_what_decides_shapes_is_no_number():
    wide = recipe("model=resnet", "model.width_mult=0.5")
    assert wide.model["width_mult"] == 0.5
    assert not set(STRUCTURAL_FLOATS) & numbers(wide).keys()


@pytest.mark.slow
def test_a_block_without_kernels_has_no_gradient_and_no_weight(tmp_path):
    """An embedding-free input block holds no parameters: null, and not zero."""
    import gradlab

    words = ["model=rnn", "width=4", "data.train=40", "data.test=10", "data=adding", "data.length=12"]
    run = gradlab.run(*words, "batch_size=8", "steps=2", "eval.every=2", f"outputs={tmp_path}")
    first = run.layers[run.layers.layer == 0]
    assert first.log10_gradient.isna().all()
    assert first.log10_forward.notna().all()
    assert np.isfinite(run.times.log10_backward.astype(float)).all()
