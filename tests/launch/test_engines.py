"""Grids by worker processes: whatever a run does to its process, the others end, and nothing is lost or run twice."""

import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gradlab.commands.main import main
from gradlab.launch.engines import contract, local
from gradlab.recipe.errors import RecipeError
from gradlab.store.status import read_status
from tests.launch import stored
from tests.recipes import TINY, recipe

FAULTY = "tests.launch.faulty"
FEW = ("probe=[backward,forward]", "snapshot=[]")
LOCAL = ("engine=local", "engine.workers=2")
LONG = ("depth=2", "width=8", "batch_size=16", "steps=3000", "eval.every=100", "log.every=20", *FEW)


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def folders(place: Path) -> list[Path]:
    return sorted(path.parent for path in place.rglob("status.json"))


def states(place: Path) -> dict[str, str]:
    """The state of each run by its activation."""
    found = {}
    for folder in folders(place):
        activation = re.search(r"activation:\n\s+name: (\S+)", (folder / "recipe.yaml").read_text())[1]
        found[activation.rpartition(":")[2]] = read_status(folder)["state"]
    return found


def results(place: Path) -> dict[str, dict]:
    return {folder.name: stored.result(folder) for folder in folders(place)}


def workers(above: int | None = None) -> list[int]:
    """The processes below this one, or another, that train."""
    listed = subprocess.run(
        ["ps", "-wweo", "pid,ppid,args"], capture_output=True, text=True, check=True
    ).stdout
    lines = [line.split(None, 2) for line in listed.splitlines()[1:]]
    below = {above or os.getpid()}
    for _ in range(5):  # generations
        below |= {int(pid) for pid, parent, _ in lines if int(parent) in below}
    return [
        int(pid) for pid, _, args in lines if int(pid) in below and "loky" in args and "tracker" not in args
    ]


def lives(process: int) -> bool:
    """Whether a process does anything: one that has ended waits for its parent to look."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_whatever_a_run_does_to_its_process_the_others_end(elsewhere, capsys):
    bad = ["raises", "ends", "killed_once", "unbuildable"]
    activations = ",".join(["tanh", *(f"{FAULTY}:{name}" for name in bad)])
    words = ["run", "-m", *TINY, *FEW, f"activation={activations}"]
    assert main([*words, *LOCAL, "outputs=out"]) == 1
    said = capsys.readouterr()
    assert states(elsewhere / "out") == {
        "tanh": "finished",
        "raises": "failed",
        "ends": "failed",
        "killed_once": "finished",
    }
    summary = said.err.partition("3 of 5 runs failed\n")[2].splitlines()
    reasons = {line.partition("faulty:")[2].split()[0]: line for line in summary}
    assert set(reasons) == {"raises", "ends", "unbuildable"}
    assert "ValueError: not today" in reasons["raises"]
    assert "its process ended with exit code 7, twice" in reasons["ends"]
    assert "TypeError: no network" in reasons["unbuildable"]
    assert "killed_once: its process was killed (SIGKILL)" in said.err
    assert "Traceback" not in said.err
    assert "runs        5: 2 finished, 2 failed, 1 not started" in said.out
    assert workers() == []

    # the same in this process, alone: the same bits
    assert main(["run", "-m", *TINY, *FEW, f"activation=tanh,{FAULTY}:killed_once", "outputs=here"]) == 0
    alone = results(elsewhere / "here")
    assert {name: result for name, result in results(elsewhere / "out").items() if name in alone} == alone

    # again: what has failed is not tried, and said
    assert main([*words, *LOCAL, "outputs=out"]) == 1
    again = capsys.readouterr().err
    assert again.count("failed before (--retry-failed runs it again)") == 2 * 2


SLOW = {
    "exits": "SystemExit: 3",
    "takes_memory": "MemoryError",
    "takes_disk": r"cannot be written \(File too large",
    "hangs": r'its time limit of 30 s; its process ended with exit code 1: File ".*faulty.py", line \d+ in',
    "aborts": "SIGABRT: Fatal Python error: Aborted, twice",
    "killed": r"its process was killed \(SIGKILL\), as the system does when memory runs out, twice",
    "infinite": "not finite",
}


@pytest.mark.slow
@pytest.mark.parametrize("place", [0, 9])
@pytest.mark.parametrize("name", SLOW)
def test_of_ten_cells_nine_end_and_the_tenth_is_named(elsewhere, capsys, name, place):
    limit = ["--time-limit", "30"] if name == "hangs" else []
    good = [f"tests.launch.activations:good{index}" for index in range(9)]
    names = [*good[:place], f"{FAULTY}:{name}", *good[place:]]
    words = [*TINY, *FEW, "on_nonfinite=raise", f"activation={','.join(names)}", *LOCAL]
    code = main(["run", "-m", *words, *limit])
    said = capsys.readouterr().err
    found = states(elsewhere)
    assert code == (74 if name == "takes_disk" else 1)
    assert {found.pop(f"good{index}") for index in range(9)} == {"finished"}
    assert set(found.values()) <= {"failed"}
    assert "1 of 10 runs failed" in said
    assert re.search(SLOW[name], said) or SLOW[name] in said


def start(*words: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "gradlab", "run", "-m", *LONG, *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for_steps(place: Path, steps: int, process: subprocess.Popen) -> None:
    """Until a run has done so many steps."""
    until = time.monotonic() + 120
    while time.monotonic() < until and process.poll() is None:
        if any(read_status(folder).get("steps_done", 0) >= steps for folder in folders(place)):
            return
        time.sleep(0.05)
    raise AssertionError("no run has begun")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The grid that nobody disturbs."""
    place = tmp_path_factory.mktemp("whole")
    assert main(["run", "-m", *LONG, "seed=0,1,2", "engine=inline", f"outputs={place}", "--quiet"]) == 0
    return results(place)


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow), signal.SIGKILL]
)
def test_a_supervisor_that_is_ended_takes_its_workers_along_and_the_same_command_ends_the_study(
    elsewhere, whole, number
):
    process = start("seed=0,1,2", *LOCAL)
    wait_for_steps(elsewhere, 100, process)
    training = workers(process.pid)
    assert training
    process.send_signal(number)
    said = process.communicate(timeout=90)[1]
    assert process.returncode == (-9 if number == signal.SIGKILL else 128 + number)
    if number != signal.SIGKILL:
        assert f"interrupted: {number.name}; " in said
        assert "run the same command again to continue" in said
    assert main(["run", "-m", *LONG, "seed=0,1,2", "engine=inline", "--quiet"]) == 0
    assert results(elsewhere) == whole
    until = time.monotonic() + 60
    while alive := [worker for worker in training if lives(worker)]:
        assert time.monotonic() < until, alive
        time.sleep(0.1)


