"""A run that was cut off ends as one that was not: the same rows, the same weights, bit for bit."""

import os
import random
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from gradlab.launch import run, training
from gradlab.measurements.columns import RESULTS
from gradlab.recipe.recipe import Recipe, folder_name
from gradlab.store import write
from gradlab.store.status import read_status
from tests.launch import stored
from tests.launch.conftest import Children
from tests.recipes import launch, tiny
from tests.waiting import until

LONG = ("steps=60", "eval.every=4")
WILD = ("seeds=3", "lr=1e37", "steps=40")  # two of the three seeds are lost on the way


class Stopped(BaseException):
    """A kill: nothing is written after it, of the failure neither."""


def die(_, error) -> None:
    raise error


def cut(recipe: Recipe, step: int, last: bool = False) -> Path:
    """Run until `step` steps (and the row after them) are told, and end there as a killed process does."""
    told: list[int] = []

    def tell(now) -> None:
        told.append(now.step)
        if told[-1] >= step and (not last or told[-2:] == [step, step]):
            raise Stopped

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run.RunWriter, "fail", die)
        with pytest.raises(Stopped):
            launch(recipe, tell)
    return Path(recipe.outputs) / recipe.study / folder_name(recipe)


@pytest.fixture
def eager(monkeypatch):
    """A checkpoint after every chunk."""
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)


@pytest.mark.few(1)
@pytest.mark.parametrize("step", [4, 32, 60])
@pytest.mark.usefixtures("eager")
def test_a_run_that_was_cut_off_goes_on_to_the_same_end(tmp_path, step):
    whole = launch(tiny(tmp_path / "whole", *LONG)).folder
    folder = cut(tiny(tmp_path / "cut", *LONG), step)
    assert stored.status(folder)["state"] == "running"
    told = []
    again = launch(tiny(tmp_path / "cut", *LONG), told.append)
    assert again.state == "finished"
    assert told[0].step > step - 4  # from the checkpoint, not from the start
    assert stored.result(folder) == stored.result(whole)
    assert stored.clean(folder)


PHASES = "optimizer.phases=[{optimizer:spsa,until_step:10},{optimizer:adam,lr:0.01,until_plateau:20},{optimizer:es}]"
MEMORIES = {  # whatever a part remembers from step to step
    "phases": ("optimizer=phases", PHASES, "optimizer.memory=carried", "clip=autoclip", "schedule=plateau"),
    "lstm": (
        "model=lstm",
        "data=adding",
        "data.length=10",
        "data.train=64",
        "data.test=16",
        "dropout=0.2",
        "seeds=2",
    ),
    "resnet": ("model=resnet", "depth=8", "width=16", "model.width_mult=0.25", "data.test_fraction=0.9"),
    # both seeds end by these rules long after the cut, and by what was seen before it
    "converging": ("schedule=linear", "lr=0.5", "stop.tolerance=0.05", "seeds=2"),
    "dropped": ("clip=skip", "clip.threshold=1e-9", "clip.patience=14", "seeds=2"),
    "diverging": ("lr=3", "depth=8", "stop.on=diverged", "on_nonfinite=continue"),
    "optax": ("optimizer=optax:muon", "clip=zscore", "stop.patience=4", "lr=0.5", "seeds=2"),
}


@pytest.mark.slow
@pytest.mark.parametrize("words", MEMORIES.values(), ids=MEMORIES)
@pytest.mark.usefixtures("eager")
def test_every_memory_is_carried_over_a_cut(tmp_path, words):
    paced = (*LONG, *words)
    whole = launch(tiny(tmp_path / "whole", *paced))
    folder = cut(tiny(tmp_path / "cut", *paced), 12)
    assert launch(tiny(tmp_path / "cut", *paced)).state == whole.state
    assert stored.result(folder) == stored.result(whole.folder)
    assert stored.status(folder)["stopped"] == stored.status(whole.folder)["stopped"]


@pytest.mark.slow
@pytest.mark.parametrize("step", [8, 24, 36])
@pytest.mark.usefixtures("eager")
def test_seeds_that_were_lost_before_the_cut_stay_lost(tmp_path, step):
    whole = launch(tiny(tmp_path / "whole", *WILD)).folder
    folder = cut(tiny(tmp_path / "cut", *WILD), step)
    launch(tiny(tmp_path / "cut", *WILD))
    assert stored.result(folder) == stored.result(whole)
    assert len(stored.status(folder)["nonfinite"]) == 2


