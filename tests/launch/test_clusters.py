"""Grids on a real Slurm of one machine and on a real Ray: `pytest -m slow tests/launch/test_clusters.py`.

For Slurm, SLURM_CONF names the configuration of one that runs, with this machine as its node.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from gradlab.commands.main import main
from gradlab.store.status import read_status
from tests.launch.test_engines import FAULTY, FEW, LONG, folders, results, states, wait_for_steps, workers
from tests.recipes import TINY

NO_SLURM = shutil.which("sbatch") is None or "SLURM_CONF" not in os.environ or find_spec("submitit") is None
SLURM = ("engine=slurm", "engine.jobs=2", "engine.minutes=5", "engine.memory=2")
RAY = ("engine=ray", "engine.jobs=2")
pytestmark = pytest.mark.slow
ENGINES = [
    pytest.param(SLURM, id="slurm", marks=pytest.mark.skipif(NO_SLURM, reason="there is no Slurm")),
    pytest.param(RAY, id="ray", marks=pytest.mark.skipif(find_spec("ray") is None, reason="there is no Ray")),
]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    return tmp_path


def gradlab(*words: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "gradlab", "run", "-m", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=500)


def start(*words: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "gradlab", "run", "-m", *LONG, "steps=30000", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def jobs() -> list[str]:
    listed = subprocess.run(["squeue", "-h", "-r", "-o", "%i"], capture_output=True, text=True, check=True)
    return listed.stdout.split()


def alone(words: tuple[str, ...], place: Path) -> dict:
    assert (
        main(["run", "-m", *LONG, "steps=30000", *words, "engine=inline", f"outputs={place}", "--quiet"]) == 0
    )
    return results(place)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("bad", ["raises", "ends", "killed", "unbuildable", "infinite", "hangs"])
def test_of_ten_cells_nine_end_and_the_tenth_is_named(elsewhere, engine, bad):
    names = ["tanh", f"{FAULTY}:{bad}"]
    limit = ["--time-limit", "40"] if bad == "hangs" else []
    words = [*TINY, *FEW, f"activation={','.join(names)}", "on_nonfinite=raise", *engine, *limit]
    if bad not in ("hangs", "killed"):
        words[-len(engine) : -len(engine)] = ["seed=range(0,5)"]
    done = gradlab(*words)
    found = states(elsewhere)
    assert done.returncode == 1
    assert found["tanh"] == "finished"
    assert bad == "unbuildable" or found[bad] == "failed"
    assert re.search(rf"\d+ of \d+ runs failed\n  .*{bad}", done.stderr)
    assert not [folder for folder in folders(elsewhere) if read_status(folder)["state"] == "running"]
    if bad == "hangs":
        assert "time limit of 40 s" in done.stderr


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_same_command_ends_a_study_whose_supervisor_was_ended(elsewhere, engine, number):
    process = start("seed=0,1", *engine)
    wait_for_steps(elsewhere, 200, process)
    process.send_signal(number)
    process.communicate(timeout=120)
    again = gradlab(*LONG, "steps=30000", "seed=0,1", *engine)
    assert again.returncode == 0, again.stderr
    assert results(elsewhere / "outputs") == alone(("seed=0,1",), elsewhere / "alone")
    if engine == SLURM:
        assert jobs() == []


@pytest.mark.skipif(NO_SLURM, reason="there is no Slurm")
def test_a_job_that_is_preempted_goes_on(elsewhere):
    process = start("seed=0,1", *SLURM)
    wait_for_steps(elsewhere, 200, process)
    subprocess.run(["scancel", "--signal=USR2", jobs()[0]], check=True)
    until = time.monotonic() + 60
    while time.monotonic() < until:
        found = [read_status(folder) for folder in folders(elsewhere)]
        if any(status["state"] == "interrupted" for status in found):
            break
        time.sleep(0.2)
    else:
        raise AssertionError("no run was interrupted")
    said = process.communicate(timeout=400)[1]  # Slurm begins a requeued job after two minutes
    assert process.returncode == 0, said
    assert results(elsewhere / "outputs") == alone(("seed=0,1",), elsewhere / "alone")


@pytest.mark.skipif(NO_SLURM, reason="there is no Slurm")
def test_a_job_that_someone_cancels_is_submitted_again(elsewhere):
    process = start("seed=0,1", *SLURM)
    wait_for_steps(elsewhere, 200, process)
    subprocess.run(["scancel", "--signal=KILL", jobs()[0]], check=True)
    said = process.communicate(timeout=400)[1]
    assert process.returncode == 0, said
    assert "it is tried again" in said
    assert results(elsewhere / "outputs") == alone(("seed=0,1",), elsewhere / "alone")


@pytest.mark.skipif(NO_SLURM, reason="there is no Slurm")
def test_a_partition_that_is_not_there_is_one_line(elsewhere):
    done = gradlab(*TINY, "seed=0,1", *SLURM, "engine.partition=nowhere")
    assert done.returncode == 2
    assert done.stderr.startswith("gradlab run: engine=slurm: ")
    assert "nowhere" in done.stderr or "invalid partition" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not folders(elsewhere)


@pytest.mark.parametrize("engine", ENGINES)
def test_no_worker_is_left(engine):
    assert gradlab(*TINY, *FEW, "seed=0,1", *engine).returncode == 0
    assert workers() == []
