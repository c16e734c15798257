"""`gradlab.Recorder` stores what a loop gives it, as it comes, and refuses what cannot be right."""

import math
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

import gradlab
from gradlab.commands.main import main
from gradlab.recipe.errors import InUseError, RecipeError, UnfinishedError
from gradlab.store.read import open_run

NAMES = ["input", "layers.1", "layers.2", "output"]
RUN = "outputs/mine/run"
ROOT = Path(__file__).parents[2]


def profile(step: int) -> np.ndarray:
    return np.array([-3.0, -2.0, -1.0, 0.0]) - step


def recorded(steps=range(4), path=RUN, **options):
    """A run of a few steps."""
    with gradlab.Recorder(path, layers=NAMES, **options) as recorder:
        for step in steps:
            recorder.write(step, {"log10_backward": profile(step)}, loss=1 / (1 + step))
    return open_run(path)


@pytest.mark.parametrize("seconds", [0.0, 1e9])
def test_what_was_written_is_stored(seconds):
    """As one part at the end, or one for each row."""
    run = recorded((0, 2, 5), seconds=seconds)
    assert run.status["state"] == "finished"
    assert run.layers.log10_backward.tolist() == pytest.approx(
        np.ravel([profile(s) for s in (0, 2, 5)]).tolist()
    )
    assert run.layers.name.tolist() == NAMES * 3
    assert run.steps.loss.tolist() == pytest.approx([1, 1 / 3, 1 / 6])
    assert not list(Path(RUN).rglob("part-*"))


def test_null_is_what_was_not_measured_and_nan_is_measured():
    values = np.ma.array([0.0, np.nan, np.inf, -np.inf], mask=[True, False, False, False])
    with gradlab.Recorder(RUN, layers=NAMES) as recorder:
        recorder.write(0, {"log10_gradient": values, "log10_weight": None})
        recorder.write(1, None, loss=math.nan)
        recorder.write(2, {"log10_backward": [0] * 4}, test_loss=None)
    run = open_run(RUN)
    assert run.layers.step.unique().tolist() == [0, 2]
    first = run.layers.log10_gradient[:4]
    assert first.isna().tolist() == [True, False, False, False]
    assert [str(value) for value in first[1:]] == ["nan", "inf", "-inf"]
    assert "log10_weight" not in run.layers
    assert str(run.steps.loss[1]) == "nan"
    assert run.steps.loss.isna().tolist() == [True, False, True]


class Row:
    """As `gradlab.measure` gives one."""

    layers = NAMES

    def columns(self):
        return {"log10_backward": profile(0), "entropy": np.float32([1, 2, 3, 4])}


def test_a_row_may_be_an_object_with_columns_and_names():
    with gradlab.Recorder(RUN) as recorder:
        recorder.write(0, Row())
    run = open_run(RUN)
    assert run.layers.name.tolist() == NAMES
    assert run.layers.entropy.tolist() == [1, 2, 3, 4]


def test_a_run_may_be_read_while_it_is_written(capsys):
    with gradlab.Recorder(RUN, layers=NAMES, seconds=0) as recorder:
        for step in range(3):
            recorder.write(step, {"log10_backward": profile(step)}, loss=2.0)
        assert main(["diagnose", RUN]) == 0
        assert capsys.readouterr().out.startswith("run (running)\n  signal")
        with pytest.raises(UnfinishedError, match=r"is still running \(3 steps\)"):
            open_run(RUN)
        with pytest.raises(InUseError, match="is being written by process"):
            gradlab.Recorder(RUN, force=True)
    assert open_run(RUN).status["state"] == "finished"


def test_the_first_row_can_be_read_at_once_and_the_others_after_some_seconds():
    with gradlab.Recorder(RUN, layers=NAMES, seconds=1e9) as recorder:
        for step in range(3):
            recorder.write(step, {"log10_backward": profile(step)})
        assert open_run(RUN, running=True).steps.step.tolist() == [0]
        recorder.flush()
        assert open_run(RUN, running=True).steps.step.tolist() == [0, 1, 2]


