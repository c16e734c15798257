"""A signal at any moment ends a command with 130 or 143 in a known state; the same command ends what it began.

Moments are chosen by class: what a command does one after the other, in the first and in the second run of a grid, and
the ways in which an exception is lost there. Random ones are under `slow`, in processes of their own.
"""

import gc
import itertools
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import gradlab
from gradlab.analysis import verdicts
from gradlab.commands import run as run_command
from gradlab.commands.main import main
from gradlab.engine import prepare
from gradlab.launch import run, run_writer, study
from gradlab.recipe import signals
from gradlab.report import pictures, study_console
from gradlab.store import write
from gradlab.store.status import read_status
from tests.analysis.test_clip_advice import noise, recorded
from tests.launch import stored
from tests.recipes import TINY

GRID = ["-m", *TINY, "lr=0.1,0.2", "device=cpu"]
STATES = {"interrupted", "finished"}
MOST = 50  # random moments
USUAL = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """In a folder of its own, with the handlers of a process in the foreground."""
    monkeypatch.chdir(tmp_path)
    before = {number: signal.signal(number, handler) for number, handler in USUAL.items()}
    yield tmp_path
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The grid where no signal comes."""
    place = tmp_path_factory.mktemp("whole")
    assert main(["run", *GRID, f"outputs={place}", "--quiet"]) == 0
    return results(place)


def results(place):
    return {path.parent.name: stored.result(path.parent) for path in place.rglob("status.json")}


def sent(number):
    os.kill(os.getpid(), number)


def swallowed(number):
    """As in a library with a bare `except`."""
    with pytest.raises(KeyboardInterrupt):
        sent(number)


def turned(number):
    """As in an extension module whose import fails."""
    try:
        sent(number)
    except KeyboardInterrupt:
        raise ImportError("half imported") from None


def collected(number):
    """In a callback of the garbage collector, where JAX has one: no exception leaves it."""

    def callback(phase, _):
        if phase == "start":
            gc.callbacks.remove(callback)
            sent(number)

    gc.callbacks.append(callback)
    gc.collect()


ONCE = {  # where, and how the signal comes
    "composing": (run_command, "grid", sent),
    "loading data": (run_command, "_data", sent),
    "importing": (run_command, "_data", turned),
    "drawing": (pictures, "save", sent),
    "drawing, in a callback": (pictures, "save", collected),
}
OF_EACH_RUN = {
    "preparing": (study, "prepare", sent),
    "tracing": (prepare.PreparedRun, "remarks", sent),
    "compiling": (run, "compile_run", sent),
    "compiling, in a callback": (run, "compile_run", collected),
    "compiling, swallowed": (run, "compile_run", swallowed),
    "resuming": (run_writer.RunWriter, "resume", sent),
    "training": (run_writer.RunWriter, "flush", sent),
    "in the last chunk": (run_writer.RunWriter, "end", sent),
    "compacting": (write, "compact", sent),
    "reporting": (study_console.StudyConsole, "_row", sent),
    "reporting, in a callback": (study_console.StudyConsole, "_row", collected),
}
MOMENTS = ONCE | OF_EACH_RUN
CASES = [(name, 1) for name in MOMENTS] + [(name, 2) for name in OF_EACH_RUN]


def at(monkeypatch, moment: tuple, count: int, number: int) -> None:
    """Send a signal when this moment comes the `count`th time."""
    place, name, send = moment
    original, calls = getattr(place, name), itertools.count(1)

    def hooked(*args, **options):
        if next(calls) == count:
            send(number)
        return original.fget(*args) if isinstance(original, property) else original(*args, **options)

    monkeypatch.setattr(place, name, property(hooked) if isinstance(original, property) else hooked)


def again_is(whole, elsewhere):
    """The same command ends what was begun, with the bits of one that was left alone."""
    assert main(["run", *GRID, "--quiet"]) == 0
    assert results(elsewhere) == whole
    assert not list(elsewhere.rglob("*.tmp"))


@pytest.mark.few(6)
@pytest.mark.parametrize(("moment", "count"), CASES)
def test_a_signal_ends_a_grid_in_a_known_state(monkeypatch, elsewhere, capsys, whole, moment, count):
    number = [signal.SIGINT, signal.SIGTERM][len(moment) % 2]
    with monkeypatch.context() as patch:
        at(patch, MOMENTS[moment], count, number)
        code = main(["run", *GRID, "--quiet"])
    said = capsys.readouterr()
    assert code == 128 + number
    assert "Traceback" not in said.err
    assert said.out == ""
    states = [read_status(folder)["state"] for folder in folders(elsewhere)]
    assert set(states) <= STATES
    assert len(states) <= (2 if "drawing" in moment else count)  # no run was begun after it
    again_is(whole, elsewhere)


def folders(place):
    return [path.parent for path in place.rglob("status.json")]


def test_a_signal_in_the_last_chunk_of_a_run_ends_the_grid_and_tells_what_is_finished(
    monkeypatch, elsewhere, capsys
):
    with monkeypatch.context() as patch:
        at(patch, MOMENTS["in the last chunk"], 1, signal.SIGTERM)
        assert main(["run", *GRID, "--quiet"]) == 143
    (folder,) = folders(elsewhere)
    assert read_status(folder)["state"] == "finished"
    assert capsys.readouterr().err == (
        f"gradlab run: interrupted: SIGTERM; 1 of 2 runs not started; stored in {folder.relative_to(elsewhere)}; "
        "run the same command again to continue\n"
    )


def test_control_where_nobody_looks_the_next_run_is_begun(monkeypatch, elsewhere):
    monkeypatch.setattr(signals, "check", lambda: None)
    at(monkeypatch, MOMENTS["in the last chunk"], 1, signal.SIGTERM)
    main(["run", *GRID, "--quiet"])
    assert len(folders(elsewhere)) == 2


def waited(moments: int) -> int:
    """How many moments a block waits after a signal whose exception was lost in a callback."""
    seen = 0
    try:
        with signals.raised():
            collected(signal.SIGINT)
            for _ in range(moments):
                seen += 1
                time.sleep(0.01)
    except signals.Stop:
        return seen
    return -1


def test_a_stop_that_was_lost_in_a_callback_is_raised_again(capsys):
    assert 0 <= waited(1000) < 1000
    assert capsys.readouterr() == ("", "")


def test_control_one_that_is_not_raised_again_waits_for_the_end_of_the_block(monkeypatch):
    monkeypatch.setattr(signals, "_send", lambda number: None)
    assert waited(10) == 10


def test_blocks_inside_each_other_and_what_they_leave():
    hook = sys.unraisablehook
    with signals.collected() as caught:
        with signals.raised(), signals.collected() as inner:
            sent(signal.SIGTERM)  # noted: the inner block would be broken
            assert inner == caught == [signal.SIGTERM]
            with pytest.raises(signals.Stop), signals.raised():
                pytest.fail("a block that may be left is not entered")
            caught.clear()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert not signals._blocks
    assert sys.unraisablehook is hook
    signals.check()


# ---- from Python, and other commands


def test_python_gets_a_keyboard_interrupt_and_its_handlers_back(monkeypatch, elsewhere):
    with monkeypatch.context() as patch:
        at(patch, MOMENTS["training"], 1, signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            gradlab.run(*TINY, "device=cpu")
    assert {number: signal.getsignal(number) for number in USUAL} == USUAL
    (folder,) = folders(elsewhere)
    assert read_status(folder)["message"] == "SIGTERM after step 4"
    assert gradlab.run(*TINY, "device=cpu").status["state"] == "finished"


def test_a_run_in_a_thread_leaves_signals_alone(elsewhere):
    inside = []

    def work() -> None:
        inside.append(gradlab.run(*TINY, "device=cpu", log__every=2).status["state"])
        inside.append({number: signal.getsignal(number) for number in USUAL})

    with signals.raised():  # of the main thread, which goes on
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert inside[0] == "finished"
    assert inside[1] != USUAL
    assert {number: signal.getsignal(number) for number in USUAL} == USUAL


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    ("words", "moment"),
    [
        (["plot", "--kind", "training"], (pictures, "save", sent)),
        (["plot"], (pictures.files, "write", sent)),
        (["compare"], (pictures, "save", collected)),
        (["diagnose"], (verdicts, "diagnose", sent)),
        (["suggest-clip"], (pictures, "save", sent)),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_other_commands_end_with_its_code_and_leave_nothing_half(
    monkeypatch, elsewhere, capsys, words, moment, number
):
    for name in ("a", "b"):
        recorded(elsewhere / "study" / name, noise(20))
    at(monkeypatch, moment, 1, number)
    assert main([*words, "study"]) == 128 + number
    assert "Traceback" not in capsys.readouterr().err
    assert not list(elsewhere.rglob("*.tmp"))
    assert len(list(elsewhere.rglob("*.png"))) <= 1  # of the figure that was being drawn


# ---- processes of their own

# told when Python is up: before, a signal is not gradlab's
BEGIN = "import sys; print('up', file=sys.stderr, flush=True); from gradlab.commands.main import main; sys.exit(main())"


def begun(place: Path, cache: Path | None = None, words=GRID) -> subprocess.Popen:
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", BEGIN, "run", *words, "--quiet"],
        cwd=place,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | ({"XDG_CACHE_HOME": str(cache)} if cache else {}),
    )
    assert process.stderr.readline() == "up\n"
    return process


def ended(process: subprocess.Popen) -> tuple[int, str]:
    error = process.communicate(timeout=600)[1]
    return process.returncode, error


@pytest.mark.slow
def test_fifty_random_moments_of_a_command(elsewhere, whole, monkeypatch):
    """From the first import to the last picture, with an empty cache of compiled programs every second time."""
    draw, latencies, states = random.Random(0), [], []
    began = time.monotonic()
    assert ended(begun(elsewhere))[0] == 0
    seconds = time.monotonic() - began
    for turn in itertools.count():
        place = elsewhere / str(turn)
        place.mkdir()
        number = draw.choice([signal.SIGINT, signal.SIGTERM])
        process = begun(place, cache=place / "cache" if turn % 2 else None)
        time.sleep(draw.uniform(0.0, seconds))
        was_running = process.poll() is None
        process.send_signal(number)
        sent_at = time.monotonic()
        code, error = ended(process)
        if was_running:
            latencies.append(time.monotonic() - sent_at)
            # one before `main` or after it acts as Python has it
            assert code in (128 + number, -number), (turn, code, error)
            assert code < 0 or "Traceback" not in error, (turn, error)
        states += [read_status(folder)["state"] for folder in folders(place)]
        assert set(states) <= STATES, (turn, states)
        assert not list(place.rglob("*.tmp"))
        monkeypatch.chdir(place)
        again_is(whole, place)
        if len(latencies) == MOST:
            break
    print(f"slowest {max(latencies):.1f} s; {states.count('interrupted')} interrupted of {len(states)}")
    assert states.count("interrupted") > 5  # it trained or compiled
    assert len(states) < 2 * MOST  # and was not always done


def test_a_signal_while_the_process_tidies_up_is_not_lost(elsewhere):
    """Where Python has its own, an exception there is printed and the exit code is 0."""
    code = (
        "import atexit, os, signal, sys; from gradlab.commands import main; main.commands = dict;"
        "atexit.register(lambda: os.kill(os.getpid(), signal.SIGINT)); sys.argv = ['gradlab', '--version'];"
        "sys.exit(main.main({argv}))"
    )
    run = lambda argv: subprocess.run(
        [sys.executable, "-c", code.format(argv=argv)], capture_output=True, text=True
    )
    done, control = run(""), run("sys.argv[1:]")
    assert (done.returncode, done.stderr, done.stdout[:7]) == (130, "", "gradlab")
    assert (control.returncode, "KeyboardInterrupt" in control.stderr) == (0, True)
