"""The command itself, as a shell starts it: exit codes, what stands on the terminal, signals."""

import json
import signal
import subprocess
import sys
import time

import pytest

from tests.waiting import until

WORDS = ("depth=2", "width=8", "eval.every=4", "batch_size=16", "device=cpu")
BAD = [
    ("depht=3", "did you mean 'depth'"),
    ("depth=0", "depth=0 must be"),
    ("depth=-1", "depth=-1 must be"),
    ("depth=abc", "depth=abc must be"),
    ("depth=2.5", "depth=2.5 must be"),
    ("lr=abc", "lr=abc must be"),
    ("lr=-1", "lr=-1.0 must be"),
    ("lr=nan", "lr=nan must be"),
    ("clip=norm clip.threshold=0", "clip.threshold=0.0 must be a number above 0"),
    ("clip=nrm", "did you mean 'norm'"),
    ("clip.threshold=1", "no option 'clip.threshold' for clip=none"),
    ("batch_size=2000", "batch_size=2000 is larger"),
    ("device=abacus", "device=abacus is not known"),
    ("device=tpu", "device=tpu is not available"),
    ("outputs=/proc/nowhere", "cannot be written"),
    ("outputs=/dev/null", "cannot be written"),
    ("seed=4294967296", "seed=4294967296 must be"),
]
SLOW = {
    "depth=-1",
    "depth=abc",
    "depth=2.5",
    "lr=abc",
    "lr=nan",
    "clip=nrm",
    "outputs=/dev/null",
    "device=abacus",
}


def command(*words: str) -> list[str]:
    return [sys.executable, "-W", "error", "-m", "gradlab", "run", *WORDS, *words]


def start(place, *words: str) -> subprocess.Popen:
    """Started, and writing: the status tells of steps of this process."""
    seen = time.time_ns()
    process = subprocess.Popen(
        command(*words, "--quiet"), cwd=place, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )

    def writes() -> bool:
        assert process.poll() is None, process.communicate()[1]
        return any(
            path.stat().st_mtime_ns > seen and json.loads(path.read_text())["steps_done"] > before(place)
            for path in place.glob("outputs/*/*/status.json")
        )

    until(writes)
    return process


def before(place) -> int:
    """The steps of the last checkpoint."""
    return max([int(path.name[:9]) for path in place.glob("outputs/*/*/checkpoint/*.npz")], default=0)


@pytest.mark.few(1)
@pytest.mark.parametrize(
    ("words", "told"),
    [pytest.param(*one, marks=[pytest.mark.slow] * (one[0] in SLOW), id=one[0]) for one in BAD],
)
def test_bad_input_is_two_lines_at_most_and_leaves_nothing(tmp_path, words, told):
    done = subprocess.run(command(*words.split()), cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert told in done.stderr
    assert done.stderr.startswith("gradlab run: ")
    assert done.stderr.count("\n") <= 2
    assert "Traceback" not in done.stderr + done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_signals_stop_it_a_second_one_is_refused_and_it_goes_on(tmp_path):
    endless = "steps=1000000"
    first = start(tmp_path, endless)
    second = subprocess.run(command(endless), cwd=tmp_path, capture_output=True, text=True)
    assert second.returncode == 2
    assert f"is being written by process {first.pid}; wait for it or stop it\n" in second.stderr
    assert second.stderr.count("\n") == 1
    first.send_signal(signal.SIGINT)
    error = first.communicate(timeout=600)[1]
    assert first.returncode == 130
    assert "interrupted: SIGINT after step" in error
    (status,) = tmp_path.glob("outputs/*/*/status.json")
    made = json.loads(status.read_text())
    assert (made["state"], made["steps_done"]) == ("interrupted", before(tmp_path))
    last = start(tmp_path, endless)
    last.send_signal(signal.SIGTERM)
    last.communicate(timeout=600)
    assert last.returncode == 143
    again = json.loads(status.read_text())
    assert again["state"] == "interrupted"
    assert again["steps_done"] > made["steps_done"]
    assert again["started"] == made["started"]
    assert again["seconds"] > made["seconds"]
