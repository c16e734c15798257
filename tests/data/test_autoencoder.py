"""data.target=input: the targets of any task with numbers are its inputs."""

import numpy as np
import pytest

from gradlab.analysis.verdicts import diagnose
from gradlab.data.task import Task, data
from gradlab.engine.tasks import load_task
from gradlab.recipe.errors import RecipeError
from gradlab.recipe.recipe import folder_name
from gradlab.report.summary import describe
from gradlab.store.read import open_run
from tests.recipes import launch, recipe

ENCODER = "data.target=input"


def images() -> Task:
    """A few images with labels, of two channels."""
    x = np.random.default_rng(0).standard_normal((12, 3, 2, 2)).astype(np.float32)
    y = np.arange(12, dtype=np.int32) % 2
    return Task("synthetic: mine", x[:8], y[:8], x[8:], y[8:], 2)


@pytest.mark.parametrize("name", ["digits", "diabetes", "shapes", "adding", f"{__name__}:images"])
def test_the_targets_are_the_inputs_as_vectors(name):
    plain, encoder = (
        load_task(recipe(f"data={name}", "batch_size=4", "loss=mse", *words)) for words in ((), (ENCODER,))
    )
    for x, before, y in (
        (encoder.train_x, plain.train_x, encoder.train_y),
        (encoder.test_x, plain.test_x, encoder.test_y),
    ):
        np.testing.assert_array_equal(x, before)
        assert y.shape == (len(x), x[0].size)
        np.testing.assert_array_equal(y[1], x[1].ravel())
    assert (encoder.outputs, encoder.metric) == (encoder.train_y.shape[1], "r2")
    assert encoder.source == f"{plain.source}; the targets are the inputs"


def test_the_loss_is_mse_unless_another_is_chosen():
    assert recipe(ENCODER).loss["name"] == "mse"
    assert recipe(ENCODER, "loss=l1").loss["name"] == "l1"
    assert recipe().loss["name"] == "cross_entropy"
    with pytest.raises(RecipeError, match="loss=cross_entropy needs class labels"):
        load_task(recipe(ENCODER, "loss=cross_entropy"))


@pytest.mark.parametrize("name", ["prose", "copy_memory", "reverse", "topics"])
def test_tokens_and_labels_per_step_are_refused_in_a_line(name):
    with pytest.raises(RecipeError, match=r"data\.target=input needs inputs of numbers") as refused:
        load_task(recipe(f"data={name}", ENCODER))
    assert "\n" not in str(refused.value)


def test_another_target_is_refused():
    with pytest.raises(RecipeError, match=r"data\.target=labels is not known"):
        recipe("data.target=labels")


def test_a_recipe_of_the_task_s_own_targets_keeps_its_folder():
    assert (
        folder_name(recipe()) == folder_name(recipe("data.target=task")) == "mlp-d20-tanh-orthogonal-a68811f3"
    )
    assert folder_name(recipe(ENCODER)) != "mlp-d20-tanh-orthogonal-a68811f3"


def test_the_target_of_a_table_is_still_a_column():
    assert data.check({"name": "csv", "path": "a.csv", "target": "input", "drop": [], "kind": "auto",
                       "words": "refuse", "seed": 0, "test_fraction": 0.2})["target"] == "input"  # fmt: skip
    assert recipe("data=csv", "data.path=a.csv", ENCODER).loss["name"] == "cross_entropy"


def test_a_linear_autoencoder_reaches_the_variance_of_its_principal_components(tmp_path):
    """R² of the best linear network of k hidden units is the share of the k largest eigenvalues, over the mean's."""
    words = (ENCODER, "model=linear", "depth=2", "width=6", "optimizer=adam", "lr=0.01", "batch_size=0")
    outcome = launch(
        recipe(*words, "steps=400", "eval.every=400", "log.every=200", f"outputs={tmp_path}", "snapshot=[]")
    )
    run = open_run(outcome.folder)
    task = load_task(recipe(ENCODER))
    centred = task.train_y.astype(float) - task.train_y.mean(0)
    values = np.linalg.eigvalsh(centred.T @ centred)[::-1]
    best = values[:6].sum() / values.sum()
    reached = float(run.steps.train_r2.dropna().iloc[-1])
    assert best - 0.05 < reached <= best + 1e-3
    assert "digits target input" in describe(run.recipe)
    assert diagnose(run).training.metric == "R²"
