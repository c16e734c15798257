"""Each way to end has one state, one exit code and a message with its reason; readers tell a killed run from others."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import pytest
from matplotlib.figure import Figure

from gradlab.commands.main import main
from gradlab.parts import family
from gradlab.recipe import errors, signals
from gradlab.report import pictures
from gradlab.store import files, lock
from gradlab.store.read import open_run
from gradlab.store.status import read_status
from tests import runs
from tests.analysis.test_clip_advice import noise, recorded
from tests.launch import stored
from tests.launch.test_disk import no_file_above
from tests.recipes import TINY

RUN = ["run", *TINY, "device=cpu", "steps=4", "probe=[backward]", "--quiet"]
EXITS = {
    "SystemExit: 3": "raise SystemExit(3)",
    "SystemExit": "raise SystemExit",
    "KeyboardInterrupt": "raise KeyboardInterrupt",
    "Mine: what": "raise type('Mine', (BaseException,), {})('what')",
    "ValueError: what": "raise ValueError('what')",
}
# the words of a run that calls the function `f` of the module MODULE, and what the module holds
OWN = {
    "imported": ("activation=MODULE:f", "EXIT"),
    "traced": ("activation=MODULE:f", "def f(z):\n    EXIT"),
    "making data": ("data=MODULE:f", "def f():\n    EXIT"),
    "finishing a snapshot": (
        "snapshot=MODULE:f",
        """
import jax.numpy as jnp
from gradlab import Column, Snapshot
def finish(computed):
    EXIT
def f():
    return Snapshot((Column("mine", "mine", kind="step"),), lambda _: jnp.ones(()), finish)
""",
    ),
    "called back": (
        "activation=MODULE:f",
        """
import jax
def call(z):
    EXIT
@jax.custom_jvp
def f(z):
    return jax.pure_callback(call, jax.ShapeDtypeStruct(z.shape, z.dtype), z)
f.defjvp(lambda primals, tangents: (f(*primals), *tangents))
""",
    ),
}
BEGUN = {"finishing a snapshot", "called back"}
CASES = [(place, raises) for place in OWN for raises in EXITS]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """In a folder of its own, compiled fast to run slower."""
    monkeypatch.chdir(tmp_path)
    jax.config.update("jax_disable_most_optimizations", True)
    yield tmp_path
    jax.config.update("jax_disable_most_optimizations", False)


def own(place: Path, where: str, raises: str) -> str:
    """The words of a run that calls a user's function, in a module of its own."""
    words, source = OWN[where]
    module = f"own_{place.name}_{len(list(place.glob('*.py')))}"
    (place / f"{module}.py").write_text(source.replace("EXIT", EXITS[raises]))
    return words.replace("MODULE", module)


def cases(*kept: tuple[str, str]):
    return [pytest.param(*case, marks=[] if case in kept else [pytest.mark.slow]) for case in CASES]


@pytest.mark.parametrize(
    ("where", "raises"),
    cases(
        *((where, "SystemExit: 3") for where in OWN),
        *(("traced", raises) for raises in EXITS),
    ),
)
def test_whatever_a_user_s_function_raises_is_the_failure_of_its_run(elsewhere, capsys, where, raises):
    """Before anything is begun it is bad input; later the run has failed."""
    code = main([*RUN, own(elsewhere, where, raises)])
    said = capsys.readouterr().err
    reason = raises if (where, raises) != ("imported", "ValueError: what") else "what"
    assert said.count("\n") == 1
    assert reason in said
    assert "Traceback" not in said
    states = [read_status(path.parent) for path in elsewhere.rglob("status.json")]
    assert code == (1 if where in BEGUN else 2)
    assert [status["state"] for status in states] == (["failed"] if where in BEGUN else [])
    assert all(raises in status["message"] for status in states)


def test_control_what_passes_the_gate_ends_the_process(elsewhere, monkeypatch):
    monkeypatch.setattr(signals, "is_request", lambda error: not isinstance(error, Exception))
    with pytest.raises(SystemExit):
        main([*RUN, own(elsewhere, "traced", "SystemExit: 3")])
    with pytest.raises(SystemExit):
        main([*RUN, own(elsewhere, "finishing a snapshot", "SystemExit: 3")])
    (status,) = elsewhere.rglob("status.json")
    assert read_status(status.parent)["state"] == "running"


@pytest.mark.parametrize("where", ["traced", pytest.param("finishing a snapshot", marks=pytest.mark.slow)])
def test_the_other_runs_of_a_grid_go_on(elsewhere, capsys, where):
    words = own(elsewhere, where, "SystemExit: 3")
    key = words.partition("=")[0]
    other = {"activation": "tanh", "snapshot": "[]"}[key]
    assert main([*RUN, "-m", f"{words},{other}"]) == 1
    said = capsys.readouterr().err
    assert "gradlab run: 1 of 2 runs failed\n" in said
    states = sorted(read_status(path.parent)["state"] for path in elsewhere.rglob("status.json"))
    assert states == (["failed"] if where in BEGUN else []) + ["finished"]


# ---- processes that are ended

KILLED = """
import os
from pathlib import Path
import jax.numpy as jnp
def f(z):
    if Path("end").exists() and list(Path("outputs").rglob("status.json")):
        os._exit(7)
    return jnp.tanh(z)
"""


