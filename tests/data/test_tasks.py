"""Every data option returns a task as the docstring of Task describes it."""

import numpy as np
import pytest

from gradlab.data.task import data, has_labels, scored_count
from tests.data.tasks import FILES, make_task

NAMES = sorted(set(data.makers) - {"hf", "single"})  # hf is tested in test_hub; single is one example
DRAWN = sorted(set(NAMES) - set(FILES))
# these are as in the literature, not standardized
RAW = {"adding", "gaussian", "teacher", "garch"}


@pytest.fixture(scope="module")
def named_task(request, tmp_path_factory):
    name = request.param  # made once per module
    return name, make_task(name, **(FILES[name](tmp_path_factory.mktemp(name)) if name in FILES else {}))


every_task = pytest.mark.parametrize("named_task", NAMES, indirect=True, scope="module")


@pytest.mark.few(6)
@every_task
def test_inputs_have_a_shape_and_a_dtype_that_networks_accept(named_task):
    _, task = named_task
    for x in (task.train_x, task.test_x):
        assert x.shape[1:] == task.form.shape
        if task.vocabulary:
            assert x.dtype == np.int32
            assert x.ndim == 2
            assert 0 <= x.min() <= x.max() < task.vocabulary
        else:
            assert x.dtype == np.float32
            assert x.ndim in (2, 3, 4)
            assert np.isfinite(x).all()


@pytest.mark.few(6)
@every_task
def test_targets_are_labels_or_numbers_that_fit_the_outputs(named_task):
    _, task = named_task
    assert len(task.train_x) == len(task.train_y)
    assert len(task.test_x) == len(task.test_y)
    for y in (task.train_y, task.test_y):
        if has_labels(y):
            assert y.dtype == np.int32
            assert y.ndim == (2 if task.form.label_per_step else 1)
            assert -1 <= y.min() <= y.max() < task.outputs
            assert scored_count(y) > 0
            assert task.metric in ("accuracy", "balanced_accuracy", "bits")
        else:
            assert y.dtype == np.float32
            assert y.shape == (len(y), task.outputs)
            assert np.isfinite(y).all()
            assert task.metric == "r2"


@pytest.mark.few(6)
@every_task
def test_the_source_says_whether_it_is_real(named_task):
    name, task = named_task
    word = "file: " if name in FILES else "real: " if task.source.startswith("real: ") else "synthetic: "
    assert task.source.startswith(word)
    assert "\n" not in task.source


@pytest.mark.few(6)
@every_task
def test_inputs_are_standardized_by_the_training_set(named_task):
    name, task = named_task
    if task.vocabulary or name in RAW:
        return
    axes = 0 if name in ("digits", "sequential_digits") else tuple(range(task.train_x.ndim - 1))
    mean, deviation = (getattr(task.train_x.astype(np.float64), name)(axes) for name in ("mean", "std"))
    np.testing.assert_allclose(mean, 0, atol=1e-5)  # float32 of numbers near 1
    assert np.all((np.abs(deviation - 1) < 1e-4) | (deviation < 1e-3))  # or constant


@pytest.mark.few(6)
@every_task
def test_no_test_example_is_in_the_training_set(named_task):
    name, task = named_task
    if name in ("csv", "parquet"):  # the rows of a user's table may be equal
        return
    train_rows = {row.tobytes() for row in task.train_x}
    shared = sum(row.tobytes() in train_rows for row in task.test_x)
    assert shared == 0


@pytest.mark.few(2)
@pytest.mark.parametrize("name", DRAWN)
def test_equal_seeds_give_equal_examples_and_another_seed_gives_others(name):
    first, again, other = make_task(name, seed=3), make_task(name, seed=3), make_task(name, seed=4)
    for expected, value in zip(first, again, strict=True):
        np.testing.assert_array_equal(value, expected)
    assert not np.array_equal(first.train_x, other.train_x)


@pytest.mark.few(2)
@pytest.mark.parametrize("name", DRAWN)
def test_a_default_set_is_small(name):
    small = make_task(name)
    assert 100 < len(small.train_x) <= 5000
    assert small.train_x.nbytes + small.test_x.nbytes < 50e6


@pytest.mark.few(3)
@pytest.mark.parametrize("name", sorted(name for name in DRAWN if "train" in data.parameters(name)))
def test_the_options_set_the_numbers_of_examples(name):
    few = make_task(name, train=40, test=20)
    assert (len(few.train_y), len(few.test_y)) == (40, 20)
