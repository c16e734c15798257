"""Every data option gives what a Task is described to be."""

import numpy as np
import pytest

from gradlab.data.task import data, has_labels, scored_count
from tests.data.made import FILES, made

NAMES = sorted(set(data.makers) - {"hf", "single"})  # hf has tests of its own; single is one example, no set
DRAWN = sorted(set(NAMES) - set(FILES))
# sequences and images are standardized over their places too; these are as the literature has them
RAW = {"adding", "gaussian", "teacher", "garch"}


@pytest.fixture(scope="module")
def task(request, tmp_path_factory):
    name = request.param  # made once for all that is asked of it
    return name, made(name, **(FILES[name](tmp_path_factory.mktemp(name)) if name in FILES else {}))


each = pytest.mark.parametrize("task", NAMES, indirect=True, scope="module")


@each
def test_inputs_have_a_form_and_a_kind_that_networks_take(task):
    _, made = task
    for x in (made.train_x, made.test_x):
        assert x.shape[1:] == made.form.shape
        if made.vocabulary:
            assert x.dtype == np.int32
            assert x.ndim == 2
            assert 0 <= x.min() <= x.max() < made.vocabulary
        else:
            assert x.dtype == np.float32
            assert x.ndim in (2, 3, 4)
            assert np.isfinite(x).all()


@each
def test_targets_are_labels_or_numbers_that_fit_the_outputs(task):
    _, made = task
    assert len(made.train_x) == len(made.train_y)
    assert len(made.test_x) == len(made.test_y)
    for y in (made.train_y, made.test_y):
        if has_labels(y):
            assert y.dtype == np.int32
            assert y.ndim == (2 if made.form.label_per_step else 1)
            assert -1 <= y.min() <= y.max() < made.outputs
            assert scored_count(y) > 0
            assert made.metric in ("accuracy", "balanced_accuracy", "bits")
        else:
            assert y.dtype == np.float32
            assert y.shape == (len(y), made.outputs)
            assert np.isfinite(y).all()
            assert made.metric == "r2"


@each
def test_the_source_says_whether_it_is_real(task):
    name, made = task
    word = "file: " if name in FILES else "real: " if made.source.startswith("real: ") else "synthetic: "
    assert made.source.startswith(word)
    assert "\n" not in made.source


@each
def test_inputs_are_standardized_by_the_training_part(task):
    name, made = task
    if made.vocabulary or name in RAW:
        return
    axes = 0 if name in ("digits", "sequential_digits") else tuple(range(made.train_x.ndim - 1))
    mean, deviation = (getattr(made.train_x.astype(np.float64), one)(axes) for one in ("mean", "std"))
    np.testing.assert_allclose(mean, 0, atol=1e-5)  # float32 of numbers near 1
    assert np.all((np.abs(deviation - 1) < 1e-4) | (deviation < 1e-3))  # or constant


@each
def test_no_test_example_is_trained_on(task):
    name, made = task
    if name in ("csv", "parquet"):  # rows of a user's may be equal
        return
    seen = {row.tobytes() for row in made.train_x}
    shared = sum(row.tobytes() in seen for row in made.test_x)
    assert shared == 0


@pytest.mark.parametrize("name", DRAWN)
def test_the_same_seed_gives_the_same_examples_and_another_others(name):
    first, again, other = made(name, seed=3), made(name, seed=3), made(name, seed=4)
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, two)
    assert not np.array_equal(first.train_x, other.train_x)


@pytest.mark.parametrize("name", DRAWN)
def test_a_default_set_is_small(name):
    small = made(name)
    assert 100 < len(small.train_x) <= 5000
    assert small.train_x.nbytes + small.test_x.nbytes < 50e6


@pytest.mark.parametrize("name", sorted(name for name in DRAWN if "train" in data.parameters(name)))
def test_so_many_examples_are_made_as_asked_for(name):
    few = made(name, train=40, test=20)
    assert (len(few.train_y), len(few.test_y)) == (40, 20)
