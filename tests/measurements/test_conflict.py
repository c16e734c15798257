"""Cosine of the gradients of two losses against NumPy in float64, and the task that has two."""

import jax
import numpy as np
import pytest

from gradlab.data.multi import multi
from gradlab.recipe.errors import RecipeError
from tests.measurements.snapshot_inputs import computed, inputs
from tests.recipes import TINY

SMALL = ("data=multi", "depth=2", "width=6", "batch_size=16", "dtype=float64")


def test_it_is_the_cosine_of_the_two_gradients():
    with jax.enable_x64(True):
        given = inputs(SMALL)
        got = computed("conflict", SMALL)

        def gradient(head):
            error = lambda params: ((given.outputs(params) - given.y)[:, head] ** 2).mean()
            return {path: np.asarray(g) for path, g in jax.grad(error)(given.params).items()}

        a, b = gradient(slice(0, 10)), gradient(slice(10, 13))
    flat = [np.concatenate([g.ravel() for g in tree.values()]) for tree in (a, b)]
    whole = flat[0] @ flat[1] / np.prod([np.linalg.norm(v) for v in flat])
    assert float(got["network_task_cosine"]) == pytest.approx(whole, abs=1e-9)
    first, second = (tree["hidden/linear/kernel"][0].ravel() for tree in (a, b))
    expected = first @ second / np.linalg.norm(first) / np.linalg.norm(second)
    assert float(got["task_cosine"][1]) == pytest.approx(expected, abs=1e-9)


def test_the_output_layer_is_not_shared():
    """Each loss has its own columns of the last kernel: their gradients are orthogonal."""
    with jax.enable_x64(True):
        got = computed("conflict", SMALL)
    assert float(got["task_cosine"][-1]) == pytest.approx(0, abs=1e-12)


def test_a_task_with_one_loss_is_refused():
    with pytest.raises(RecipeError, match="there is one loss; choose a task of two, as data=multi"):
        computed("conflict", TINY)


def test_the_two_tasks_are_the_class_and_the_ink():
    task = multi(seed=0, test_fraction=0.2)
    assert task.heads == (10, 3)
    np.testing.assert_array_equal(task.train_y[:, :10].sum(1), 1)
    np.testing.assert_allclose(task.train_y[:, 10:].mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(task.train_y[:, 10:].std(0), 1, atol=1e-4)
