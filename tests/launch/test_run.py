"""What a run leaves: its states, its rows, and each kind of end."""

import numpy as np
import pytest

from gradlab.data.digits import digits
from gradlab.engine.prepare import prepare
from gradlab.engine.seed_programs import ChunkKind
from gradlab.launch import estimate
from gradlab.launch.seed_tracker import SeedTracker
from gradlab.measurements.columns import VERSION
from gradlab.recipe.errors import RecipeError
from gradlab.store.read import open_run
from gradlab.store.status import read_status, write_status
from tests.launch import stored
from tests.recipes import launch, tiny
from tests.runs import SCHEMAS

WILD = ("lr=1e37", "steps=40")  # tanh nets are hard to break: this takes seed 0 about twenty steps
UPDATES = ["log10_update", "update_lost"]


def steps_of(folder, source="batch"):
    steps = open_run(folder).steps
    return steps[steps.source == source]


def test_a_run_ends_finished_with_its_facts(tmp_path):
    outcome = launch(tiny(tmp_path))
    status = stored.status(outcome.folder)
    assert (outcome.state, outcome.message, outcome.fresh) == ("finished", "", True)
    assert (status["schema"], status["state"], status["steps_done"]) == (VERSION, "finished", 8)
    assert status["parameters"] == 64 * 8 + 8 + 2 * (8 * 8 + 8) + 8 * 10 + 10
    kernels = 64 * 8 + 2 * 8 * 8 + 8 * 10
    assert status["flops_per_step"] > 2 * 16 * (3 * kernels - 64 * 8)  # what is measured takes the rest
    assert {"gradlab", "jax", "python"} <= status["versions"].keys()
    assert status["threads"] >= 1
    assert status["seconds"] > status["compile_seconds"] >= 0
    assert stored.clean(outcome.folder)


def test_rows_are_where_the_schedule_of_looking_puts_them(tmp_path):
    folder = launch(tiny(tmp_path)).folder
    batch, probe = steps_of(folder), steps_of(folder, "probe")
    assert list(batch.step) == list(range(9))
    assert list(probe.step) == [0, 4, 8]
    evaluated = batch[batch.test_loss.notna()]
    assert list(evaluated.step) == [0, 4, 8]
    assert evaluated[["train_loss", "train_accuracy", "test_accuracy"]].notna().all(axis=None)
    assert probe[["train_loss", "test_loss"]].isna().all(axis=None)


def test_rows_that_no_update_follows_have_none(tmp_path):
    run = open_run(launch(tiny(tmp_path)).folder)
    layers, last = run.layers, run.layers.step == 8
    ends = last | (layers.source == "probe")
    assert layers[ends][UPDATES].isna().all(axis=None)
    assert layers[~ends][UPDATES].notna().all(axis=None)
    assert run.steps[run.steps.learning_rate.isna()].step.tolist() == [0, 4, 8, 8]
    assert set(zip(layers.layer, layers.name, strict=True)) == {
        (0, "input"),
        (1, "hidden 1"),
        (2, "hidden 2"),
        (3, "output"),
    }


PACES = [("log.every=7", "eval.every=20", "steps=45"), ("log.every=300", "eval.every=250", "steps=450")]


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("words", PACES)
def test_log_and_evaluation_may_have_any_two_paces(tmp_path, words):
    recipe = tiny(tmp_path, *words)
    folder = launch(recipe).folder
    log, every, last = recipe.log.every, recipe.eval.every, recipe.steps
    evaluated = sorted({*range(0, last, every), last})
    assert list(steps_of(folder).step) == sorted({*range(0, last, log), *evaluated})
    assert list(steps_of(folder, "probe").step) == evaluated
    assert list(steps_of(folder).dropna(subset="test_loss").step) == evaluated


@pytest.mark.slow
def test_no_steps_measure_once(tmp_path):
    folder = launch(tiny(tmp_path, "steps=0")).folder
    run = open_run(folder)
    assert sorted(run.steps.source) == ["batch", "probe"]
    assert set(run.layers.step) == {0}
    assert run.layers[UPDATES].isna().all(axis=None)
    assert run.steps[run.steps.source == "batch"].test_accuracy.notna().all()
    longer = launch(tiny(tmp_path)).folder  # the same network, trained after all
    first = stored.table(longer, "layers").filter(stored.table(longer, "layers")["step"].to_numpy() == 0)
    drop = lambda rows: stored.bits(rows.drop_columns(UPDATES))
    assert drop(first) == drop(stored.table(folder, "layers"))


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_a_batch_may_be_the_whole_training_part(tmp_path):
    size = len(digits(0, 0.2).train_y)
    run = open_run(launch(tiny(tmp_path, f"batch_size={size}")).folder)
    batch, probe = (run.steps[run.steps.source == one] for one in ("batch", "probe"))
    shared = [0, 4, 8]
    losses = [one[one.step.isin(shared)].loss.to_numpy(float) for one in (batch, probe)]
    np.testing.assert_allclose(*losses, rtol=1e-5)  # the same examples in another order
    evaluated = batch[batch.step.isin(shared)].train_loss.to_numpy(float)
    np.testing.assert_allclose(losses[0], evaluated, rtol=1e-5)


