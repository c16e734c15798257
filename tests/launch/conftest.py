"""Runs in processes of their own, which may be killed."""

import json
import math
import os
import signal
import subprocess
import sys

import jax
import pytest

from gradlab.launch import training
from gradlab.recipe.recipe import Recipe, plain


class Children:
    """Runs in processes of their own, one at a time."""

    def __init__(self) -> None:
        words = [sys.executable, "-W", "error", "-m", "tests.launch.child"]
        self.parent = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.running = 0

    def start(self, recipe: Recipe, pause: float = 0.0) -> int:
        """Start a run that rests `pause` seconds after each chunk; its process."""
        self.running = self._ask(json.dumps([pause, plain(recipe)]))
        return self.running

    def end(self) -> int:
        """Wait for its end; its return code."""
        self.running = 0
        return self._ask("")

    def _ask(self, line: str) -> int:
        self.parent.stdin.write(line + "\n")
        self.parent.stdin.flush()
        return int(self.parent.stdout.readline())

    def run(self, recipe: Recipe) -> int:
        """Run it to its end; its return code."""
        self.start(recipe)
        return self.end()

    def close(self) -> None:
        """The end, also of a run that a failed test left."""
        if self.running:
            os.kill(self.running, signal.SIGKILL)
            self.end()
        self.parent.stdin.close()
        self.parent.stdout.close()
        self.parent.wait()


@pytest.fixture(scope="session")
def children():
    made = Children()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def _no_checkpoint_by_the_clock(monkeypatch):
    """A run of this process writes checkpoints at its end only, however slow the machine is."""
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", math.inf)


@pytest.fixture
def quick():
    """Compiled in half the time, to run slower: for structures that one test alone needs."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)