@pytest.mark.slow
def test_without_a_checkpoint_it_starts_over(tmp_path):
    whole = launch(tiny(tmp_path / "whole", *LONG)).folder
    folder = cut(tiny(tmp_path / "cut", *LONG), 32)
    assert not list(folder.glob("checkpoint/*"))
    assert len(write.part_files(folder, "steps")) == 8
    told = []
    launch(tiny(tmp_path / "cut", *LONG), told.append)
    assert told[0].step == 4
    assert stored.result(folder) == stored.result(whole)


@pytest.mark.slow
@pytest.mark.usefixtures("eager")
def test_rows_beyond_the_checkpoint_are_made_again(tmp_path, monkeypatch):
    whole = launch(tiny(tmp_path / "whole", *LONG)).folder
    folder = cut(tiny(tmp_path / "cut", *LONG), 12)
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 1e9)
    cut(tiny(tmp_path / "cut", *LONG), 40)
    (folder / "steps" / ".part-000000040.parquet.1.tmp").write_bytes(b"half")
    assert len(write.part_files(folder, "steps")) == 10
    assert write.restore(folder)[0].step == 8
    launch(tiny(tmp_path / "cut", *LONG))
    assert stored.result(folder) == stored.result(whole)
    assert stored.clean(folder)


DAMAGES = {
    "a bit": lambda content: content[:999] + bytes([content[999] ^ 1]) + content[1000:],
    "an end": lambda content: content[:-100],
    "all": lambda content: bytes(len(content)),
    "nothing left": lambda content: b"",
}


@pytest.mark.few(1)
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.usefixtures("eager")
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(tmp_path, damage):
    whole = launch(tiny(tmp_path / "whole", *LONG)).folder
    folder = cut(tiny(tmp_path / "cut", *LONG), 32)
    older, newest = sorted(folder.glob("checkpoint/*"))
    newest.write_bytes(damage(newest.read_bytes()))
    outcome = launch(tiny(tmp_path / "cut", *LONG))
    assert outcome.message == f"checkpoint {newest.name} is damaged, went on from step {int(older.name[:9])}"
    assert newest.with_suffix(".bad").exists()
    newest.with_suffix(".bad").unlink()
    assert stored.result(folder) == stored.result(whole)


@pytest.mark.slow
@pytest.mark.usefixtures("eager")
def test_without_any_whole_checkpoint_it_starts_over_and_says_so(tmp_path):
    folder = cut(tiny(tmp_path, *LONG), 32)
    for path in folder.glob("checkpoint/*"):
        path.write_bytes(b"not a checkpoint")
    outcome = launch(tiny(tmp_path, *LONG))
    assert outcome.message.count("is damaged, went on from step 0") == 2
    assert stored.status(folder)["message"] == outcome.message
    assert outcome.state == "finished"


@pytest.mark.slow
@pytest.mark.usefixtures("eager")
def test_a_checkpoint_that_does_not_fit_the_network_is_not_used(tmp_path):
    folder = cut(tiny(tmp_path, *LONG), 32)
    found, _ = write.restore(folder)
    shutil.rmtree(folder / "checkpoint")
    write.checkpoint(folder, found._replace(leaves={"other": next(iter(found.leaves.values()))}))
    outcome = launch(tiny(tmp_path, *LONG))
    assert outcome.message == "the checkpoint of step 28 is of another network or other probes; began again"


@pytest.mark.slow
@pytest.mark.usefixtures("eager")
def test_steps_made_with_other_versions_are_said(tmp_path):
    folder = cut(tiny(tmp_path, *LONG), 32)
    found, _ = write.restore(folder)
    found.facts["versions"]["jax"], found.facts["threads"] = "0.1", 64
    shutil.rmtree(folder / "checkpoint")
    write.checkpoint(folder, found)
    message = launch(tiny(tmp_path, *LONG)).message
    assert message.startswith("its first 28 steps were made with jax 0.1 (now ")
    assert "threads 64 (now" in message


@pytest.mark.few(1)
@pytest.mark.parametrize("done", range(4))
def test_a_compaction_that_was_cut_off_is_done_by_the_next_call(tmp_path, done):
    folder = launch(tiny(tmp_path / "whole", *LONG)).folder
    cut_folder = cut(tiny(tmp_path / "cut", *LONG), 60, last=True)
    for table in write.TABLES[:done]:  # so far had it come
        shutil.copy(folder / table / "all.parquet", cut_folder / table / "all.parquet")
    for part in write.part_files(cut_folder, "layers")[:done]:
        (cut_folder / part).unlink()
    shutil.copytree(folder / "checkpoint", cut_folder / "checkpoint")
    for name in ("status.json", "recipe.yaml"):
        shutil.copy(folder / name, cut_folder / name)
    outcome = launch(tiny(tmp_path / "cut", *LONG))
    assert not outcome.fresh
    assert stored.result(cut_folder) == stored.result(folder)
    assert stored.clean(cut_folder)