def test_a_study_in_use_is_said(elsewhere, capsys, monkeypatch):
    monkeypatch.setattr("gradlab.launch.study.PATIENCE", 0.1)
    process = start("seed=0,1,2", "steps=300000", "engine=inline")
    try:
        wait_for_steps(elsewhere, 100, process)
        assert main(["run", "-m", *LONG, "seed=0,1,2", "steps=300000", *LOCAL]) == 2
    finally:
        process.kill()
        process.communicate()
    said = capsys.readouterr().err
    assert "another process is writing there; wait for it or stop it" in said
    assert said.count("\n") == 1


@pytest.mark.slow
def test_a_run_that_someone_interrupts_goes_on(elsewhere, capsys):
    words = [*TINY, *FEW, f"activation=tanh,{FAULTY}:stopped_once"]
    assert main(["run", "-m", *words, *LOCAL]) == 0
    assert set(states(elsewhere).values()) == {"finished"}
    assert "stopped_once: a signal; it is tried again" in capsys.readouterr().err


@pytest.mark.slow
def test_a_hundred_runs_killed_at_random_five_times_have_the_bits_of_those_left_alone(elsewhere):
    words = ("seed=range(0,25)", "lr=0.1,0.2", "activation=tanh,relu", "steps=300")
    rng = random.Random(7)
    for _ in range(5):
        process = start(*words, *LOCAL)
        time.sleep(rng.uniform(8, 25))
        if process.poll() is None:
            for victim in {rng.choice([process.pid, *workers(process.pid)]), process.pid}:
                os.kill(victim, signal.SIGKILL)
        process.communicate()
    assert main(["run", "-m", *LONG, *words, *LOCAL, "--quiet"]) == 0
    assert main(["run", "-m", *LONG, *words, "engine=inline", "outputs=whole", "--quiet"]) == 0
    assert results(elsewhere / "outputs") == results(elsewhere / "whole")
    assert len(folders(elsewhere / "outputs")) == 100


# ---- bad input

