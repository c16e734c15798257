"""`freeze`: parameters that are not trained have no part in anything but the measurements."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradlab.commands.compose.grid import grid
from gradlab.engine.loop import load_run, train
from gradlab.engine.prepare import prepare
from gradlab.engine.rows import columns
from gradlab.engine.setup import Frozen
from gradlab.recipe.errors import RecipeError
from tests.recipes import recipe

LR = 0.05
WORDS = (
    "depth=3",
    "width=8",
    "steps=6",
    "eval.every=6",
    "batch_size=16",
    f"lr={LR}",
    "penalty=l2",
    "probe=[gradient]",
    "snapshot=[]",
)
FREEZE = "freeze=[input/*,hidden 2/*,output/linear/bias]"
WHOLE = ("input/linear/kernel", "input/linear/bias", "output/linear/bias")


def trained(*words):
    """The parameters before and after, the optimizer's state, and the tables of the first chunk of steps."""
    run = load_run(prepare(recipe(*WORDS, *words)))
    chunks = list(train(run))
    params = [{path: np.asarray(value)[0] for path, value in chunk.state.params.items()} for chunk in chunks]
    first = next(chunk for chunk in chunks if chunk.kind.name == "STEPS")
    return params[0], params[-1], chunks[-1].state.optimizer, columns(first, run.layout)


@pytest.mark.slow
@pytest.mark.parametrize("words", [("optimizer=adamw", "clip=norm"), ("optimizer=sam", "clip=agc")])
def test_frozen_parameters_keep_every_bit_and_have_no_state(words):
    before, after, optimizer, _ = trained(FREEZE, *words)
    for path in WHOLE:
        np.testing.assert_array_equal(after[path], before[path])
    for path in ("hidden/linear/kernel", "hidden/linear/bias"):
        np.testing.assert_array_equal(after[path][1], before[path][1])
        assert (after[path][[0, 2]] != before[path][[0, 2]]).any()
    assert not _of_whole_arrays(optimizer)


def _of_whole_arrays(optimizer):
    """What an optimizer's state holds for the arrays that are frozen as a whole."""
    kept = [
        jax.tree_util.keystr(path)
        for path, leaf in jax.tree_util.tree_leaves_with_path(optimizer)
        if leaf.ndim > 1
    ]
    assert kept
    return [name for name in kept if any(path in name for path in WHOLE)]


def test_a_clipped_step_is_the_formula_s():
    """float64: g_t + strength·w of what is trained, its norm at most c, its update; the gradient from a free step."""
    exact = ("dtype=float64", "steps=1", "eval.every=1")
    with jax.enable_x64(True):
        before, after, *_ = trained(*exact, "penalty=none")
        start, end, optimizer, tables = trained(
            *exact, FREEZE, "penalty.strength=0.3", "clip=norm", "clip.threshold=0.5", "optimizer=momentum"
        )
    assert not _of_whole_arrays(optimizer)
    free = {path: (before[path] - after[path]) / LR for path in before}
    loss_grads, grads = {}, {}
    for path, w in start.items():
        np.testing.assert_array_equal(w, before[path])
        rows = np.ones(len(w), bool) if path not in WHOLE else np.zeros(len(w), bool)
        if path.startswith("hidden/"):
            rows[1] = False  # layer 2 of the stack
        is_trained = rows.reshape(-1, *[1] * (w.ndim - 1))
        added = 0.3 * w * is_trained * path.endswith("kernel")
        loss_grads[path], grads[path] = free[path] + added, (free[path] + added) * is_trained
    norm, whole = (math.sqrt(sum((g**2).sum() for g in tree.values())) for tree in (grads, loss_grads))
    assert norm > 0.5
    for path, g in grads.items():
        np.testing.assert_allclose(end[path], start[path] - LR * g * 0.5 / norm, rtol=1e-11, atol=1e-13)
    stored = {
        name: float(np.ravel(tables["steps"][name])[0]) for name in ("log10_unclipped", "log10_gradient")
    }
    assert stored == pytest.approx({"log10_unclipped": math.log10(norm), "log10_gradient": math.log10(whole)})


def test_what_is_frozen_is_put_back_before_a_loss_is_asked_for():
    """Of an optimizer that moves all layers of a stack, as a random search does."""
    frozen = Frozen({"hidden/w": np.array([[True], [False]]), "input/w": np.array(True)})
    params = {"input/w": jnp.zeros(2), "hidden/w": jnp.zeros((2, 3)), "output/w": jnp.zeros(1)}
    moved = frozen.merged(
        params, jax.tree.map(lambda w: w + 1, {path: params[path] for path in ("hidden/w", "output/w")})
    )
    assert {path: w.shape for path, w in frozen.only_trained(params).items()} == {
        "hidden/w": (1, 3),
        "output/w": (1,),
    }
    expected = {"input/w": [0, 0], "hidden/w": [[0, 0, 0], [1, 1, 1]], "output/w": [1]}
    assert {path: w.tolist() for path, w in moved.items()} == expected


@pytest.mark.slow
def test_without_a_clip_it_is_a_factor_of_zero():
    _, frozen, *_ = trained(FREEZE)
    _, still, *_ = trained("lr_factors={input/*:0.0,hidden 2/*:0.0,output/linear/bias:0.0}")
    for path, value in still.items():
        np.testing.assert_allclose(frozen[path], value, rtol=1e-5, atol=1e-7, err_msg=path)


@pytest.mark.slow
def test_a_gradient_free_optimizer_leaves_frozen_arrays_alone():
    before, after, *_ = trained("freeze=[input/*]", "optimizer=spsa")
    np.testing.assert_array_equal(after["input/linear/kernel"], before["input/linear/kernel"])
    assert (after["output/linear/kernel"] != before["output/linear/kernel"]).any()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("freeze=*",), r"freeze=\* leaves no parameter to train; give steps=0"),
        (("freeze=[inptu/*]",), "freeze: 'inptu/.' matches no parameter"),
    ],
)
def test_what_freezes_nothing_or_everything_is_refused(words, message):
    with pytest.raises(RecipeError, match=message):
        _ = prepare(grid((*WORDS, *words)).recipes[0]).layout


def test_all_may_be_frozen_where_nothing_is_trained():
    assert prepare(recipe(*WORDS, "freeze=*", "steps=0")).layout.names[0] == "input"