def test_what_a_compaction_cut_off_at_its_very_end_left_is_removed(tmp_path):
    folder = launch(tiny(tmp_path, *LONG)).folder
    before = stored.result(folder)
    (newest,) = folder.glob("checkpoint/*.npz")
    shutil.copy(newest, newest.with_name("000000000" + newest.name[9:]))
    (folder / "layers" / ".all.parquet.1.tmp").write_bytes(b"half")
    assert not stored.clean(folder)
    assert not launch(tiny(tmp_path, *LONG)).fresh
    assert stored.clean(folder)
    assert stored.result(folder) == before


@pytest.mark.slow
@pytest.mark.parametrize("damage", [b"", b"[]"])
def test_a_run_whose_status_is_lost_starts_over(tmp_path, damage):
    whole = launch(tiny(tmp_path / "whole", *LONG)).folder
    folder = cut(tiny(tmp_path / "cut", *LONG), 32)
    (folder / "status.json").write_bytes(damage)
    assert launch(tiny(tmp_path / "cut", *LONG)).state == "finished"
    assert stored.result(folder) == stored.result(whole)


def test_a_signal_stops_between_two_chunks_and_the_run_goes_on_later(tmp_path):
    whole = launch(tiny(tmp_path / "whole", *LONG)).folder
    recipe = tiny(tmp_path / "cut", *LONG)
    before = signal.getsignal(signal.SIGTERM)
    outcome = launch(recipe, lambda now: now.step == 32 and signal.raise_signal(signal.SIGTERM))
    assert (outcome.state, outcome.message) == ("interrupted", "SIGTERM after step 32")
    assert signal.getsignal(signal.SIGTERM) is before
    assert stored.status(outcome.folder)["state"] == "interrupted"
    told = []
    launch(recipe, told.append)
    assert told[0].step == 36
    assert stored.result(outcome.folder) == stored.result(whole)


# ---- killed from outside, at any moment


def place(recipe: Recipe) -> Path:
    return Path(recipe.outputs) / recipe.study / folder_name(recipe)


def killed(children: Children, recipe: Recipe, moment: float) -> bool:
    """Kill a run `moment` seconds after it begins to write; whether it still ran."""
    status, seen = place(recipe) / "status.json", time.time_ns()
    process = children.start(recipe)
    until(lambda: status.exists() and status.stat().st_mtime_ns > seen)
    time.sleep(moment)
    os.kill(process, signal.SIGKILL)  # the number is its own until its end is asked for
    return children.end() == -signal.SIGKILL


def same(recipe: Recipe, whole: Recipe) -> None:
    assert not list(place(recipe).glob("checkpoint/*.bad"))
    assert stored.result(place(recipe)) == stored.result(place(whole))
    assert stored.clean(place(recipe))


def survives(children: Children, tmp_path: Path, kills: int, seed: int, *words: str) -> None:
    """Killed again and again at random moments, a run ends as one that was left alone."""
    paced = ("steps=240", "eval.every=8", "log.every=2", *words)
    whole, recipe = tiny(tmp_path / "whole", *paced), tiny(tmp_path / "killed", *paced)
    assert [children.run(one) for one in (whole, replace(whole, force=True))] == [0, 0]  # compiled before
    seconds = stored.status(place(whole))["seconds"]
    draw = random.Random(seed)
    while kills:
        kills -= killed(children, recipe, draw.uniform(0, 0.7 * seconds))
        for path in place(recipe).glob("*/*.parquet"):
            assert pq.read_table(path).num_rows
        if read_status(place(recipe))["state"] in RESULTS:  # it was faster, or as good as done
            assert children.run(recipe) == 0
            same(recipe, whole)
            shutil.rmtree(place(recipe))
    assert children.run(recipe) == 0
    same(recipe, whole)


@pytest.mark.slow
def test_a_run_killed_at_any_moment_goes_on_to_the_same_end(children, tmp_path):
    survives(children, tmp_path, 8, 1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_a_run_of_seeds_killed_again_and_again_goes_on_to_the_same_end(children, tmp_path, seed):
    survives(children, tmp_path, 8, seed, "seeds=3", "lr=1e37", "optimizer=momentum")
