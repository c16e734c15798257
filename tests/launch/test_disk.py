"""One writer a folder, disks that are full, folders that cannot be written, readers beside a writer."""

import os
import resource
import signal
from contextlib import contextmanager
from pathlib import Path

import pytest

from gradlab.recipe.errors import RecipeError
from gradlab.recipe.recipe import folder_name
from gradlab.store import lock
from gradlab.store.read import open_run
from gradlab.store.status import read_status
from tests.launch import stored
from tests.recipes import launch, tiny
from tests.waiting import until

ENDLESS = "steps=1000000"


def place(recipe) -> Path:
    return Path(recipe.outputs) / recipe.study / folder_name(recipe)


@contextmanager
def no_file_above(size: int):
    """The disk takes no file larger than so many bytes: EFBIG, as a full disk says ENOSPC."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_takes_no_more_fails_the_run_and_keeps_what_was_measured(tmp_path):
    whole = launch(tiny(tmp_path / "whole")).folder
    with no_file_above(10**9) as _:
        limit = lambda now: resource.setrlimit(resource.RLIMIT_FSIZE, (4000, -1))  # after the first chunk
        outcome = launch(tiny(tmp_path / "full"), limit)
    assert outcome.state == "failed"
    assert outcome.message.startswith(f"{outcome.folder} cannot be written (File too large; ")
    assert "MiB are free)" in outcome.message
    assert outcome.exit_code == 74
    assert "Traceback" in (outcome.folder / "run.log").read_text()
    assert stored.status(outcome.folder)["state"] == "failed"
    assert stored.table(outcome.folder, "steps")["step"].to_pylist() == [0, 0, 1, 2, 3]
    assert not list(outcome.folder.rglob("*.tmp"))
    assert launch(tiny(tmp_path / "full")).state == "finished"
    assert stored.result(outcome.folder) == stored.result(whole)


def test_a_disk_that_takes_nothing_at_all_still_gets_an_answer(tmp_path):
    launch(tiny(tmp_path / "other"))  # compiled: that needs a disk
    with no_file_above(0):
        outcome = launch(tiny(tmp_path))
    assert outcome.state == "failed"
    assert outcome.message.startswith(f"{outcome.folder} cannot be written (File too large; ")
    assert outcome.complaint == outcome.message  # there is no run.log to send one to
    assert not list(outcome.folder.rglob("*.tmp"))
    assert launch(tiny(tmp_path)).state == "finished"


@pytest.mark.few(1)
@pytest.mark.parametrize("outputs", ["/proc/nowhere", "/dev/null", "/dev/null/below"])
def test_an_output_folder_that_cannot_be_written_is_told(outputs):
    with pytest.raises(RecipeError, match=f"outputs={outputs} cannot be written: "):
        launch(tiny(outputs))


def test_a_file_in_the_place_of_the_study_is_told(tmp_path):
    (tmp_path / "default").touch()
    with pytest.raises(RecipeError, match="cannot be written"):
        launch(tiny(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["default"]


def test_an_error_while_training_is_told_and_logged(tmp_path):
    def tell(now) -> None:
        raise KeyError("the picture\nhas two lines")

    outcome = launch(tiny(tmp_path), tell)
    assert outcome.state == "failed"
    assert outcome.message == "KeyError: 'the picture\\nhas two lines'"
    assert "Traceback" in (outcome.folder / "run.log").read_text()


@pytest.mark.slow
def test_a_second_writer_is_refused_at_once_and_a_killed_one_blocks_nobody(children, tmp_path):
    folder = place(tiny(tmp_path, ENDLESS))
    process = children.start(tiny(tmp_path, ENDLESS))
    until(lambda: read_status(folder).get("steps_done", 0) > 0)
    with pytest.raises(RecipeError, match=f"{folder} is being written by process {process}; wait"):
        launch(tiny(tmp_path, ENDLESS))
    with pytest.raises(RecipeError, match="is being written by process"):
        launch(tiny(tmp_path, ENDLESS, "force=true"))
    assert read_status(folder)["state"] == "running"  # it did not wait for the other to end
    with pytest.raises(RecipeError, match=r"is still running .*; wait for it"):
        open_run(folder)
    os.kill(process, signal.SIGKILL)
    children.end()
    with pytest.raises(RecipeError, match="was killed while running"):
        open_run(folder)
    stop = lambda now: signal.raise_signal(signal.SIGINT)
    assert launch(tiny(tmp_path, ENDLESS), stop).state == "interrupted"


def test_a_lock_is_free_for_a_program_that_its_holder_starts_or_that_has_its_number(tmp_path):
    (tmp_path / lock.NAME).write_text("1\n")  # some process of that number always lives
    assert not lock.held(tmp_path)
    with lock.hold(tmp_path):
        assert lock.held(tmp_path)
        process = os.posix_spawn("/bin/sleep", ["sleep", "60"], os.environ)
        with pytest.raises(RecipeError), lock.hold(tmp_path):
            pass
    try:
        assert not lock.held(tmp_path)
        with lock.hold(tmp_path):
            pass
    finally:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)


def test_a_reader_that_looks_does_not_turn_a_writer_away(tmp_path):
    (tmp_path / lock.NAME).touch()
    descriptor = os.open(tmp_path / lock.NAME, os.O_RDONLY)
    assert lock._try_lock(descriptor, lock.fcntl.LOCK_SH)
    with pytest.raises(RecipeError), lock.hold(tmp_path):  # only who holds on does
        pass
    os.close(descriptor)
    with lock.hold(tmp_path):
        pass


@pytest.mark.slow
def test_a_reader_beside_a_writer_reads_what_is_there(children, tmp_path):
    recipe = tiny(tmp_path, "steps=300")
    folder = place(recipe)
    children.start(recipe, pause=0.03)
    until(lambda: list(folder.glob("steps/part-*")))
    seen = []
    for look in range(200):
        run = open_run(folder, running=True)
        steps = run.steps[run.steps.source == "batch"]
        assert list(steps.step) == list(range(len(steps)))  # no gap, none twice
        assert look % 20 or set(run.layers.layer) == {0, 1, 2, 3}
        seen.append(len(steps))
    while run.status["state"] == "running":  # beside the compaction, too
        run = open_run(folder, running=True)
        assert len(run.parameters)
    assert children.end() == 0
    assert seen == sorted(seen)
    assert seen[0] < seen[-1]
    assert len(open_run(folder).steps) == 301 + 76
