"""A run is prepared once: data is made once for a grid, and what is wrong is found before anything is written."""

from functools import wraps

import jax.numpy as jnp
import numpy as np
import pytest

from gradlab.data.digits import digits
from gradlab.data.task import data
from gradlab.engine import compiled
from gradlab.engine.loop import load_run
from gradlab.engine.prepare import prepare
from gradlab.engine.tasks import MOST_KEPT, task_loader
from gradlab.recipe.errors import RecipeError
from gradlab.recipe.recipe import folder_name
from tests.recipes import TINY, recipe


@pytest.fixture
def made(monkeypatch):
    """The parts of `data=digits` that were made, in order."""
    calls = []

    @wraps(digits)
    def counted(seed, test_fraction):
        calls.append(seed)
        return digits(seed, test_fraction)

    monkeypatch.setitem(data.makers, "digits", counted)
    return calls


def test_a_grid_s_data_is_made_once(made):
    load = task_loader()
    runs = [prepare(recipe(*TINY, f"lr={lr}"), load) for lr in (0.1, 0.2, 0.3)]
    assert made == []
    tasks = [run.task for run in runs]
    assert [run.layout.names for run in runs] == [["input", "hidden 1", "hidden 2", "output"]] * 3
    assert made == [0]
    assert tasks[0] is tasks[1] is tasks[2]


def test_a_loader_keeps_a_few_data_sets(made):
    load = task_loader()
    for seed in [*range(MOST_KEPT + 1), MOST_KEPT, 0]:
        load(recipe(*TINY, f"data.seed={seed}"))
    assert made == [*range(MOST_KEPT + 1), 0]


def test_what_does_not_fit_is_refused_for_each_recipe_on_the_same_data(made):
    load = task_loader()
    assert load(recipe(*TINY))
    with pytest.raises(RecipeError, match="batch_size=5000 is larger than the training set of digits"):
        load(recipe(*TINY, "batch_size=5000"))
    assert made == [0]


def test_it_knows_its_folder_and_what_to_remark(tmp_path):
    run = prepare(recipe(*TINY, f"outputs={tmp_path}", "study=mine", "schedule=cosine", "schedule.warmup=20"))
    assert run.folder == tmp_path / "mine" / folder_name(run.recipe)
    assert any("warm-up" in remark for remark in run.remarks)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("lr_factors={hidn/*:0}",), "lr_factors: 'hidn/\\*' matches no parameter"),
        (("activation=tests.engine.test_prepare:odd",), "activation=.*:odd does not fit: ZeroDivisionError"),
    ],
)
def test_what_building_the_network_finds_wrong_is_refused(words, message):
    with pytest.raises(RecipeError, match=message):
        _ = prepare(recipe(*TINY, *words)).layout


def odd(z):
    return 1 // 0


def test_runs_that_differ_in_numbers_share_a_layout_and_the_data_on_the_device():
    load = task_loader()
    words = [
        ("lr=0.1",),
        ("lr=0.2", "seed=3", "steps=5"),
        ("width=9",),
        ("snapshots.recurrent_spectrum.every=2",),
    ]
    first, second, wider, rarer = (prepare(recipe(*TINY, *more), load) for more in words)
    assert first.layout is second.layout
    assert first.layout is not wider.layout
    assert (first.layout.row_bytes, rarer.layout.snapshots["recurrent_spectrum"].every) == (
        second.layout.row_bytes,
        2,
    )
    loaded = [load_run(run) for run in (first, second, wider)]
    assert loaded[0].data is loaded[1].data is loaded[2].data
    assert [run.numbers["lr"] for run in loaded[:2]] == [np.float32(0.1), np.float32(0.2)]
    compiled.release()
    assert prepare(recipe(*TINY), load).layout is not first.layout


def test_other_data_and_another_precision_are_other_arrays():
    load = task_loader()
    whole, other, half = (
        load_run(prepare(recipe(*TINY, *more), load)).data
        for more in ((), ("data.seed=1",), ("dtype=bfloat16", "data.seed=1"))
    )
    assert not np.array_equal(whole.train_x, other.train_x)
    assert half.train_x.dtype == jnp.bfloat16
    assert np.array_equal(half.train_x, other.train_x.astype(jnp.bfloat16))
