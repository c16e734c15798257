"""A user's own network: the documents' examples run, weights are kept, and what is wrong is told."""

import re
import shlex
from itertools import pairwise
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import gradlab
from gradlab.commands.main import main
from gradlab.nn import chain
from gradlab.nn.adapters import from_user_build
from gradlab.recipe.errors import RecipeError
from tests.driver import FORM, recipe
from tests.models.planned import plan

TEXT = (Path(__file__).parent.parent.parent / "docs" / "own.md").read_text("utf-8")
FILES = dict(re.findall(r"^```python\n# (\w+\.py)\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL))
LINES = re.findall(r"^gradlab run .*$", TEXT, re.MULTILINE)


@pytest.mark.slow
@pytest.mark.parametrize("line", LINES)
def test_an_example_of_the_documents_runs(line, tmp_path, monkeypatch):
    if "equinox" in line:
        pytest.importorskip("equinox")
    monkeypatch.chdir(tmp_path)
    for name, text in FILES.items():
        Path(name).write_text(text)
    words = [word for word in shlex.split(line)[1:] if not word.startswith(("steps=", "depth="))]
    assert main([*words, "depth=3", "steps=2", "eval.every=2", "quiet=true"]) == 0
    (run,) = [gradlab.load(folder) for folder in Path("outputs").glob("*/*")]
    assert run.layer.nunique() == 5
    assert np.isfinite(run.log10_backward.astype(float)).all()


def dense(params, h):
    return jnp.tanh(h @ params["w"])


def weights(plan, key):
    keys = jax.random.split(key, 4)
    sizes = [plan.features, 8, 8, 8, plan.outputs]
    return [(dense, {"w": jax.random.normal(k, s)}) for k, s in zip(keys, pairwise(sizes), strict=True)]


def test_functions_are_chained_and_equal_neighbours_stacked():
    blocks = from_user_build(weights)(plan())
    assert [(block.name, block.count) for block in blocks] == [
        ("dense", None),
        ("dense_2", 2),
        ("dense_3", None),
    ]
    params, stats = chain.initialize(blocks, jax.random.key(1))
    x = jax.random.normal(jax.random.key(2), (5, FORM.shape[0]))
    found = chain.forward(blocks, params, stats, x, jax.random.key(0), train=True)[0]
    layers = [params["dense/w"], *params["dense_2/w"], params["dense_3/w"]]
    for w in layers:
        x = jnp.tanh(x @ w)
    np.testing.assert_array_equal(found, x)


def test_weights_that_are_given_are_the_start():
    kept = np.arange(9 * 4, dtype=np.float32).reshape(9, 4)
    blocks = from_user_build(lambda plan, key: [(dense, {"w": kept})])(plan())
    params, _ = chain.initialize(blocks, jax.random.key(7))
    np.testing.assert_array_equal(params["dense/w"], kept)


def test_two_blocks_of_one_name_are_numbered_apart():
    def dense_2(params, h):
        return jnp.tanh(h @ params["w"])

    def build(plan, key):
        entries = [dense, dense_2, dense]
        sizes = pairwise([plan.features, 8, 8, plan.outputs])
        return [(function, {"w": jnp.ones(size)}) for function, size in zip(entries, sizes, strict=True)]

    assert [block.name for block in from_user_build(build)(plan())] == ["dense", "dense_2", "dense_3"]


def test_blocks_of_one_name_are_refused():
    block = from_user_build(weights)(plan())[0]
    with pytest.raises(RecipeError, match="two blocks are called dense; give each block a name of its own"):
        from_user_build(lambda plan, key: [block, block])(plan())


MODULES = {
    "nnx": lambda plan, key: nnx.Sequential(
        nnx.Linear(9, 9, rngs=nnx.Rngs(key)),
        nnx.BatchNorm(9, rngs=nnx.Rngs(key)),
        nnx.Linear(9, 4, rngs=nnx.Rngs(key)),
    ),
    "linen": lambda plan, key: [nn.Dense(9), Norm(), nn.Dense(4)],
}


class Norm(nn.Module):
    @nn.compact
    def __call__(self, x, use_running_average: bool):
        return nn.BatchNorm(use_running_average=use_running_average)(x)


@pytest.mark.slow
@pytest.mark.parametrize("kind", MODULES)
def test_batch_statistics_are_of_the_batch_in_training_and_averaged_for_evaluation(kind):
    blocks = from_user_build(MODULES[kind])(plan())
    params, stats = chain.initialize(blocks, jax.random.key(1))
    x = 3 + jax.random.normal(jax.random.key(2), (64, 9))
    _, after, _ = chain.forward(blocks, params, stats, x, jax.random.key(0), train=True)
    assert stats.keys() == after.keys()
    moved = {path for path in stats if not np.array_equal(stats[path], after[path])}
    assert {path.rpartition("/")[2] for path in moved} == {"mean", "var"}
    _, same, _ = chain.forward(blocks, params, stats, x, jax.random.key(0), train=False)
    assert all(np.array_equal(stats[path], same[path]) for path in stats)


@pytest.mark.slow
def test_dropout_of_a_module_is_drawn_anew_and_off_in_evaluation():
    build = lambda plan, key: nnx.Sequential(
        nnx.Linear(9, 4, rngs=nnx.Rngs(key)), nnx.Dropout(0.5, rngs=nnx.Rngs(1))
    )
    blocks = from_user_build(build)(plan())
    params, stats = chain.initialize(blocks, jax.random.key(1))
    x = jnp.ones((50, 9))
    run = lambda key, train: chain.forward(blocks, params, stats, x, jax.random.key(key), train=train)[0]
    assert not np.array_equal(run(0, True), run(1, True))
    np.testing.assert_array_equal(run(0, False), run(1, False))


def anything(plan, key):
    return "a network"


def wide(plan, key):
    return [(dense, {"w": jnp.ones((64, 10))}), (lambda p, h: h[:, None, :] * p, jnp.ones(10))]


WRONG = {
    "anything": "or a module of Flax NNX, Linen, Equinox or Haiku; got str",
    "wide": "does not fit: TypeError: dot_general",
    "tall": "gives outputs of shape (128, 1, 10), and data=digits needs (128, 10)",
    "few": "gives outputs of shape (128, 3), and data=digits needs (128, 10)",
}


def few(plan, key):
    return [(lambda p, x: x.reshape(len(x), -1) @ p, jnp.ones((64, 3)))]


def tall(plan, key):
    flat = lambda p, x: x.reshape(len(x), -1) @ p
    return [(flat, jnp.ones((64, 10))), (lambda p, h: h[:, None, :] * p, jnp.ones(10))]


@pytest.mark.few(2)
@pytest.mark.parametrize("name", WRONG)
def test_a_network_that_does_not_fit_is_told_in_one_line(name, tmp_path, capsys):
    words = ["model=custom", f"model.name={__name__}:{name}", f"outputs={tmp_path}"]
    assert main(["run", *words]) == 2
    said = capsys.readouterr().err
    assert WRONG[name] in said
    assert said.count("\n") == 1
    assert not any(tmp_path.iterdir())


def test_a_custom_network_must_be_named():
    with pytest.raises(RecipeError, match="model=custom needs your function"):
        gradlab.run("model=custom")


@pytest.mark.slow
def test_a_module_without_a_chain_has_parameters_and_is_told_so(tmp_path):
    run = gradlab.run(f"model={__name__}:alone", "steps=2", f"outputs={tmp_path}")
    assert run.layers.name.unique().tolist() == ["Dense_0+Dense_2"]
    assert len(run.parameters.parameter.unique()) == 6
    assert "the network is one block" in run.status["message"]


class Whole(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = x.reshape(len(x), -1)
        h, gate = nn.Dense(16)(x), nn.Dense(16)(x)  # two arrays pass
        return nn.Dense(10)(nn.tanh(h)) * gate.mean()


def alone(plan, key):
    return Whole()


@pytest.mark.slow
def test_a_number_of_one_s_own_is_an_option_and_data():
    assert recipe(f"model={__name__}:scaled", "model.gain=2").model["gain"] == 2.0


def scaled(plan, key, gain: float = 1.0):
    return [(dense, {"w": gain * jnp.ones((plan.features, plan.outputs))})]
