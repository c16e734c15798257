"""`gradlab watch`: which run it takes, what it prints where there is no terminal, and the keys of one."""

import os
import pty
import subprocess
import sys
import termios
import threading
import time
from itertools import pairwise

import pytest

from gradlab.commands.main import main
from gradlab.report.watch import keys, screen
from gradlab.report.watch.place import newest_written
from tests import runs
from tests.growing import GrowingRun


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(screen, "PAUSE", 0.01)
    monkeypatch.setattr(screen, "LEAST_REST", 0.0)


def test_a_finished_run_is_shown_once(tmp_path, capsys):
    folder = runs.simple(tmp_path / "study" / "run")
    assert main(["watch", str(folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(
        "finished · 100/100 steps · 1 s elapsed · loss 0.09 · accuracy train 0.97, test 0.97"
    )
    assert lines[-1].startswith("training    learned")


def test_a_killed_run_is_said_to_be(grown, capsys):
    grown.grow(0, 10)
    grown.kill()
    assert main(["watch", str(grown.folder)]) == 0
    assert "killed      its process is gone" in capsys.readouterr().out


def test_what_is_damaged_is_an_error(grown, capsys):
    grown.grow(0, 10)
    (grown.folder / "steps" / "part-000000000.parquet").write_bytes(b"x")
    assert main(["watch", str(grown.folder)]) == 2
    assert "is corrupt" in capsys.readouterr().err


def test_a_log_has_a_line_for_each_change_and_ends_with_the_run(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def train():
        time.sleep(0.2)
        grown = GrowingRun(tmp_path / "outputs" / "study" / "run")
        for first in range(0, 100, 25):
            grown.grow(first, first + 25)
            time.sleep(0.3)
        grown.finish()

    training = threading.Thread(target=train)
    training.start()
    assert main(["watch"]) == 0
    training.join()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("no run is being trained below outputs; waiting")
    changes = [line.split(" · ")[:2] for line in lines if line.startswith(("running", "finished"))]
    steps = [int(count.partition("/")[0]) for _, count in changes]
    assert steps == sorted(steps)
    assert all(one != other for one, other in pairwise(changes))
    assert changes[-1] == ["finished", "100/100 steps"]
    assert len(changes) >= 3


def test_the_newest_run_that_is_written_is_watched_or_its_study(tmp_path):
    assert newest_written(tmp_path / "outputs") is None
    runs.simple(tmp_path / "outputs" / "old" / "run")
    assert newest_written(tmp_path / "outputs") is None
    first = GrowingRun(tmp_path / "outputs" / "one" / "run")
    assert newest_written(tmp_path / "outputs") == first.folder
    time.sleep(0.02)
    second = GrowingRun(tmp_path / "outputs" / "old" / "later")
    assert newest_written(tmp_path / "outputs") == second.folder
    third = GrowingRun(tmp_path / "outputs" / "old" / "beside")
    third.grow(0, 5)
    assert newest_written(tmp_path / "outputs") == third.folder.parent
    third.kill()  # it was written by the same process as the second one: both are of one grid
    assert newest_written(tmp_path / "outputs") == third.folder.parent
    for run in (first, second):
        run.kill()


def test_it_imports_no_jax(tmp_path):
    folder = runs.simple(tmp_path / "study" / "run")
    script = f"from gradlab.commands.main import main\nimport sys\nmain(['watch', {str(folder)!r}])\n"
    script += "assert not {'jax', 'matplotlib', 'hydra'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)


@pytest.fixture
def terminal(monkeypatch):
    """The other end of a terminal that is standard input."""
    ours, theirs = pty.openpty()
    with open(theirs, closefd=False) as file:
        monkeypatch.setattr(sys, "stdin", file)
        monkeypatch.setattr(os, "tcgetpgrp", lambda _: os.getpgrp())
        yield ours, theirs
    os.close(ours)
    os.close(theirs)


PRESSED = {
    "q": (b"q", "q"),
    "Enter": (b"\r", keys.ENTER),
    "up": (b"\x1b[A", keys.UP),
    "down, of an application": (b"\x1bOB", keys.DOWN),
    "j": (b"j", keys.DOWN),
    "Escape": (b"\x1b", keys.ESCAPE),
}


@pytest.mark.parametrize(("pressed", "name"), PRESSED.values(), ids=PRESSED)
def test_a_key_is_read_without_an_enter(terminal, pressed, name):
    ours, theirs = terminal
    before = termios.tcgetattr(theirs)
    with keys.keys() as read_key:
        assert read_key(0.0) == ""
        os.write(ours, pressed)
        assert read_key(5.0) == name
        assert not termios.tcgetattr(theirs)[3] & termios.ICANON
    assert termios.tcgetattr(theirs) == before


def test_the_terminal_is_as_before_after_an_error(terminal):
    _, theirs = terminal
    before = termios.tcgetattr(theirs)
    with pytest.raises(KeyboardInterrupt), keys.keys():
        raise KeyboardInterrupt
    assert termios.tcgetattr(theirs) == before


def test_without_a_terminal_there_are_no_keys(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    with keys.keys() as read_key:
        began = time.monotonic()
        assert read_key(0.05) == ""
        assert time.monotonic() - began >= 0.05