def test_an_end_of_the_process_leaves_a_killed_run_which_goes_on(elsewhere, capsys):
    """No one can catch `os._exit`; its code is the user's."""
    (elsewhere / "ends.py").write_text(KILLED)
    (elsewhere / "end").touch()
    words = [*RUN, "activation=ends:f"]
    done = subprocess.run([sys.executable, "-m", "gradlab", *words], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (7, "")
    (folder,) = (path.parent for path in elsewhere.rglob("status.json"))
    assert read_status(folder)["state"] == "running"
    assert main(["ls"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[1] == "killed"
    with pytest.raises(errors.RecipeError, match="was killed while running"):
        open_run(folder)
    (elsewhere / "end").unlink()
    assert main(words) == 0
    assert main([*words, "outputs=whole"]) == 0
    (whole,) = (path.parent for path in (elsewhere / "whole").rglob("status.json"))
    assert stored.result(folder) == stored.result(whole)


def test_ls_tells_a_killed_run_from_a_running_one_by_its_lock(elsewhere, capsys):
    folder = runs.simple(elsewhere / "study" / "d20")
    (folder / "status.json").write_text(json.dumps(runs.status("running")))

    def state() -> str:
        assert main(["ls", "study"]) == 0
        return capsys.readouterr().out.splitlines()[1].split()[1]

    assert state() == "killed"
    with lock.hold(folder):
        assert state() == "running"
    assert state() == "killed"


# ---- file systems that take no more

FAILING = [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS]
DRAWN = {
    "plot": ["plot", "study", "--kind", "training"],
    "plot --out": ["plot", "study", "--kind", "training", "--out", "pictures"],
    "compare": ["compare", "study"],
    "compare --out": ["compare", "study", "--out", "pictures/it.png"],
    "suggest-clip": ["suggest-clip", "study"],
}


def refuse(monkeypatch, number: int, place: object = files, name: str = "write") -> None:
    def fails(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(place, name, fails)


@pytest.mark.few(6)
@pytest.mark.parametrize("number", [*FAILING, errno.EACCES], ids=errno.errorcode.get)
@pytest.mark.parametrize("words", [pytest.param(words, id=name) for name, words in DRAWN.items()])
def test_a_picture_that_the_disk_does_not_take_is_told(elsewhere, monkeypatch, capsys, words, number):
    for name in ("a", "b"):
        recorded(elsewhere / "study" / name, noise(20))
    refuse(monkeypatch, number)
    code = main(words)
    said = capsys.readouterr().err if words[0] != "suggest-clip" or number in FAILING else ""
    if number not in FAILING:
        assert code == 2
        return
    assert code == 74
    assert said.count("\n") == 1
    assert f".png cannot be written ({os.strerror(number)}; " in said
    assert said.endswith("MiB are free)\n")


def test_a_run_whose_pictures_the_disk_does_not_take_is_finished(elsewhere, capsys):
    assert main(RUN) == 0  # compiled, and drawn once
    capsys.readouterr()
    with no_file_above(24_000):  # a table is smaller, a picture larger
        code = main([*RUN, "outputs=full"])
    (folder,) = (path.parent for path in (elsewhere / "full").rglob("status.json"))
    said = capsys.readouterr().err
    assert (code, read_status(folder)["state"]) == (74, "finished")
    assert said.startswith(f"gradlab run: figures: {folder.relative_to(elsewhere)}/figures/")
    assert "cannot be written (File too large; " in said
    assert said.count("\n") == 1
    assert main([*RUN, "outputs=full"]) == 0


@pytest.mark.parametrize(("number", "code"), [(errno.ENOSPC, 74), (errno.EROFS, 74), (errno.EACCES, 2)])
def test_a_folder_that_cannot_be_made(monkeypatch, capsys, number, code):
    refuse(monkeypatch, number, lock, "hold")
    assert main(RUN) == code
    said = capsys.readouterr().err
    assert said.startswith("gradlab run: outputs=outputs cannot be written")
    assert ("MiB are free" in said) is (code == 74)


def test_an_output_that_takes_no_more_is_told(elsewhere, monkeypatch, capsys):
    runs.simple(elsewhere / "study" / "d20")
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        code = main(["ls", "study"])
    assert code == 74
    said = capsys.readouterr().err
    assert said == "gradlab ls: the output cannot be written (No space left on device)\n"


def test_control_an_error_that_is_not_of_the_disk_is_not_called_so(elsewhere, monkeypatch):
    runs.simple(elsewhere / "study" / "d20")
    monkeypatch.setattr(errors, "STORAGE", set())
    refuse(monkeypatch, errno.ENOSPC)
    assert main(["plot", "study", "--kind", "training"]) == 2


# ---- what a process that was killed while it drew has left


def drawn_beside(elsewhere: Path, age: float) -> bool:
    """Whether an incomplete picture of this age is still there when the picture is drawn again."""
    left = elsewhere / "figures" / ".training.png.1234.tmp"
    left.parent.mkdir(exist_ok=True)
    left.write_bytes(b"half")
    os.utime(left, (time.time() - age,) * 2)
    assert pictures.save(Figure(), elsewhere / "figures" / "training.png", elsewhere).exists()
    return left.exists()


def test_an_old_incomplete_picture_is_removed_and_one_that_is_being_drawn_is_not(elsewhere, monkeypatch):
    assert not drawn_beside(elsewhere, 3600)
    assert drawn_beside(elsewhere, 1)
    monkeypatch.setattr(pictures, "STALE", float("inf"))  # control: without the safeguard it stays
    assert drawn_beside(elsewhere, 7200)


def test_the_exit_code_of_a_signal_is_that_of_a_shell():
    assert [signals.Stop(number).exit_code for number in (signal.SIGINT, signal.SIGTERM)] == [130, 143]
    assert family.signals is signals
