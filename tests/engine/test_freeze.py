"""`freeze`: parameters that are not trained have no part in anything but the measurements."""

import jax
import numpy as np
import pytest

from gradlab.commands.compose.grid import grid
from gradlab.engine.loop import load_run, train
from gradlab.engine.prepare import prepare
from gradlab.engine.rows import columns
from gradlab.recipe.errors import RecipeError
from tests.recipes import recipe

WORDS = (
    "depth=3",
    "width=8",
    "steps=6",
    "eval.every=6",
    "batch_size=16",
    "lr=0.05",
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


@pytest.mark.few(1)
@pytest.mark.parametrize("words", [("optimizer=adamw", "clip=norm"), ("optimizer=sam", "clip=agc")])
def test_frozen_parameters_keep_every_bit_and_have_no_state(words):
    before, after, optimizer, _ = trained(FREEZE, *words)
    for path in WHOLE:
        np.testing.assert_array_equal(after[path], before[path])
    for path in ("hidden/linear/kernel", "hidden/linear/bias"):
        np.testing.assert_array_equal(after[path][1], before[path][1])
        assert (after[path][[0, 2]] != before[path][[0, 2]]).any()
    kept = [
        jax.tree_util.keystr(path)
        for path, leaf in jax.tree_util.tree_leaves_with_path(optimizer)
        if leaf.ndim > 1
    ]
    assert not any(path in name for path in WHOLE for name in kept)


def test_a_clip_sees_the_norm_of_what_is_trained():
    """Against the norms of a run without freezing: of its first step, by layer and parameter, joined in float64."""
    clip = ("clip=norm", "clip.threshold=1e9")
    *_, frozen = trained(FREEZE, *clip)
    *_, free = trained(*clip)
    table = free["parameters"]
    values, _ = table["log10_gradient"]
    squares = 100.0 ** np.asarray(values)[0, 0].astype(float)
    names = [f"{name}/{parameter}" for name, parameter in zip(table["name"], table["parameter"], strict=True)]
    still = [name.startswith(("input/", "hidden 2/")) or name == "output/linear/bias" for name in names]
    # the penalty is tiny beside the gradient of the data: 1e-4·w
    first = lambda tables, name: float(np.ravel(tables["steps"][name])[0])
    assert first(frozen, "log10_gradient") == pytest.approx(first(free, "log10_gradient"), abs=1e-3)
    expected = np.log10(squares[~np.array(still)].sum()) / 2
    assert first(frozen, "log10_unclipped") == pytest.approx(expected, abs=1e-3)
    assert first(free, "log10_unclipped") == pytest.approx(np.log10(squares.sum()) / 2, abs=1e-3)


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
