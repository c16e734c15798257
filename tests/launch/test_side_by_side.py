"""Runs of equal structure side by side in one program, as on an accelerator: each is what it is alone."""

import math
import os
import signal

import numpy as np
import pytest

from gradlab.engine.prepare import prepare
from gradlab.launch import batch, side_by_side
from gradlab.launch.batch import run_batch
from gradlab.launch.run import Refused
from gradlab.recipe.recipe import folder_name
from gradlab.store import lock
from gradlab.store.read import open_run
from gradlab.store.status import read_status
from tests.recipes import launch, tiny

MANY = ("lr=0.1", "lr=0.5", "seed=3", "lr=0.2 seeds=3", "lr=1e38 clip.threshold=1e30", "clip.threshold=0.1")
WORDS = ("clip=norm", "optimizer=momentum")


@pytest.fixture
def accelerated(monkeypatch):
    monkeypatch.setattr(batch, "_on_accelerator", lambda recipe: True)


def recipes(place, *more):
    return [tiny(place, *WORDS, *words.split(), *more) for words in MANY]


def same(left, right):
    """Equal up to the last bits; what is null, NaN or infinite is so in both."""
    assert list(left.columns) == list(right.columns)
    for name in left.columns:
        if left[name].dtype.kind != "f" and not str(left[name].dtype).startswith("float"):
            assert left[name].equals(right[name]), name
            continue
        assert left[name].isna().equals(right[name].isna()), name
        ours, theirs = (np.asarray(side[name].to_numpy(float, na_value=np.nan)) for side in (left, right))
        np.testing.assert_allclose(ours, theirs, rtol=2e-4, atol=2e-5, err_msg=name)


def facts(status):
    """What does not depend on how a run was trained."""
    skipped = ("seconds", "compile_seconds", "memory_mib", "started", "files", "digest", "flops_per_step")
    return {key: value for key, value in status.items() if key not in skipped}


def test_each_run_has_the_rows_that_it_has_alone(tmp_path, accelerated):
    together = run_batch(recipes(tmp_path / "together"))
    for result, recipe in zip(together, recipes(tmp_path / "alone"), strict=True):
        alone = launch(recipe)
        assert (result.state, result.message) == (alone.state, alone.message)
        ours, theirs = open_run(result.folder), open_run(alone.folder)
        for table in ("layers", "steps", "parameters"):
            rows = getattr(ours, table), getattr(theirs, table)
            if (
                alone.state == "diverged"
            ):  # sums of numbers near the largest overflow in one order and not in another
                rows = tuple(side[side.step == 0] for side in rows)
            same(*rows)
        assert facts(ours.status) == facts(theirs.status)
        # side by side both branches of a choice are computed
        assert ours.status["flops_per_step"] == pytest.approx(theirs.status["flops_per_step"], rel=0.05)
    assert [result.state for result in together][4] == "diverged"  # its neighbours are not touched


@pytest.mark.slow
def test_one_program_trains_them(tmp_path, accelerated, monkeypatch):
    lanes = []
    fuse = side_by_side.side_by_side
    monkeypatch.setattr(side_by_side, "side_by_side", lambda runs: lanes.append(len(runs)) or fuse(runs))
    run_batch(recipes(tmp_path))
    assert lanes == [5]  # three seeds are another structure
    run_batch(recipes(tmp_path))
    assert lanes == [5]  # they are done


def test_slices_are_of_what_one_program_can_train(tmp_path, monkeypatch):
    given = [
        tiny(tmp_path, *words.split())
        for words in ("lr=0.1", "steps=9", "lr=0.2", "data.test_fraction=0.4", "depth=3", "seed=4", "seeds=2")
    ]
    assert side_by_side.slices(given) == [[0, 2, 5], [1], [3], [4], [6]]
    monkeypatch.setattr(side_by_side, "MOST_LANES", 2)
    assert side_by_side.slices(given) == [[0, 2], [5], [1], [3], [4], [6]]
    launch(given[2], None)
    assert [2] in side_by_side.slices(given)  # it has rows, from which it would go on


def test_a_run_that_fails_takes_no_other_along(tmp_path, accelerated, monkeypatch):
    given = recipes(tmp_path)[:3]
    take = side_by_side._take

    def fails(lane, chunk):
        if lane.prepared.recipe == given[1]:
            raise OSError(28, "No space left on device")
        take(lane, chunk)

    monkeypatch.setattr(side_by_side, "_take", fails)
    first, second, third = run_batch(given)
    assert (first.state, second.state, third.state) == ("finished", "failed", "finished")
    assert second.storage
    assert "No space left on device" in second.message


@pytest.mark.slow
def test_a_run_in_use_is_refused_and_the_others_run(tmp_path, accelerated):
    given = recipes(tmp_path)[:3]
    folder = prepare(given[1]).folder
    folder.mkdir(parents=True)
    with lock.hold(folder):
        results = run_batch(given)
    assert isinstance(results[1], Refused)
    assert "is being written by process" in results[1].message
    assert [results[0].state, results[2].state] == ["finished", "finished"]


def test_where_memory_does_not_suffice_they_are_halved(tmp_path, accelerated, monkeypatch):
    sizes = []
    compile_run = side_by_side.compile_run

    def limited(run):
        sizes.append(run.lanes)
        if run.lanes > 2:
            raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory")
        return compile_run(run)

    monkeypatch.setattr(side_by_side, "compile_run", limited)
    given = [tiny(tmp_path, f"seed={seed}") for seed in range(5)]
    assert {result.state for result in run_batch(given)} == {"finished"}
    assert sizes == [5, 2, 3, 2]  # then one is left, which is trained alone


@pytest.mark.slow
def test_the_time_of_all_is_over_at_once(tmp_path, accelerated, monkeypatch):
    monkeypatch.setattr(batch, "GRACE", 1000.0)
    given = [tiny(tmp_path, f"seed={seed}", "steps=4000", "eval.every=100") for seed in range(2)]
    results = run_batch(given, time_limit=1e-9)
    assert {result.state for result in results} == {"interrupted"}
    assert {result.signalled for result in results} == {False}
    again = run_batch([tiny(tmp_path, "steps=4000", "eval.every=100", "seed=0")])
    assert again[0].state == "finished"


@pytest.mark.slow
def test_a_signal_interrupts_all(tmp_path, accelerated, monkeypatch):
    take, calls = side_by_side._take, []

    def sends(lane, chunk):
        calls.append(chunk)
        if len(calls) == 5:
            os.kill(os.getpid(), signal.SIGTERM)
        take(lane, chunk)

    monkeypatch.setattr(side_by_side, "_take", sends)
    given = [tiny(tmp_path, f"seed={seed}", "steps=400", "eval.every=10") for seed in range(2)]
    results = run_batch(given)
    assert {result.state for result in results} == {"interrupted"}
    assert all(result.signalled for result in results)
    assert all(0 < read_status(result.folder)["steps_done"] < 400 for result in results)
    monkeypatch.setattr(side_by_side, "_take", take)
    assert {result.state for result in run_batch(given)} == {"finished"}
    alone = launch(tiny(tmp_path / "alone", "seed=0", "steps=400", "eval.every=10"))
    same(open_run(results[0].folder).steps, open_run(alone.folder).steps)


def test_no_run_is_named_like_another(tmp_path):
    assert len({folder_name(recipe) for recipe in recipes(tmp_path)}) == len(MANY)
    assert math.isinf(side_by_side.Clock([], 0.0, math.inf).deadline)
