"""Progress on a terminal and in a log: the same numbers, the backward signal on a fixed scale."""

import io
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from gradlab.report.progress import LEVELS, progress_display, progress_line, sparkline


def progress(step: int, steps: int = 100, backward: np.ndarray | None = None) -> SimpleNamespace:
    signal = np.zeros(10) if backward is None else backward
    profiles = {"log10_backward": np.ma.masked_array(signal, False)}
    numbers = {"step": step, "steps": steps, "loss": 0.421, "steps_per_second": 249.7}
    return SimpleNamespace(**numbers, backward=signal, profiles=profiles)


def test_a_level_is_half_a_decade_and_the_last_hidden_layer_stands_in_the_middle():
    hidden = np.array([-1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0, 0.0]) - 7
    assert sparkline(np.concatenate([[9.0], hidden, [9.0]]), width=9) == LEVELS + LEVELS[3]


def test_the_scale_is_fixed_whatever_the_range():
    steep = np.linspace(-40.0, 0.0, 52)
    assert sparkline(steep)[0] == LEVELS[0]
    assert sparkline(-steep)[0] == LEVELS[-1]
    assert sparkline(steep)[-1] == LEVELS[3]


def test_zeros_and_numbers_that_are_not_finite_are_marked():
    assert sparkline(np.array([0.0, -np.inf, np.nan, np.inf, 0.0, 0.0])) == f"0××{LEVELS[3]}"


def test_one_hidden_layer_has_one_level():
    assert sparkline(np.zeros(3)) == LEVELS[3]


def test_a_lost_last_layer_is_no_reference():
    assert sparkline(np.array([0.0, 1.0, np.nan, 0.0])) == f"{LEVELS[-1]}×"


def test_a_line_says_step_speed_loss_and_signal():
    assert progress_line(progress(50)) == f"50/100 · 250 steps/s · loss 0.421 · backward {LEVELS[3] * 8}"


def test_a_log_gets_plain_lines_the_last_among_them():
    console = Console(file=io.StringIO(), force_terminal=False)
    with progress_display(100, console) as show:
        for step in range(0, 101, 10):
            show(progress(step))
    lines = console.file.getvalue().splitlines()
    assert lines[-1].startswith("100/100 · ")
    assert len(lines) == 2  # eleven chunks within two seconds


@pytest.mark.parametrize("steps", [0, 100])
def test_a_terminal_gets_a_bar_that_ends_full(steps):
    console = Console(file=io.StringIO(), force_terminal=True, width=120, color_system=None)
    with progress_display(steps, console) as show:
        show(progress(steps, steps))
    assert (f"{steps}/{steps}" if steps else "0 steps") in console.file.getvalue()
    assert "━" * 24 in console.file.getvalue()


def test_a_quiet_run_shows_no_progress():
    with progress_display(100, None) as show:
        assert show is None