@pytest.mark.slow
def test_a_row_of_a_seed_is_that_of_the_seed_alone(tmp_path):
    together = launch(tiny(tmp_path, "seeds=3", "seed=5")).folder
    for seed in (5, 6, 7):
        alone = launch(tiny(tmp_path, f"seed={seed}")).folder
        for name in ("layers", "steps", "parameters"):
            rows = stored.table(together, name)
            mine = rows.filter(rows["seed"].to_numpy() == seed)
            assert stored.bits(mine) == stored.bits(stored.table(alone, name))
        for key, leaf in stored.weights(alone).items():
            assert stored.weights(together)[key][seed - 5].tobytes() == leaf[0].tobytes()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dtype", "words"),
    [
        ("float64", ()),
        pytest.param("float64", ("optimizer=adam",), marks=pytest.mark.slow),
        pytest.param("bfloat16", ("optimizer=adam", "normalization=batch"), marks=pytest.mark.slow),
        pytest.param("float64", ("normalization=batch",), marks=pytest.mark.slow),
    ],
)
@pytest.mark.usefixtures("quick")
def test_other_precisions_run(tmp_path, dtype, words):
    recipe = tiny(tmp_path, f"dtype={dtype}", *words)
    folder = launch(recipe).folder
    losses = steps_of(folder).loss.to_numpy(float)
    assert np.isfinite(losses).all()
    leaf = stored.weights(folder)[".params['input/linear/kernel']"]
    assert leaf.dtype == (np.float64 if dtype == "float64" else np.float32)
    assert set(stored.table(folder, "layers").schema.types) == set(SCHEMAS["layers"].types)


@pytest.mark.slow
def test_half_precision_computes_the_same_roughly(tmp_path):
    losses = [
        steps_of(launch(tiny(tmp_path, f"dtype={dtype}")).folder).loss.to_numpy(float)
        for dtype in ("float32", "bfloat16")
    ]
    # the same weights and batches; 2^-8 a number, averaged over 16 examples, not amplified in eight steps
    np.testing.assert_allclose(*losses, rtol=0.02)
    assert (losses[0] != losses[1]).all()


@pytest.mark.slow
def test_a_diverged_run_ends_at_its_first_step_that_is_not_finite(tmp_path):
    outcome = launch(tiny(tmp_path, *WILD))
    (lost,) = stored.status(outcome.folder)["nonfinite"]
    assert outcome.state == "diverged"
    assert outcome.message.startswith(f"seed 0 is not finite at step {lost['step']}")
    run = open_run(outcome.folder)
    assert run.steps.step.max() == run.layers.step.max() == lost["step"]
    losses = steps_of(outcome.folder).loss.to_numpy(float)
    gradients = steps_of(outcome.folder).log10_gradient.to_numpy(float)
    assert np.isfinite(losses[:-1]).all()
    assert not np.isfinite(losses[-1] + gradients[-1])
    assert lost["where"] in ("forward", "backward", "loss")


def test_a_lost_seed_keeps_the_state_before_its_chunk(tmp_path):
    wild = launch(tiny(tmp_path, *WILD)).folder
    (lost,) = stored.status(wild)["nonfinite"]
    before = lost["step"] // 4 * 4  # chunks are four steps long here
    until = launch(tiny(tmp_path, WILD[0], f"steps={before}")).folder
    for key, leaf in stored.weights(until).items():
        assert leaf.tobytes() == stored.weights(wild)[key].tobytes()


@pytest.mark.slow
def test_to_continue_keeps_every_row_and_raise_ends_as_failed(tmp_path):
    going = launch(tiny(tmp_path / "a", *WILD, "on_nonfinite=continue"))
    assert going.state == "finished"
    assert "not finite at step" in going.message
    assert list(steps_of(going.folder).step) == list(range(41))
    raised = launch(tiny(tmp_path / "b", *WILD, "on_nonfinite=raise"))
    assert raised.state == "failed"
    assert raised.message == going.message
    assert "NonFiniteError" in (raised.folder / "run.log").read_text()
    assert len(steps_of(raised.folder)) >= stored.status(raised.folder)["nonfinite"][0]["step"]


@pytest.mark.slow
def test_a_failed_run_is_tried_again(tmp_path):
    assert launch(tiny(tmp_path, *WILD, "on_nonfinite=raise")).state == "failed"
    again = launch(
        tiny(tmp_path, *WILD, "on_nonfinite=stop")
    )  # the same folder: the wish is no part of the digest
    assert (again.state, again.fresh) == ("diverged", True)
    assert not (again.folder / "run.log").exists()
    assert stored.clean(again.folder)


