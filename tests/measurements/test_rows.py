"""Rows of an embedding against NumPy: which have no gradient, and which no update has moved."""

import jax.numpy as jnp
import numpy as np
import pytest

import gradlab
from gradlab.data.words import RARE, words
from gradlab.engine.prepare import prepare
from gradlab.measurements.probe import probe
from gradlab.recipe.errors import RecipeError
from tests.measurements.test_update_probes import signal
from tests.recipes import TINY, recipe

TEXT = (
    "model=transformer",
    "data=words",
    "data.train=64",
    "data.test=16",
    "data.vocabulary=40",
    "depth=1",
    "width=8",
)
RUN = (*TEXT, "batch_size=8", "steps=6", "eval.every=3")


def test_rows_without_gradient_and_without_update_are_counted():
    (made,) = probe.make({"name": "rows"})
    params = {"input/embedding": jnp.ones((5, 2))}
    grads = {"input/embedding": jnp.array([[0.0, 0.0], [0.0, 1e-30], [0.0, 0.0], [jnp.nan, 0.0], [0.0, 0.0]])}
    moved = {"input/embedding": jnp.array([[0.0, 0.0], [0.0, 1.0], [2.0, 0.0], [jnp.nan, 0.0], [0.0, 0.0]])}
    places = {"layers_of": {"input/embedding": range(1)}, "layers": 2, "kernels": frozenset()}
    axes = {"input/embedding": 0}
    given = signal(norms=None, params=params, grads=grads, direction=moved, stacked_axes=axes, **places)
    state = made.init(params)
    got, state = made.update(given, state)
    assert float(got["zero_gradient_rows"][0]) == pytest.approx(3 / 5)  # a NaN is no zero
    assert float(got["never_updated_rows"][0]) == pytest.approx(2 / 5)
    assert np.isnan(got["zero_gradient_rows"][1])
    got, _ = made.update(given._replace(direction={"input/embedding": jnp.eye(5, 2)}), state)
    assert float(got["never_updated_rows"][0]) == pytest.approx(1 / 5)  # row 0 has moved now


@pytest.mark.parametrize("optimizer", ["sgd", pytest.param("adam", marks=pytest.mark.slow)])
def test_a_run_has_them_and_is_trained_as_without(tmp_path, optimizer):
    run = gradlab.run(*RUN, f"optimizer={optimizer}", "probe=[standard,rows]", f"outputs={tmp_path}")
    plain = gradlab.run(*RUN, f"optimizer={optimizer}", f"outputs={tmp_path}")
    assert run.steps.loss.equals(plain.steps.loss)
    rows = run.layers[((run.layers.layer == 0) & (run.layers.source == "batch")).to_numpy()]
    never = rows.never_updated_rows.dropna().to_numpy(float)
    assert (np.diff(never) <= 0).all()
    assert never[-1] < never[0]
    if optimizer == "sgd":  # a row is updated where it has a gradient
        assert never[0] == pytest.approx(float(rows.zero_gradient_rows.iloc[0]))


def test_a_network_without_an_embedding_is_refused_and_a_set_leaves_it_out():
    with pytest.raises(RecipeError, match="probe=rows: the network has no embedding"):
        _ = prepare(recipe(*TINY, "probe=[standard,rows]")).layout
    assert recipe(*TINY, "probe=all", "snapshot=[]").probes["rows"]["optional"]


def test_rare_words_decide_the_class():
    task = words(seed=0, train=400, test=100, length=12, vocabulary=100, exponent=1.1)
    rare = task.train_x >= 10
    assert (rare.sum(1) == RARE).all()
    # a linear model on the rare words' counts separates the classes
    counts = np.stack([np.bincount(row[row >= 10], minlength=100) for row in task.train_x])
    weights, *_ = np.linalg.lstsq(counts, 2 * task.train_y - 1.0, rcond=None)
    assert ((counts @ weights > 0) == task.train_y).mean() > 0.95
    frequent = np.bincount(task.train_x[~rare], minlength=100)
    assert frequent[0] > 2 * frequent[4] > 0
