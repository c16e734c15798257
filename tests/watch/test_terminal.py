"""`gradlab watch` and `gradlab run` in a real terminal, that of tmux."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed"),
]
WIDTHS = (60, 140)
PROMPT = "ready>"
SHELL = ("env", "-u", "COLUMNS", "-u", "LINES", f"PS1={PROMPT}", "sh")  # the size is that of the window
# what a line of a run's output begins with, at the left edge
STARTS = set(
    "mlp ← step train test data signal at training cause probes note theory stored figures done".split()
)
STARTS |= {"‖gradient‖", "backward", "0", "60", PROMPT}
SECONDS = 120  # for a network of four layers to be compiled, and more


class Terminal:
    """A shell in a window of tmux of this size."""

    def __init__(self, name: str, folder: Path, width: int, height: int = 40) -> None:
        self.name, self.folder = name, folder
        self.server = f"gradlab-{os.getpid()}-{time.monotonic_ns()}"  # of its own, which ends with the window
        size = ("-x", str(width), "-y", str(height))
        self._tmux("new-session", "-d", "-s", name, *size, "-c", str(folder), *SHELL)
        self.wait_for(PROMPT)

    def _tmux(self, *words: str) -> str:
        server = ["tmux", "-L", self.server, "-f", "/dev/null"]
        return subprocess.run([*server, *words], check=True, capture_output=True, text=True).stdout

    def type(self, *keys: str) -> None:
        self._tmux("send-keys", "-t", self.name, *keys)

    def screen(self) -> str:
        return self._tmux("capture-pane", "-p", "-t", self.name)

    def wait_for(self, *texts: str) -> str:
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            screen = self.screen()
            if all(text in screen for text in texts):
                return screen
            time.sleep(0.2)
        raise AssertionError(f"{texts} not in\n{self.screen()}")

    def close(self) -> None:
        self._tmux("kill-server")


@pytest.fixture
def terminal(request, tmp_path):
    """Makes a terminal of a width; they are closed at the end."""
    made = []

    def make(width):
        made.append(Terminal("t", tmp_path, width))
        return made[-1]

    yield make
    for each in made:
        each.close()


def gradlab(words):
    return f"PYTHONPATH={Path(__file__).parents[2]} {sys.executable} -m gradlab {words}"


def train(folder, *words):
    command = [
        sys.executable,
        "-m",
        "gradlab",
        "run",
        "depth=4",
        "width=8",
        "eval.every=50",
        *words,
        "--quiet",
    ]
    return subprocess.Popen(command, cwd=folder, env=None)


@pytest.mark.parametrize("width", WIDTHS)
def test_a_run_is_watched_to_its_end(terminal, tmp_path, width):
    window = terminal(width)
    window.type(gradlab("watch"), "Enter")
    window.wait_for("no run is being trained")
    training = train(tmp_path, "steps=4000")
    try:
        window.wait_for("compiling …")
        moving = window.wait_for("running ·", "← backward", "backward signal, layer × step:", "q quits")
        assert max(map(len, moving.splitlines())) <= width
        later = window.wait_for("/4000 steps", "━")
        assert later
    finally:
        assert training.wait(SECONDS) == 0
    assert "finished · 4000/4000 steps" in window.wait_for("finished ·")
    assert "q quits" not in window.screen()  # the shell is back, the last view above it


def wait_for_rows(study):
    until = time.monotonic() + SECONDS
    while not list(study.glob("*/layers/part-*")):
        assert time.monotonic() < until
        time.sleep(0.2)


@pytest.mark.parametrize("width", WIDTHS)
def test_a_study_is_a_table_with_runs_to_look_into(terminal, tmp_path, width):
    assert train(tmp_path, "-m", "lr=0.1,0.2", "steps=20", "study=s").wait(SECONDS) == 0
    training = train(tmp_path, "steps=1000000", "study=s")
    window = terminal(width)
    try:
        wait_for_rows(tmp_path / "outputs" / "s")
        window.type(gradlab("watch s"), "Enter")
        window.wait_for("3 runs: 2 finished, 1 running", "/1000000")
        window.type("Enter")
        window.wait_for("running ·", "← backward")
        window.type("Enter")
        window.wait_for("3 runs:")
        window.type("Down")
        window.type("Enter")
        window.wait_for("finished · 20/20 steps")
        window.type("q")
        time.sleep(1.0)
        window.type("echo still $((40 + 2))", "Enter")
        window.wait_for("still 42")  # the shell has its terminal again
    finally:
        training.terminate()
        training.wait(SECONDS)


@pytest.mark.parametrize("width", [60, 80, 140])
def test_what_a_run_prints_breaks_no_word(terminal, tmp_path, width):
    window = terminal(width)
    window.type("clear; " + gradlab("run depth=4 width=8 steps=60 outputs=o") + "; echo do''ne", "Enter")
    screen = window.wait_for("done", "signal", "training", "figures")
    _, *lines = [line.rstrip() for line in screen.splitlines() if line.strip()]
    # a terminal that breaks a line itself goes on at its left edge
    starts = {line.split()[0] for line in lines if line[0] not in " ━" and "│" not in line}
    assert starts <= STARTS, starts
    assert any(line.startswith("training    ") for line in lines)
    further = [line for line in lines if line.startswith(" " * 12) and line[12:13].isalpha()]
    assert bool(further) or width == 140
