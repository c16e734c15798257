"""A killed process and a power cut, at every call that syncs, moves or deletes a file: nothing measured is lost.

The same command again ends with the same bits as a run that was left alone.
"""

import json
import os
import random
import shutil
import signal
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from gradlab.launch import training
from gradlab.measurements.columns import RESULTS
from gradlab.recipe.errors import StorageError
from gradlab.recipe.recipe import folder_name
from gradlab.store.status import read_status
from tests.faults.disks import Disk
from tests.launch import stored
from tests.recipes import launch, tiny
from tests.waiting import until

SHORT = ("steps=16", "eval.every=4")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The same run, left alone."""
    return launch(tiny(tmp_path_factory.mktemp("whole"), *SHORT)).folder


def watched(tmp_path: Path, monkeypatch, chosen, in_memory: float = 0.0) -> tuple[Disk, Path]:
    """A run with a checkpoint after every chunk, and its folder below the copies that were made.

    in_memory: the seconds that its rows stay in memory; then it has one checkpoint, at its end.
    """
    outputs = tmp_path / "outputs"
    outputs.mkdir()
    with monkeypatch.context() as patched:
        patched.setattr(training, "CHECKPOINT_SECONDS", in_memory)
        disk = Disk(patched, outputs, tmp_path, chosen)
        assert launch(tiny(outputs, *SHORT), write_seconds=in_memory).state == "finished"
    disk.close()
    return disk, Path("default") / folder_name(tiny(outputs, *SHORT))


def unreadable(folder: Path) -> list[str]:
    """The files of a final name that are not complete."""
    broken = []
    for path in (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")):
        try:
            if path.suffix == ".parquet":
                pq.read_table(path)
            elif path.suffix == ".json":
                json.loads(path.read_text())
            elif path.name != "digests.txt" and not path.stat().st_size:
                raise OSError("empty")
        except (OSError, ValueError):
            broken.append(path.name)
    return broken


def acknowledged(folder: Path, every: int = 1) -> bool:
    """Whether all rows are there that status.json says were written, or that a merged file has."""
    done = read_status(folder).get("steps_done", 0)
    return not done or set(range(0, done, every)) <= set(stored.table(folder, "steps")["step"].to_pylist())


def test_at_every_eighth_call_nothing_is_lost(tmp_path, monkeypatch, whole):
    survived(*watched(tmp_path, monkeypatch, lambda number: number % 8 == 0), whole)


def test_at_every_fifth_call_of_a_run_that_writes_once_nothing_is_lost(tmp_path, monkeypatch, whole):
    """As the short runs of a grid do: their single parts become the merged files."""
    disk, name = watched(tmp_path, monkeypatch, lambda number: number % 5 == 0, in_memory=60.0)
    assert stored.result(disk.root / name) == stored.result(whole)
    survived(disk, name, whole)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(8))
def test_at_every_call_nothing_is_lost(tmp_path, monkeypatch, whole, first):
    survived(*watched(tmp_path, monkeypatch, lambda number: number % 8 == first), whole)


def survived(disk: Disk, name: Path, whole: Path) -> None:
    assert len(disk.made) >= 10
    for number in disk.made:
        for outputs in (disk.after_kill(number), disk.after_power_cut(number)):
            folder = outputs / name
            assert unreadable(folder) == []
            assert acknowledged(folder)
            assert launch(tiny(outputs, *SHORT)).state == "finished"
            assert stored.result(folder) == stored.result(whole)
            assert stored.clean(folder)


@pytest.mark.parametrize("missing", ["file", "folder"])
def test_control_without_a_sync_a_power_cut_loses_what_was_acknowledged(
    tmp_path, monkeypatch, whole, missing
):
    def only(descriptor):
        is_folder = Path(f"/proc/self/fd/{descriptor}").is_dir()
        return None if is_folder == (missing == "folder") else watching(descriptor)

    outputs = tmp_path / "outputs"
    outputs.mkdir()
    with monkeypatch.context() as patched:
        patched.setattr(training, "CHECKPOINT_SECONDS", 0.0)
        disk = Disk(patched, outputs, tmp_path, lambda number: number % 16 == 0)
        watching = os.fsync
        patched.setattr(os, "fsync", only)
        launch(tiny(outputs, *SHORT))
    disk.close()
    name = Path("default") / folder_name(tiny(outputs, *SHORT))
    cuts = [disk.after_power_cut(number) / name for number in disk.made]
    if missing == "file":
        assert any(unreadable(folder) for folder in cuts)
    else:  # no name of a file survives
        assert not any(list(folder.rglob("*.parquet")) for folder in cuts)


ERRORS = {"fsync": 5, "replace": 122, "mkdir": 30}  # EIO, EDQUOT, EROFS


@pytest.mark.few(8)
@pytest.mark.parametrize("number", [1, 2, 3, 5, 10, 20, 40, 60])
@pytest.mark.parametrize("call", ERRORS)
def test_a_disk_that_fails_once_ends_the_run_and_loses_nothing(tmp_path, monkeypatch, whole, call, number):
    real, count = getattr(os, call), 0

    def failing(*arguments, **keywords):
        nonlocal count
        count += 1
        if count == number:
            raise OSError(ERRORS[call], os.strerror(ERRORS[call]))
        return real(*arguments, **keywords)

    with monkeypatch.context() as patched:
        patched.setattr(training, "CHECKPOINT_SECONDS", 0.0)
        patched.setattr(os, call, failing)
        outcome, refused = None, ""
        try:
            outcome = launch(tiny(tmp_path, *SHORT))
        except StorageError as error:  # before anything was written
            refused = str(error)
    if outcome is None:
        assert refused.startswith(f"outputs={tmp_path} cannot be written ({os.strerror(ERRORS[call])}; ")
    folder = tmp_path / "default" / folder_name(tiny(tmp_path, *SHORT))
    if outcome and count >= number and outcome.state == "failed":
        assert outcome.exit_code == 74
        assert f"{folder} cannot be written ({os.strerror(ERRORS[call])}; " in outcome.message
        assert "MiB are free)" in outcome.message
    elif outcome:
        assert count < number or outcome.state == "finished"
    assert unreadable(tmp_path) == []
    if folder.exists():
        assert acknowledged(folder)
        assert not list(folder.rglob("*.tmp"))
    assert launch(tiny(tmp_path, *SHORT)).state == "finished"
    assert stored.result(folder) == stored.result(whole)


def killed(children, folder: Path, recipe, moment: float, training: bool) -> bool:
    """Kill a run `moment` seconds after it begins, or after its first chunk; whether it still ran."""
    written = lambda: sorted(
        path.stat().st_mtime_ns for path in folder.glob("checkpoint/*" if training else "*.json")
    )
    seen = time.time_ns()
    process = children.start(recipe)
    until(lambda: written()[-1:] > [seen] or read_status(folder).get("state") in RESULTS)
    time.sleep(moment)
    os.kill(process, signal.SIGKILL)  # the number is its own until its end is asked for
    return children.end() == -signal.SIGKILL


def kills(children, tmp_path: Path, count: int, seed: int) -> int:
    """Kill a run that often at random moments; how many kills met a checkpoint. The end is that of an unkilled run."""
    words = ("steps=600", "eval.every=8", "log.every=2")
    alone, recipe = tiny(tmp_path / "alone", *words), tiny(tmp_path / "killed", *words)
    assert children.run(alone) == 0  # compiled before
    place = lambda recipe: Path(recipe.outputs) / recipe.study / folder_name(recipe)
    expected, folder = stored.result(place(alone)), place(recipe)
    draw, met = random.Random(seed), 0
    while count:
        training = bool(count % 2)
        count -= killed(children, folder, recipe, draw.uniform(0, 0.1 if training else 0.5), training)
        met += bool(list(folder.glob("checkpoint/*.npz")))
        assert unreadable(folder) == []
        assert acknowledged(folder, every=2)
        if read_status(folder).get("state") in RESULTS:  # it was faster, or as good as done
            assert children.run(recipe) == 0
            assert stored.result(folder) == expected
            shutil.rmtree(folder)
    assert children.run(recipe) == 0
    assert stored.result(folder) == expected
    assert stored.clean(folder)
    return met


def test_killed_at_random_moments_a_run_ends_as_one_left_alone(children, tmp_path):
    assert kills(children, tmp_path, 16, 0) >= 8


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 11))
def test_killed_two_hundred_times(children, tmp_path, seed):
    assert kills(children, tmp_path, 20, seed) >= 10
