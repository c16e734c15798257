"""An mlp of several widths: its blocks, against plain JAX; what it is equal to; what refuses a list."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab
from gradlab.commands.compose.grid import grid
from gradlab.recipe.errors import RecipeError
from gradlab.recipe.recipe import folder_name, plain
from gradlab.report.summary import describe
from gradlab.store.read import Run
from gradlab.theory.mlp import unavailable
from tests.driver import batch, driver
from tests.recipes import recipe

WIDTHS = "width=[8,6,6,6,3]"
NAMES = ["input", "hidden 1", "hidden 2", "hidden 3", "hidden 4", "output"]


def given(word: str) -> str:
    """The tests' driver names a depth, which has to agree."""
    return f"depth={word.count(',')}"


def layers_of(params) -> list[tuple]:
    """(kernel, bias) of every layer in order; the second and third hidden ones are a stack."""
    taken = []
    for name in ("input", "hidden 1", "hidden 2", "hidden 4", "output"):
        kernel, bias = (params[f"{name}/linear/{part}"] for part in ("kernel", "bias"))
        taken += zip(kernel, bias, strict=True) if kernel.ndim == 3 else [(kernel, bias)]
    return taken


def loss_from(signals, layers, y, start):
    """The mean cross-entropy of the network from the output of block `start` on."""
    h = signals
    for index, (kernel, bias) in enumerate(layers[start + 1 :], start + 1):
        h = h @ kernel + bias
        h = h if index == len(layers) - 1 else jnp.tanh(h)
    return jnp.mean(jax.nn.logsumexp(h, -1) - h[jnp.arange(len(y)), y])


def test_every_layer_is_as_plain_jax_has_it():
    found = driver(WIDTHS, given(WIDTHS))
    state = found.random()
    x, y = batch()
    layers = layers_of(state.params)
    assert [kernel.shape for kernel, _ in layers] == [(9, 8), (8, 6), (6, 6), (6, 6), (6, 3), (3, 4)]
    taken, h = found.train_step(state, (x, y)), x
    assert found.layout.names == NAMES
    for index, (kernel, bias) in enumerate(layers):
        h = h @ kernel + bias
        h = h if index == 5 else jnp.tanh(h)
        forward = np.log10(np.linalg.norm(h) / np.sqrt(h.size))
        gradient = jax.grad(lambda h, at=index: loss_from(h, layers, y, at))(h)
        backward = np.log10(np.sqrt(len(x)) * np.linalg.norm(gradient))
        assert taken.layers["log10_forward"][index] == pytest.approx(forward, abs=1e-5)
        assert taken.layers["log10_backward"][index] == pytest.approx(backward, abs=1e-5)


def test_a_pattern_names_a_layer_inside_a_stack():
    found = driver(WIDTHS, given(WIDTHS), "lr_factors={hidden 3/*: 0.0, hidden 4/*: 0.0}", "freeze=[input/*]")
    state = found.random()
    after = found.train_step(state, batch()).state.params
    moved = [
        bool((a != b).any()) for (a, _), (b, _) in zip(layers_of(state.params), layers_of(after), strict=True)
    ]
    assert moved == [False, True, True, False, False, True]


def test_equal_widths_are_one_number():
    one, many = recipe("width=8", "depth=2"), recipe("width=[8,8,8]")
    assert (many.width, many.depth) == (8, 2)
    assert folder_name(one) == folder_name(many)


def test_a_grid_of_lists_and_numbers_runs_and_can_be_told_apart(tmp_path):
    cells = grid(["width=[8,4],[4,4,4],[8,4,4]", "steps=2", f"outputs={tmp_path}"], multirun=True)
    assert [(cell.width, cell.depth) for cell in cells.recipes] == [((8, 4), 1), (4, 2), ((8, 4, 4), 2)]
    assert len({folder_name(cell) for cell in cells.recipes}) == 3


@pytest.mark.few(1)
@pytest.mark.parametrize(
    "words",
    [
        ("activation=crelu",),
        ("normalization=group", "normalization.groups=2"),
        ("model.branch=2",),
        ("dropout=0.1",),
    ],
)
def test_other_parts_fit_every_width(words):
    found = driver("width=[8,6,6,4]", "depth=3", *words)
    assert np.isfinite(found.train_step(found.start(), batch()).steps["loss"])


REFUSED = {
    ("model=cnn",): "only model=mlp takes a list",
    ("residual=plain",): "residual=plain adds signals of one width",
    ("depth=5",): "width=[8,4] is the input block and 1 hidden ones, got depth=5",
    ("normalization=group", "normalization.groups=8"): "normalization.groups=8 does not divide the 4 units",
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_does_not_fit_is_refused_in_a_line(words):
    with pytest.raises(RecipeError) as refused:
        recipe("width=[8,4]", *words)
    assert REFUSED[words] in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("words", ["width=[8]", "width=[]", "width=[8,0]", "width=[8,2.5]", "width=[8,[4]]"])
def test_a_list_has_two_whole_numbers_or_more(words):
    with pytest.raises(RecipeError, match="must be a whole number from 1"):
        recipe(words)


def test_a_stored_run_tells_its_widths_and_has_no_theory(tmp_path):
    run = gradlab.run("width=[8,4]", "snapshot=[]", steps=2, outputs=str(tmp_path), probe="backward")
    assert "width 8,4" in describe(run.recipe)
    assert unavailable(run.recipe) == "no mean-field theory for layers of different widths"
    assert run.layers.name.unique().tolist() == ["input", "hidden 1", "output"]
    assert gradlab.load(tmp_path).name.nunique() == 3


@pytest.mark.slow
def test_runs_of_different_lists_can_be_grouped_by_their_choices(tmp_path):
    choices = [
        Run(tmp_path, plain(recipe(word)), {}).choices for word in ("width=[8,4]", "width=[4,8]", "width=4")
    ]
    assert {one["width"] for one in choices} == {"[8, 4]", "[4, 8]", 4}
    assert all(hash(value) is not None for one in choices for value in one.values())