BAD = {
    ("engine=local", "engine.workers=0"): "engine.workers=0 must be a whole number from 1",
    ("engine=lokal",): "there is no engine 'lokal'; did you mean 'engine=local'?",
    ("engine=local", "engine.jobs=3"): "engine=local has no option 'engine.jobs'; did you mean",
    ("engine=local,inline",): "engine=local,inline: one engine carries a whole grid; give one value",
    ("engine=slurm", "engine.minutes=1"): "engine.minutes=1 must be a whole number from 2",
    ("hydra/launcher=joblib",): "'hydra/launcher' is Hydra's; gradlab's engine for it is engine=local",
    ("--time-limit", "soon"): "'soon' is not a time such as 90, 90s, 15m or 2h",
}


@pytest.mark.parametrize(("words", "message"), BAD.items(), ids=" ".join)
def test_bad_input_is_one_line(elsewhere, capsys, words, message):
    assert main(["run", "-m", *TINY, "seed=0,1", *words]) == 2
    said = capsys.readouterr().err
    assert message.replace("did you mean 'engine=local'", "did you mean 'local'") in said.replace(
        "did you mean 'engine=local'", "did you mean 'local'"
    )
    assert said.count("\n") == 1
    assert not list(elsewhere.iterdir())


@pytest.mark.parametrize(("engine", "module"), [("slurm", "submitit"), ("ray", "ray")])
def test_an_engine_whose_library_is_missing_says_what_installs_it(
    elsewhere, capsys, monkeypatch, engine, module
):
    monkeypatch.setitem(sys.modules, module, None)
    assert main(["run", "-m", *TINY, "seed=0,1", f"engine={engine}"]) == 2
    assert capsys.readouterr().err == (
        f"gradlab run: engine={engine} needs {module}, which is not installed: "
        f"pip install 'gradlab-jax[{engine}]'\n"
    )


def test_where_there_is_no_slurm_that_is_said(elsewhere, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", object())
    monkeypatch.setenv("PATH", str(elsewhere))
    assert main(["run", "-m", *TINY, "seed=0,1", "engine=slurm"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("gradlab run: engine=slurm: there is no sbatch here; ")
    assert said.count("\n") == 1


def test_an_experiment_cannot_choose_the_engine(elsewhere, capsys):
    (elsewhere / "experiments").mkdir()
    for content in ("engine: {name: slurm}", "defaults: [{override /engine: slurm}]"):
        (elsewhere / "experiments" / "far.yaml").write_text(f"# far?\n{content}\n")
        assert main(["run", "experiment=far"]) == 2
        assert "far.yaml" in capsys.readouterr().err


# ---- which engine


def opened(name: str, *recipes) -> object:
    part = {"name": name, "workers": "auto"}
    return contract.engine.make(part).open(list(recipes))


def test_auto_takes_worker_processes_where_a_grid_is_worth_them(monkeypatch):
    monkeypatch.setattr(local.loky, "cpu_count", lambda: 4)
    monkeypatch.setattr(local, "gpus", lambda recipes: [])
    one = [recipe(*TINY, f"seed={seed}") for seed in range(8)]
    assert opened("auto", *one[:7]) is None
    carrier = opened("auto", *one)
    assert carrier.slots == 4
    carrier.close()
    structures = [recipe(*TINY, f"activation={name}") for name in ("tanh", "relu", "elu")]
    assert opened("auto", *structures[:2]) is None
    carrier = opened("auto", *structures)
    assert carrier.slots == 3  # no more than there are runs
    carrier.close()
    monkeypatch.setattr(local.loky, "cpu_count", lambda: 1)
    assert opened("auto", *one) is None


def test_a_worker_for_each_gpu(monkeypatch):
    from gradlab.launch import devices

    monkeypatch.setattr(devices, "_jax_knows_gpus", lambda: True)
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    monkeypatch.setenv(devices.VISIBLE, "2,5")
    on_gpu = [recipe(*TINY, f"seed={seed}") for seed in range(4)]
    assert devices.gpus(on_gpu) == ["2", "5"]
    assert local.worker_count(on_gpu, "auto") == 2
    assert [devices.share(["2", "5"], slot, 2)[devices.VISIBLE] for slot in range(2)] == ["2", "5"]
    shared = devices.share(["2", "5"], 3, 4)
    assert (shared[devices.VISIBLE], shared["XLA_PYTHON_CLIENT_PREALLOCATE"]) == ("5", "false")
    assert devices.gpus([recipe(*TINY, "device=cpu")]) == []
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    assert devices.gpus(on_gpu) == []


def test_an_engine_is_what_its_maker_says():
    with pytest.raises(RecipeError, match="engine=nowhere is not known"):
        contract.engine.check({"name": "nowhere"})