@pytest.mark.slow
def test_a_seed_that_is_lost_does_not_touch_the_others(tmp_path):
    outcome = launch(tiny(tmp_path, *WILD, "seeds=3"))
    lost = {one["seed"]: one["step"] for one in stored.status(outcome.folder)["nonfinite"]}
    assert outcome.state == "finished"
    assert 0 < len(lost) < 3
    steps = steps_of(outcome.folder)
    ends = steps.groupby("seed").step.max().to_dict()
    assert ends == {seed: lost.get(seed, 40) for seed in range(3)}
    for seed in range(3):
        alone = launch(tiny(tmp_path, *WILD, f"seed={seed}"))
        assert alone.state == ("diverged" if seed in lost else "finished")
        rows = stored.table(outcome.folder, "steps")
        mine = rows.filter(rows["seed"].to_numpy() == seed)
        assert stored.bits(mine) == stored.bits(stored.table(alone.folder, "steps"))


def test_a_finished_recipe_is_a_hit_and_force_runs_it_again(tmp_path):
    first = launch(tiny(tmp_path))
    before = stored.result(first.folder), (first.folder / "status.json").stat().st_mtime_ns
    hit = launch(tiny(tmp_path))
    assert (hit.fresh, hit.message) == (False, "")
    assert (stored.result(first.folder), (first.folder / "status.json").stat().st_mtime_ns) == before
    (first.folder / "figures").mkdir()
    (first.folder / "figures" / "old.png").touch()
    forced = launch(tiny(tmp_path, "force=true"))
    assert forced.fresh
    assert not (first.folder / "figures" / "old.png").exists()
    assert stored.result(first.folder) == before[0]


@pytest.mark.slow
def test_a_hit_of_another_version_is_said(tmp_path):
    folder = launch(tiny(tmp_path)).folder
    before = read_status(folder)
    write_status(folder, before | {"versions": before["versions"] | {"jax": "0.1"}})
    hit = launch(tiny(tmp_path))
    assert hit.message.startswith("made by jax 0.1 (now ")
    assert not hit.fresh


def test_progress_is_told_once_a_chunk(tmp_path):
    told = []
    launch(tiny(tmp_path), told.append)
    assert [one.step for one in told] == [4, 8, 8]
    assert all(one.steps == 8 and np.isfinite(one.loss) and one.steps_per_second > 0 for one in told)
    assert {one.backward.shape for one in told} == {(4,)}


@pytest.mark.few(1)
@pytest.mark.parametrize("words", [(), PACES[0], ("steps=0",), ("seeds=3",)])
def test_the_estimate_knows_the_rows(tmp_path, words):
    recipe = tiny(tmp_path, *words)
    cost = estimate(prepare(recipe))
    folder = launch(recipe).folder
    names = ("layers", "steps", "parameters")
    assert cost["rows"] == sum(stored.table(folder, name).num_rows for name in names)
    assert cost["parameters"] == stored.status(folder)["parameters"]


def test_a_device_that_is_not_here_leaves_nothing(tmp_path):
    with pytest.raises(RecipeError, match="device=tpu is not available; JAX sees: cpu"):
        launch(tiny(tmp_path, "device=tpu"))
    assert list(tmp_path.iterdir()) == []


def test_rows_in_memory_are_written_when_they_are_due_and_when_the_run_fails(tmp_path, monkeypatch):
    """Of a run that breaks in its third chunk, with rows that may stay in memory for a minute."""
    whole = launch(tiny(tmp_path / "whole", "steps=16")).folder
    on_disk, take = [], SeedTracker.take

    def broken(self, chunk):
        on_disk.append(len(list(tmp_path.glob("broken/*/*/steps/part-*"))))
        if chunk.kind is ChunkKind.STEPS and chunk.steps_done == 12:
            raise ValueError("a bug")
        return take(self, chunk)

    monkeypatch.setattr(SeedTracker, "take", broken)
    outcome = launch(tiny(tmp_path / "broken", "steps=16"), write_seconds=60.0)
    assert (outcome.state, outcome.message) == ("failed", "ValueError: a bug")
    assert set(on_disk) == {0}
    rows = stored.table(outcome.folder, "steps")
    assert rows["step"].to_pylist() == [0, 0, 1, 2, 3, 4, 4, 5, 6, 7]  # of the fixed batch, and of the steps
    assert stored.status(outcome.folder)["steps_done"] == 8
    monkeypatch.setattr(SeedTracker, "take", take)
    assert launch(tiny(tmp_path / "broken", "steps=16"), write_seconds=60.0).state == "finished"
    assert stored.result(outcome.folder) == stored.result(whole)


def test_a_run_that_writes_once_has_the_files_of_one_that_writes_each_chunk(tmp_path):
    often, once = (tiny(tmp_path / name, "seeds=2", "lr=0.2") for name in ("often", "once"))
    folders = [launch(often).folder, launch(once, write_seconds=60.0).folder]
    assert stored.result(folders[0]) == stored.result(folders[1])
    assert all(map(stored.clean, folders))