def test_a_crash_loses_at_most_the_last_part():
    code = (
        "import os, gradlab\n"
        f"recorder = gradlab.Recorder({RUN!r}, layers=['a', 'b'], seconds=1e9)\n"
        "for step in range(6):\n"
        "    recorder.write(step, {'log10_gradient': [0.0, 1.0]}, loss=1.0)\n"
        "    step == 3 and recorder.flush()\n"
        "os._exit(9)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 9
    run = open_run(RUN, running=True)
    assert run.status["state"] == "killed"
    assert run.steps.step.tolist() == [0, 1, 2, 3]
    with pytest.raises(UnfinishedError, match="was killed while running"):
        open_run(RUN)


def ended_by(error: BaseException) -> None:
    """A run of one row whose loop raises."""
    with suppress(type(error)), gradlab.Recorder(RUN, layers=NAMES) as recorder:
        recorder.write(0, {"log10_backward": profile(0)})
        raise error


def test_an_exception_is_the_end_of_a_failed_run():
    ended_by(ZeroDivisionError("mine"))
    run = open_run(RUN)
    assert (run.status["state"], run.status["message"]) == ("failed", "ZeroDivisionError: mine")
    assert len(run.layers) == 4


def test_ctrl_c_stops_a_run_that_counts():
    ended_by(KeyboardInterrupt())
    assert open_run(RUN).status["state"] == "stopped"


@pytest.mark.few(4)
@pytest.mark.parametrize(
    ("losses", "state", "since"),
    [
        ([1, 1, math.nan, math.nan], "diverged", 2),
        ([1, math.inf, 1, 1], "finished", None),  # a step that was skipped
        ([math.nan, 1, math.nan, 1, math.inf], "diverged", 4),
        ([math.nan], "diverged", 0),
    ],
)
@pytest.mark.parametrize("seconds", [0.0, 1e9])
def test_a_run_has_diverged_where_it_stays_non_finite(losses, state, since, seconds):
    with gradlab.Recorder(RUN, layers=NAMES, seconds=seconds) as recorder:
        for step, loss in enumerate(losses):
            recorder.write(step, {"log10_backward": profile(0)}, loss=loss)
    status = open_run(RUN).status
    assert status["state"] == state
    assert [entry["step"] for entry in status["nonfinite"]] == ([] if since is None else [since])


def test_where_a_run_becomes_non_finite_is_noted():
    with gradlab.Recorder(RUN, layers=NAMES) as recorder:
        recorder.write(0, {"log10_forward": [0, 0, math.inf, math.nan], "log10_backward": [math.nan] * 4})
    (entry,) = open_run(RUN).status["nonfinite"]
    assert entry == {"seed": 0, "step": 0, "layer": 2, "name": "layers.2", "where": "forward"}


def test_another_run_is_replaced_by_force_only():
    recorded()
    with pytest.raises(RecipeError, match="holds a run already; give another name, or force"):
        gradlab.Recorder(RUN)
    assert recorded((7,), force=True).steps.step.tolist() == [7]


def test_a_recorder_imports_neither_jax_nor_pandas():
    code = (
        "import sys, gradlab; gradlab.Recorder; print(not {'jax', 'pandas', 'matplotlib'} & set(sys.modules))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    assert ran.stdout == "True\n"


def test_a_thousand_steps_take_little_time():
    began = time.perf_counter()
    recorded(range(1000))
    assert time.perf_counter() - began < 2


WRONG = {
    "step=1 was given after step 1; steps must increase": lambda r: r.write(1),
    "step=2.5 must be a whole number": lambda r: r.write(2.5),
    "step=-1 must be a whole number": lambda r: r.write(-1),
    "step=True must be a whole number": lambda r: r.write(True),
    "a row of other layers: log10_backward has shape (3,), and the run has 4 layers": lambda r: r.write(
        2, {"log10_backward": [1, 2, 3]}
    ),
    "a row of other layers: ['a', 'b']": lambda r: r.write(2, {"log10_backward": [1, 2]}, layers=["a", "b"]),
    "log10_backward is no array of numbers": lambda r: r.write(2, {"log10_backward": ["a"] * 4}),
    "there is no column 'los' of steps; did you mean 'loss'?": lambda r: r.write(2, los=1.0),
    "a column cannot be called 'a b'": lambda r: r.write(2, {"a b": [1] * 4}),
    "loss has shape (2,), and must be one number": lambda r: r.write(2, loss=[1, 2]),
    "loss is no number": lambda r: r.write(2, loss="low"),
    "a row maps names of columns to arrays, or has a method columns(); got list": lambda r: r.write(
        2, [1] * 4
    ),
}


@pytest.mark.parametrize("message", WRONG)
def test_a_row_that_cannot_be_right_is_refused_and_the_others_stay(message):
    with gradlab.Recorder(RUN, layers=NAMES) as recorder:
        recorder.write(1, {"log10_backward": profile(0)})
        with pytest.raises(RecipeError) as refused:
            WRONG[message](recorder)
        assert message in str(refused.value)
        assert "\n" not in str(refused.value)
    assert open_run(RUN).steps.step.tolist() == [1]


def test_a_closed_recorder_takes_no_rows():
    recorder = gradlab.Recorder(RUN, layers=NAMES)
    recorder.write(0, loss=1.0)
    recorder.close()
    recorder.close()
    with pytest.raises(RecipeError, match="is closed"):
        recorder.write(1, loss=1.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"known": {"clipp": "norm"}}, "there is no choice 'clipp' to state; did you mean 'clip'?"),
        ({"known": {"lr": -1.0}}, "lr=-1.0"),
        ({"known": {"clip.threshold": 1.0}}, "give clip=NAME before it"),
        ({"layers": ["a", "a"]}, "two layers are called 'a'"),
        ({"layers": "abc"}, "must be a list of names"),
        ({"layers": ["a\nb"]}, "each a line of text"),
    ],
)
def test_a_recorder_that_cannot_be_right_makes_no_folder(options, message):
    with pytest.raises(RecipeError) as refused:
        gradlab.Recorder(RUN, **options)
    assert message in str(refused.value)
    assert not Path("outputs").exists()


def test_layers_without_names_are_asked_for():
    with gradlab.Recorder(RUN) as recorder, pytest.raises(RecipeError, match="the layers have no names"):
        recorder.write(0, {"log10_gradient": [1.0]})
