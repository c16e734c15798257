"""Every data option gives what a Task is described to be."""

import numpy as np
import pytest

from gradlab.data.task import data, has_labels, scored_count
from tests.data.tasks import FILES, make_task

NAMES = sorted(set(data.makers) - {"hf", "single"})  # hf has tests of its own; single is one example, no set
DRAWN = sorted(set(NAMES) - set(FILES))
# sequences and images are standardized over their places too; these are as the literature has them
RAW = {"adding", "gaussian", "teacher", "garch"}


@pytest.fixture(scope="module")
def task(request, tmp_path_factory):
    name = request.param  # made once for all that is asked of it
    return name, make_task(name, **(FILES[name](tmp_path_factory.mktemp(name)) if name in FILES else {}))


each = pytest.mark.parametrize("task", NAMES, indirect=True, scope="module")


@each
def test_inputs_have_a_form_and_a_kind_that_networks_take(task):
    _, TASK = task
    for x in (TASK.train_x, TASK.test_x):
        assert x.shape[1:] == TASK.form.shape
        if TASK.vocabulary:
            assert x.dtype == np.int32
            assert x.ndim == 2
            assert 0 <= x.min() <= x.max() < TASK.vocabulary
        else:
            assert x.dtype == np.float32
            assert x.ndim in (2, 3, 4)
            assert np.isfinite(x).all()


@each
def test_targets_are_labels_or_numbers_that_fit_the_outputs(task):
    _, TASK = task
    assert len(TASK.train_x) == len(TASK.train_y)
    assert len(TASK.test_x) == len(TASK.test_y)
    for y in (TASK.train_y, TASK.test_y):
        if has_labels(y):
            assert y.dtype == np.int32
            assert y.ndim == (2 if TASK.form.label_per_step else 1)
            assert -1 <= y.min() <= y.max() < TASK.outputs
            assert scored_count(y) > 0
            assert TASK.metric in ("accuracy", "balanced_accuracy", "bits")
        else:
            assert y.dtype == np.float32
            assert y.shape == (len(y), TASK.outputs)
            assert np.isfinite(y).all()
            assert TASK.metric == "r2"


@each
def test_the_source_says_whether_it_is_real(task):
    name, TASK = task
    word = "file: " if name in FILES else "real: " if TASK.source.startswith("real: ") else "synthetic: "
    assert TASK.source.startswith(word)
    assert "\n" not in TASK.source


@each
def test_inputs_are_standardized_by_the_training_part(task):
    name, TASK = task
    if TASK.vocabulary or name in RAW:
        return
    axes = 0 if name in ("digits", "sequential_digits") else tuple(range(TASK.train_x.ndim - 1))
    mean, deviation = (getattr(TASK.train_x.astype(np.float64), one)(axes) for one in ("mean", "std"))
    np.testing.assert_allclose(mean, 0, atol=1e-5)  # float32 of numbers near 1
    assert np.all((np.abs(deviation - 1) < 1e-4) | (deviation < 1e-3))  # or constant


@each
def test_no_test_example_is_trained_on(task):
    name, TASK = task
    if name in ("csv", "parquet"):  # rows of a user's may be equal
        return
    seen = {row.tobytes() for row in TASK.train_x}
    shared = sum(row.tobytes() in seen for row in TASK.test_x)
    assert shared == 0


@pytest.mark.parametrize("name", DRAWN)
def test_the_same_seed_gives_the_same_examples_and_another_others(name):
    first, again, other = make_task(name, seed=3), make_task(name, seed=3), make_task(name, seed=4)
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, two)
    assert not np.array_equal(first.train_x, other.train_x)


@pytest.mark.parametrize("name", DRAWN)
def test_a_default_set_is_small(name):
    small = make_task(name)
    assert 100 < len(small.train_x) <= 5000
    assert small.train_x.nbytes + small.test_x.nbytes < 50e6


@pytest.mark.parametrize("name", sorted(name for name in DRAWN if "train" in data.parameters(name)))
def test_so_many_examples_are_made_as_asked_for(name):
    few = make_task(name, train=40, test=20)
    assert (len(few.train_y), len(few.test_y)) == (40, 20)
